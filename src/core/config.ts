/**
 * The configuration: documents -> `MasqConfig`, or every problem in them.
 *
 * Decoding follows Go's encoding/json to the letter where a file can tell the difference: key names match
 * without regard to case (and to two Unicode look-alikes), a repeated key is applied again, and a null in a
 * list keeps what the decoder's slice held at that index, which at first is the default list.
 */
import { type Cidr, formatCidr, isCidr, isPassedOn, parseCidr } from "./cidr.ts";
import { type Document, type Node, parseDocument, positionAt } from "./document.ts";
import { parseDuration, toMilliseconds } from "./duration.ts";
import type { Problem, ProblemCode, Result } from "./problem.ts";
import { goQuote } from "./quote.ts";

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

/** RFC 1918. */
const PRIVATE_CIDRS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/** RFC 6598, 6890, 5737, 7526, 6815, 5737, 5737 and the former class E of RFC 5735. */
const RESERVED_CIDRS = [
  "100.64.0.0/10",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
];

const DEFAULT_CIDR_LIMIT = 64;
export const DEFAULT_RESYNC_MS = 60_000;

/** Shorter intervals would make the agent a busy loop; they are taken as this one, with a warning. */
export const MIN_RESYNC_MS = 100;

/** One entry of a list, before it is read as a CIDR. */
interface Item {
  readonly text: string;
  readonly at: number;
  readonly key: string;
  readonly file: Source;
}

/** A parsed file, for naming places in it. */
interface Source {
  readonly path: string;
  readonly document?: Document;
}

/** Where values come from that no file gives. */
const DEFAULTS: Source = { path: "built-in defaults" };

/** A Go slice: `backing` outlives a shrinking `length`, so a later null may show an earlier value. */
interface Slice {
  backing: Item[];
  length: number;
  present: boolean;
}

/** What one file says. */
interface Fields {
  readonly file: Source;
  readonly nonMasqueradeCIDRs: Slice;
  readonly masqueradeCIDRs: Slice;
  cidrLimit?: number;
  masqLinkLocal?: boolean;
  masqLinkLocalIPv6?: boolean;
  resyncIntervalMs?: number;
}

type Report = (
  code: ProblemCode,
  source: Source,
  at: number | undefined,
  key: string | undefined,
  message: string,
) => void;

/** The built-in list for these options, as the Go program orders it. */
export function defaultCidrs(options: Pick<ConfigOptions, "noMasqAllReservedRanges">): readonly string[] {
  return options.noMasqAllReservedRanges ? [...PRIVATE_CIDRS, ...RESERVED_CIDRS] : PRIVATE_CIDRS;
}

/** Decodes what was read; no file at all means the defaults. All problems of all files are returned. */
export function decodeConfig(text: ConfigText, options: ConfigOptions): Result<DecodedConfig> {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const fields: Fields[] = [];
  const report = reportInto(problems);
  for (const { path, bytes } of text.files) {
    const parsed = parseDocument(bytes, path);
    if (parsed.ok)
      fields.push(decodeFields({ path, document: parsed.value }, options, report, reportInto(warnings)));
    else problems.push(...parsed.problems);
  }
  const config = uniteFields(fields, text.kind, options, report, reportInto(warnings));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: { config, warnings } };
}

function reportInto(problems: Problem[]): Report {
  return (code, source, at, key, message) => {
    const place =
      at === undefined || source.document === undefined ? {} : positionAt(source.document.text, at);
    problems.push({ code, path: source.path, ...place, ...(key === undefined ? {} : { key }), message });
  };
}

// Decoding one file: encoding/json's Unmarshal into the Go program's struct.

type Decoder = (node: Node, fields: Fields, file: Source, report: Report) => void;

const DECODERS: Readonly<Record<string, Decoder>> = {
  nonMasqueradeCIDRs: (node, fields, file, report) =>
    decodeList("nonMasqueradeCIDRs", fields.nonMasqueradeCIDRs, node, file, report),
  masqueradeCIDRs: (node, fields, file, report) =>
    decodeList("masqueradeCIDRs", fields.masqueradeCIDRs, node, file, report),
  cidrLimit: (node, fields, file, report) => {
    const limit = decodeInteger(node, file, report);
    if (limit !== undefined) fields.cidrLimit = limit;
  },
  masqLinkLocal: (node, fields, file, report) => {
    const value = decodeBoolean("masqLinkLocal", node, file, report);
    if (value !== undefined) fields.masqLinkLocal = value;
  },
  masqLinkLocalIPv6: (node, fields, file, report) => {
    const value = decodeBoolean("masqLinkLocalIPv6", node, file, report);
    if (value !== undefined) fields.masqLinkLocalIPv6 = value;
  },
  resyncInterval: (node, fields, file, report) => {
    const interval = decodeInterval(node, file, report);
    if (interval !== undefined) fields.resyncIntervalMs = interval;
  },
};

const KEYS: ReadonlyMap<string, Decoder> = new Map(
  Object.entries(DECODERS).map(([key, decoder]) => [foldKey(key), decoder]),
);

/** Go compares names by simple case folding, under which U+017F is an s and U+212A a k. */
function foldKey(key: string): string {
  return key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
}

function decodeFields(file: Required<Source>, options: ConfigOptions, report: Report, warn: Report): Fields {
  const defaults = defaultCidrs(options).map((text) => ({ text, at: 0, key: "nonMasqueradeCIDRs", file }));
  const fields: Fields = {
    file,
    nonMasqueradeCIDRs: { backing: defaults, length: defaults.length, present: false },
    masqueradeCIDRs: { backing: [], length: 0, present: false },
  };
  const { root } = file.document;
  if (root.kind === "null") return fields;
  if (root.kind !== "object") {
    report("type", file, root.at, undefined, `the document must be a map of keys, not ${article(root.kind)}`);
    return fields;
  }
  for (const { key, at, value } of root.members) {
    const decode = KEYS.get(foldKey(key));
    if (decode === undefined) warn("unknown-key", file, at, key, "unknown key, ignored");
    else decode(value, fields, file, report);
  }
  return fields;
}

function decodeList(key: string, slice: Slice, node: Node, file: Source, report: Report): void {
  if (node.kind !== "array" && node.kind !== "null") {
    report("type", file, node.at, key, `must be a list of CIDRs, not ${article(node.kind)}`);
    return;
  }
  const items = node.kind === "null" ? [] : node.items;
  slice.present = true;
  slice.length = items.length;
  if (items.length === 0) slice.backing = [];
  for (const [index, item] of items.entries()) {
    const place = { at: item.at, key: `${key}[${index}]`, file };
    if (item.kind === "string") slice.backing[index] = { text: item.value, ...place };
    else if (item.kind === "null")
      slice.backing[index] = { text: slice.backing[index]?.text ?? "", ...place };
    else report("type", file, item.at, place.key, `must be a CIDR in text form, not ${article(item.kind)}`);
  }
}

function decodeInteger(node: Node, file: Source, report: Report): number | undefined {
  if (node.kind === "null") return undefined;
  const literal = node.kind === "number" ? node.literal : "";
  if (/^-?\d{1,19}$/.test(literal) && BigInt.asIntN(64, BigInt(literal)) === BigInt(literal))
    return Number(literal);
  const what = node.kind === "number" ? literal : article(node.kind);
  report("type", file, node.at, "cidrLimit", `must be a whole number of 64 bits, not ${what}`);
  return undefined;
}

function decodeBoolean(key: string, node: Node, file: Source, report: Report): boolean | undefined {
  if (node.kind === "boolean") return node.value;
  if (node.kind !== "null")
    report("type", file, node.at, key, `must be true or false, not ${article(node.kind)}`);
  return undefined;
}

function decodeInterval(node: Node, file: Source, report: Report): number | undefined {
  const key = "resyncInterval";
  if (node.kind !== "string" && node.kind !== "null") {
    report(
      "type",
      file,
      node.at,
      key,
      `must be a duration in text form such as "60s", not ${article(node.kind)}`,
    );
    return undefined;
  }
  // The Go program's own decoder sees a null as the empty text, which is no duration.
  const parsed = parseDuration(node.kind === "null" ? "" : node.value);
  if (parsed.ok) return toMilliseconds(parsed.nanoseconds);
  report("duration", file, node.at, key, parsed.message);
  return undefined;
}

function article(kind: Node["kind"]): string {
  return kind === "array" || kind === "object" ? `an ${kind}` : kind === "null" ? "null" : `a ${kind}`;
}

// Uniting files, and what is checked of the whole.

function uniteFields(
  fields: readonly Fields[],
  kind: ConfigText["kind"],
  options: ConfigOptions,
  report: Report,
  warn: Report,
): MasqConfig {
  const nonMasquerade = uniteLists(
    fields.map((file) => file.nonMasqueradeCIDRs),
    kind,
  );
  const items =
    nonMasquerade ??
    defaultCidrs(options).map((text) => ({ text, at: 0, key: "nonMasqueradeCIDRs", file: DEFAULTS }));
  const exceptions =
    uniteLists(
      fields.map((file) => file.masqueradeCIDRs),
      kind,
    ) ?? [];
  const limits = fields.flatMap((file) => file.cidrLimit ?? []);
  const cidrLimit = limits.length === 0 ? DEFAULT_CIDR_LIMIT : Math.max(...limits);
  checkLimit(items, exceptions, cidrLimit, fields, report);
  const nonMasqueradeCIDRs = parseItems(items, options, report);
  const masqueradeCIDRs = parseItems(exceptions, options, report);
  if (masqueradeCIDRs.size > 0) checkLongestPrefix(nonMasqueradeCIDRs, masqueradeCIDRs, report);
  for (const [item, cidr] of nonMasqueradeCIDRs) {
    if (cidr.bits === 0)
      warn(
        "suspicious",
        item.file,
        item.at,
        item.key,
        `${item.text} covers every ${cidr.family} address: nothing is masqueraded`,
      );
  }
  return {
    nonMasqueradeCIDRs: [...nonMasqueradeCIDRs.values()],
    nonMasqueradeDefaults: nonMasquerade === undefined,
    masqueradeCIDRs: [...masqueradeCIDRs.values()],
    cidrLimit,
    masqLinkLocal: fields.some((file) => file.masqLinkLocal === true),
    masqLinkLocalIPv6: fields.some((file) => file.masqLinkLocalIPv6 === true),
    resyncIntervalMs: smallestInterval(fields, warn),
  };
}

/** The entries of all files that have the key; in a directory the same text counts once. */
function uniteLists(slices: readonly Slice[], kind: ConfigText["kind"]): readonly Item[] | undefined {
  const lists = slices
    .filter((slice) => slice.present)
    .map(({ backing, length }) => backing.slice(0, length));
  if (lists.length === 0) return undefined;
  // An element of the wrong type has left a hole, and a problem.
  const items = lists.flat().filter((item) => item !== undefined);
  if (kind === "file") return items;
  return [...new Map(items.toReversed().map((item) => [item.text, item])).values()].reverse();
}

function checkLimit(
  items: readonly Item[],
  exceptions: readonly Item[],
  limit: number,
  fields: readonly Fields[],
  report: Report,
): void {
  const count = items.length + exceptions.length;
  if (count <= limit) return;
  const message = `the daemon can only accept up to ${limit} CIDRs (excluding link-local), but got ${count} CIDRs (excluding link local)`;
  const blamed = exceptions[0] ?? items.find((item) => item.file.document !== undefined);
  report("limit", blamed?.file ?? fields[0]?.file ?? DEFAULTS, blamed?.at, "cidrLimit", message);
}

function parseItems(items: readonly Item[], options: ConfigOptions, report: Report): Map<Item, Cidr> {
  const cidrs = new Map<Item, Cidr>();
  for (const item of items) {
    const cidr = parseCidr(item.text);
    if (!isCidr(cidr)) {
      report("cidr", item.file, item.at, item.key, explainCidr(item.text, cidr));
    } else if (cidr.family === "IPv6" && !options.enableIPv6) {
      const message = `ipv6 is not enabled, but ipv6 cidr ${item.text} provided. Enable ipv6 using --enable-ipv6 agent flag`;
      report("family", item.file, item.at, item.key, message);
    } else {
      cidrs.set(item, cidr);
    }
  }
  return cidrs;
}

/** The Go program's words about a text that is no CIDR, and a hint. */
function explainCidr(text: string, failure: Exclude<ReturnType<typeof parseCidr>, Cidr>): string {
  if (failure.reason === "syntax") return `CIDR ${goQuote(text)} could not be parsed, invalid CIDR address`;
  const { address, network } = failure;
  return `CIDR ${goQuote(text)} is not aligned to a CIDR block, ip: "${address}" network: "${network}": did you mean ${network}?`;
}

/** `masqueradeCIDRs` promises that the longest prefix decides, so no prefix may stand in both lists or be read in two ways. */
function checkLongestPrefix(
  nonMasquerade: ReadonlyMap<Item, Cidr>,
  exceptions: ReadonlyMap<Item, Cidr>,
  report: Report,
): void {
  const prefixes = new Map([...nonMasquerade.values()].map((cidr) => [formatCidr(cidr), cidr.text]));
  for (const [item, cidr] of exceptions) {
    const twin = prefixes.get(formatCidr(cidr));
    if (twin === undefined) continue;
    report(
      "conflict",
      item.file,
      item.at,
      item.key,
      `${item.text} stands in nonMasqueradeCIDRs too (as ${twin}): it cannot be both`,
    );
  }
  for (const [item, cidr] of [...nonMasquerade, ...exceptions]) {
    if (!isPassedOn(cidr)) continue;
    report(
      "cidr",
      item.file,
      item.at,
      item.key,
      `write ${formatCidr(cidr)} instead of ${item.text}, which iptables reads differently`,
    );
  }
}

function smallestInterval(fields: readonly Fields[], warn: Report): number {
  const intervals = fields.flatMap((file) => file.resyncIntervalMs ?? []);
  const smallest = intervals.length === 0 ? DEFAULT_RESYNC_MS : Math.min(...intervals);
  if (smallest < MIN_RESYNC_MS) {
    const { file } = fields.find(({ resyncIntervalMs }) => resyncIntervalMs === smallest) ?? {
      file: DEFAULTS,
    };
    warn("suspicious", file, undefined, "resyncInterval", `${smallest}ms is taken as ${MIN_RESYNC_MS}ms`);
  }
  return Math.max(smallest, MIN_RESYNC_MS);
}
