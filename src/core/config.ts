/**
 * The configuration: documents -> `MasqConfig`, or every problem in them.
 * One file is what the Go program reads. The files of a directory are united as each key's row says (keys.ts).
 */

import { locator } from "../yaml/positions.ts";
import { type Cidr, formatCidr, isPassedOn } from "./cidr.ts";
import { decodeFields, type Fields, type Settings, uniteFields } from "./config-fields.ts";
import type { ConfigOptions } from "./config-options.ts";
import { warnOfSwallowed } from "./config-swallowed.ts";
import { warnOfLists } from "./config-warnings.ts";
import { parseDocument } from "./document.ts";

import type { Reporting } from "./key-kinds.ts";
import { CIDR_LIST, type Entries, isListKind, parseItems } from "./key-lists.ts";
import { ADDRESS_LIST, MAX_LINKS } from "./key-packets.ts";
import {
  type BlockLists,
  type CidrListName,
  CONFIG_KEYS,
  KEYS,
  type Key,
  type KeyName,
  LIMITED_KEYS,
  type ValueOf,
} from "./keys.ts";
import { type Report, reportInto } from "./place.ts";
import type { Problem, Result } from "./problem.ts";

type Values = { readonly [Name in KeyName]: ValueOf<Name> };

/** The effective configuration: the value of each key. */
export interface MasqConfig extends Omit<Values, "resyncInterval"> {
  /** Whether `nonMasqueradeCIDRs` is the built-in list, since no file has the key. */
  readonly nonMasqueradeDefaults: boolean;
  /** At least `MIN_RESYNC_MS`. */
  readonly resyncIntervalMs: number;
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
  /** Where it comes from, for people, if not from these files at the path of --config. */
  readonly source?: string;
}

/** A good configuration, and the warnings about it. */
export interface DecodedConfig {
  readonly config: MasqConfig;
  readonly warnings: readonly Problem[];
}

/** The result of reading, good or bad. */
export interface InspectedConfig extends DecodedConfig {
  /** Not for use where there are problems: then `config` is only the rest of the text. */
  readonly problems: readonly Problem[];
  /** All lists of blocks, entry by entry, with their places; entries that are not valid are left out. */
  readonly lists: readonly Entries[];
}

/** Decodes a configuration; no file at all means the defaults. Returns all problems of all files. */
export function decodeConfig(text: ConfigText, options: ConfigOptions): Result<DecodedConfig> {
  const { config, problems, warnings } = inspectConfig(text, options);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: { config, warnings } };
}

/** The same, with the place of each entry. Keeps more alive than `decodeConfig`: it is for commands, not for `run`. */
export function inspectConfig(text: ConfigText, options: ConfigOptions): InspectedConfig {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const fields: Fields[] = [];
  const reporting = { kind: text.kind, options, report: reportInto(problems), warn: reportInto(warnings) };
  for (const { path, bytes } of text.files) {
    const parsed = parseDocument(bytes, path);
    if (!parsed.ok) {
      problems.push(...parsed.problems);
      continue;
    }
    const { text: decoded } = parsed.value;
    const file = { path, text: decoded, locate: locator(decoded) };
    fields.push(decodeFields(parsed.value.root, { ...reporting, file }));
    warnOfSwallowed(parsed.value, file, reporting.warn);
  }
  return { ...configOf(uniteFields(fields, reporting), reporting), problems, warnings };
}

function configOf(settings: Settings, reporting: Reporting): Pick<InspectedConfig, "config" | "lists"> {
  const { options, report, warn } = reporting;
  checkLimit(settings, report);
  const { values, lists } = valuesOf(settings, reporting);
  checkDestinations(lists, options, report);
  checkSources(lists, report);
  checkLinks(settings, report);
  warnOfLists(settings, lists, options, warn);
  const { resyncInterval: resyncIntervalMs, ...others } = values;
  const nonMasqueradeDefaults = settings.nonMasqueradeCIDRs.given === undefined;
  return { config: { ...others, nonMasqueradeDefaults, resyncIntervalMs }, lists: Object.values(lists) };
}

/** The value of each key, and the entries of lists of CIDRs with their places. */
function valuesOf(
  settings: Settings,
  reporting: Reporting,
): { readonly values: Values; readonly lists: BlockLists } {
  const values: Record<string, unknown> = {};
  const lists: Record<string, Entries<unknown>> = {};
  for (const name of CONFIG_KEYS) {
    const { kind }: Key = KEYS[name];
    const setting = settings[name];
    if (!("backing" in setting)) {
      values[name] = setting.value;
    } else if (isListKind(kind)) {
      const entries = parseItems(kind, setting, reporting);
      values[name] = entries.values;
      if (kind === CIDR_LIST || kind === ADDRESS_LIST) lists[name] = entries;
    }
  }
  return { values: values as Values, lists: lists as unknown as BlockLists };
}

function checkLimit(settings: Settings, report: Report): void {
  const limit = settings.cidrLimit;
  const lists = LIMITED_KEYS.map((name) => settings[name]);
  const count = lists.reduce((sum, { backing }) => sum + backing.length, 0);
  if (count <= limit.value) return;
  report(
    "limit",
    limit,
    `the daemon can only accept up to ${limit.value} CIDRs (excluding link-local), but got ${count} CIDRs (excluding link local)`,
  );
}

function rewriteHint(cidr: Cidr): string {
  return `write ${formatCidr(cidr)} instead of ${cidr.text}, which iptables reads differently`;
}

/** A prefix in both lists would have two verdicts; `others` is the list `name`. */
function checkPrefixes(entries: Entries, others: Entries, name: CidrListName, report: Report): void {
  if (entries.values.length === 0) return;
  const prefixes = new Map(others.values.map((cidr) => [formatCidr(cidr), cidr.text]));
  for (const [i, cidr] of entries.values.entries()) {
    const twin = prefixes.get(formatCidr(cidr));
    if (twin === undefined) continue;
    report("conflict", entries.items[i], `${cidr.text} is also in ${name} (as ${twin}): it cannot be both`);
  }
}

/** Sources are compared by the longest prefix and as intervals: our reading counts, however short the lists are. */
function checkSources({ masqueradeSourceCIDRs, nonMasqueradeSourceCIDRs }: BlockLists, report: Report): void {
  checkPrefixes(nonMasqueradeSourceCIDRs, masqueradeSourceCIDRs, "masqueradeSourceCIDRs", report);
  for (const { items, values } of [masqueradeSourceCIDRs, nonMasqueradeSourceCIDRs])
    for (const [i, cidr] of values.entries())
      if (isPassedOn(cidr)) report("cidr", items[i], rewriteHint(cidr));
}

function checkLinks({ outputInterfaces: { backing, given } }: Settings, report: Report): void {
  const names = new Set(backing.map(({ text }) => text));
  if (names.size > MAX_LINKS)
    report("limit", given, `up to ${MAX_LINKS} names are supported, but there are ${names.size}`);
}

/**
 * Where our reading counts, we reject entries that iptables may read differently: with `masqueradeCIDRs`, which
 * promises that the longest prefix decides, and in sets.
 */
function checkDestinations(
  { nonMasqueradeCIDRs: exempt, masqueradeCIDRs: exceptions }: BlockLists,
  { setsAbove = Number.POSITIVE_INFINITY }: ConfigOptions,
  report: Report,
): void {
  checkPrefixes(exceptions, exempt, "nonMasqueradeCIDRs", report);
  const counts = { IPv4: 0, IPv6: 0 };
  for (const { values } of [exempt, exceptions]) for (const { family } of values) counts[family]++;
  for (const { items, values } of [exempt, exceptions]) {
    for (const [i, cidr] of values.entries()) {
      const matters = exceptions.values.length > 0 || counts[cidr.family] > setsAbove;
      if (matters && isPassedOn(cidr)) report("cidr", items[i], rewriteHint(cidr));
    }
  }
}
