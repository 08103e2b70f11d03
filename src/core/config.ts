/**
 * The configuration: documents -> `MasqConfig`, or every problem in them.
 * One file is what the Go program reads. The files of a directory are united: lists joined, booleans OR-ed, the
 * smallest interval and the largest limit taken, and defaults only for keys that no file has.
 */

import { goQuote } from "../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import { locator } from "../yaml/positions.ts";
import { type Cidr, type CidrFailure, formatCidr, isCidr, isPassedOn, parseCidr } from "./cidr.ts";
import {
  DEFAULTS,
  decodeFields,
  defaultItems,
  type Entries,
  type Fields,
  type Interval,
  type Item,
  type Limit,
  type Report,
  reportInto,
  type Slice,
} from "./config-fields.ts";
import { warnOfSwallowed } from "./config-swallowed.ts";
import { warnOfLists } from "./config-warnings.ts";
import { parseDocument } from "./document.ts";
import type { Problem, Result } from "./problem.ts";

/** The effective configuration; the field names are the file's keys. */
export interface MasqConfig {
  /** Destinations that keep the pod's address, in the file's order. */
  readonly nonMasqueradeCIDRs: readonly Cidr[];
  /** Whether `nonMasqueradeCIDRs` is the built-in list, since no file has the key. */
  readonly nonMasqueradeDefaults: boolean;
  /** Exceptions from the former by longest prefix; empty means that the key is not set. */
  readonly masqueradeCIDRs: readonly Cidr[];
  readonly cidrLimit: number;
  readonly masqLinkLocal: boolean;
  readonly masqLinkLocalIPv6: boolean;
  /** At least `MIN_RESYNC_MS`. */
  readonly resyncIntervalMs: number;
}

/** What the command line says about reading the configuration. */
export interface ConfigOptions {
  readonly noMasqAllReservedRanges: boolean;
  readonly enableIPv6: boolean;
  /**
   * A family with more entries than this goes into a set, of which we compute the elements: entries that iptables
   * may read otherwise than we do are then refused. Absent: there are no sets.
   */
  readonly setsAbove?: number;
}

/** A file's name and bytes. */
export interface ConfigFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A file, or a directory whose files are united. */
export interface ConfigText {
  readonly kind: "file" | "directory";
  readonly files: readonly ConfigFile[];
}

/** A good configuration, and what is odd about it. */
export interface DecodedConfig {
  readonly config: MasqConfig;
  readonly warnings: readonly Problem[];
}

const DEFAULT_CIDR_LIMIT = 64;
export const DEFAULT_RESYNC_MS = 60_000;

/** Shorter intervals would make the agent a busy loop; they are taken as this one, with a warning. */
export const MIN_RESYNC_MS = 100;

/** Everything that can be said of what was read, good or bad. */
export interface InspectedConfig extends DecodedConfig {
  /** Where there are any, `config` is only what the rest of the text says, and is not to be used. */
  readonly problems: readonly Problem[];
  /** Both lists, entry by entry, with their places; entries that are no CIDRs are left out. */
  readonly lists: readonly Entries[];
}

/** Decodes what was read; no file at all means the defaults. All problems of all files are returned. */
export function decodeConfig(text: ConfigText, options: ConfigOptions): Result<DecodedConfig> {
  const { config, problems, warnings } = inspectConfig(text, options);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: { config, warnings } };
}

/** The same, and where each entry stands. Keeps more alive than `decodeConfig`: it is for commands, not for `run`. */
export function inspectConfig(text: ConfigText, options: ConfigOptions): InspectedConfig {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const fields: Fields[] = [];
  const report = reportInto(problems);
  const warn = reportInto(warnings);
  for (const { path, bytes } of text.files) {
    const parsed = parseDocument(bytes, path);
    if (!parsed.ok) {
      problems.push(...parsed.problems);
      continue;
    }
    const { text: decoded } = parsed.value;
    const file = { path, text: decoded, locate: locator(decoded) };
    fields.push(decodeFields(parsed.value.root, options, { file, kind: text.kind, report, warn }));
    warnOfSwallowed(parsed.value, file, warn);
  }
  return { ...uniteFields(fields, text.kind, options, report, warn), problems, warnings };
}

function uniteFields(
  fields: readonly Fields[],
  kind: ConfigText["kind"],
  options: ConfigOptions,
  report: Report,
  warn: Report,
): Pick<InspectedConfig, "config" | "lists"> {
  const given = uniteLists(
    fields.map((file) => file.nonMasqueradeCIDRs),
    kind,
  );
  const items = given ?? defaultItems(options, DEFAULTS);
  const exceptionItems =
    uniteLists(
      fields.map((file) => file.masqueradeCIDRs),
      kind,
    ) ?? [];
  const limit = largestLimit(fields);
  checkLimit(exceptionItems.length + items.length, limit, report);
  const exempt = parseItems(items, options, report);
  const exceptions = parseItems(exceptionItems, options, report);
  if (exceptions.cidrs.length > 0) checkPrefixes(exempt, exceptions, report);
  checkReading(exempt, exceptions, options, report);
  const config = {
    nonMasqueradeCIDRs: exempt.cidrs,
    nonMasqueradeDefaults: given === undefined,
    masqueradeCIDRs: exceptions.cidrs,
    cidrLimit: limit.entries,
    masqLinkLocal: fields.some((file) => file.masqLinkLocal?.value === true),
    masqLinkLocalIPv6: fields.some((file) => file.masqLinkLocalIPv6?.value === true),
    resyncIntervalMs: smallestInterval(fields, warn),
  };
  warnOfLists(fields, [exempt, exceptions], options, warn);
  return { config, lists: [exempt, exceptions] };
}

/** The entries of all files that have the key; in a directory the same text counts once. */
function uniteLists(slices: readonly Slice[], kind: ConfigText["kind"]): readonly Item[] | undefined {
  const lists = slices.filter((slice) => slice.given !== undefined);
  if (lists.length === 0) return undefined;
  // An element of the wrong type has left a hole, and a problem; flat() passes over holes.
  const items = lists.flatMap(({ backing, length }) => backing.slice(0, length));
  if (kind === "file") return items;
  const seen = new Set<string>();
  return items.filter(({ text }) => !seen.has(text) && seen.add(text));
}

function largestLimit(fields: readonly Fields[]): Limit {
  const limits = fields.flatMap(({ cidrLimit }) => cidrLimit ?? []);
  const unset = { entries: DEFAULT_CIDR_LIMIT, file: fields[0]?.file ?? DEFAULTS, key: "cidrLimit" };
  return limits.reduce((a, b) => (a.entries >= b.entries ? a : b), limits[0] ?? unset);
}

function checkLimit(count: number, limit: Limit, report: Report): void {
  if (count <= limit.entries) return;
  report(
    "limit",
    limit,
    `the daemon can only accept up to ${limit.entries} CIDRs (excluding link-local), but got ${count} CIDRs (excluding link local)`,
  );
}

function parseItems(candidates: readonly Item[], options: ConfigOptions, report: Report): Entries {
  const items: Item[] = [];
  const cidrs: Cidr[] = [];
  for (const item of candidates) {
    const cidr = parseCidr(item.text);
    if (!isCidr(cidr)) {
      report("cidr", { ...item, text: item.text || tagOf(item) }, explainCidr(item.text, cidr));
    } else if (cidr.family === "IPv6" && !options.enableIPv6) {
      report(
        "family",
        item,
        `ipv6 is not enabled, but ipv6 cidr ${cut(item.text, VALUE_CHARACTERS)} provided. Enable ipv6 using --enable-ipv6 agent flag`,
      );
    } else {
      items.push(item);
      cidrs.push(cidr);
    }
  }
  return { items, cidrs };
}

/** To YAML, `!10.1.0.0/16` without quotes is a tag, with nothing behind it. */
function tagOf({ file, at = 0 }: Item): string {
  return /^!\S+/.exec(file.text?.slice(at, at + VALUE_CHARACTERS) ?? "")?.[0] ?? "";
}

/** The Go program's words about a text that is no CIDR. */
function explainCidr(text: string, failure: CidrFailure): string {
  const quoted = goQuote(cut(text, VALUE_CHARACTERS));
  if (failure.reason === "syntax") return `CIDR ${quoted} could not be parsed, invalid CIDR address`;
  const { address, network } = failure;
  return `CIDR ${quoted} is not aligned to a CIDR block, ip: "${address}" network: "${network}"`;
}

function rewriteHint(cidr: Cidr): string {
  return `write ${formatCidr(cidr)} instead of ${cidr.text}, which iptables reads differently`;
}

/** A prefix that stands in both lists would have two verdicts. */
function checkPrefixes(exempt: Entries, exceptions: Entries, report: Report): void {
  const prefixes = new Map(exempt.cidrs.map((cidr) => [formatCidr(cidr), cidr.text]));
  for (const [i, cidr] of exceptions.cidrs.entries()) {
    const twin = prefixes.get(formatCidr(cidr));
    if (twin === undefined) continue;
    report(
      "conflict",
      exceptions.items[i],
      `${cidr.text} stands in nonMasqueradeCIDRs too (as ${twin}): it cannot be both`,
    );
  }
}

/**
 * Entries that iptables may read otherwise than we do are refused where our reading counts: with `masqueradeCIDRs`,
 * which promises that the longest prefix decides, and in sets.
 */
function checkReading(
  exempt: Entries,
  exceptions: Entries,
  { setsAbove = Number.POSITIVE_INFINITY }: ConfigOptions,
  report: Report,
): void {
  const counts = { IPv4: 0, IPv6: 0 };
  for (const { cidrs } of [exempt, exceptions]) for (const { family } of cidrs) counts[family]++;
  for (const { items, cidrs } of [exempt, exceptions]) {
    for (const [i, cidr] of cidrs.entries()) {
      const matters = exceptions.cidrs.length > 0 || counts[cidr.family] > setsAbove;
      if (matters && isPassedOn(cidr)) report("cidr", items[i], rewriteHint(cidr));
    }
  }
}

function smallestInterval(fields: readonly Fields[], warn: Report): number {
  const intervals = fields.flatMap(({ resyncInterval }) => resyncInterval ?? []);
  const smallest = intervals.reduce<Interval | undefined>(
    (a, b) => (a !== undefined && a.ms <= b.ms ? a : b),
    undefined,
  );
  if (smallest === undefined) return DEFAULT_RESYNC_MS;
  if (smallest.ms < MIN_RESYNC_MS)
    warn("suspicious", smallest, `${smallest.ms}ms is taken as ${MIN_RESYNC_MS}ms`);
  return Math.max(smallest.ms, MIN_RESYNC_MS);
}
