/**
 * One document -> what it says for each key: encoding/json's Unmarshal into the Go program's struct, to the letter
 * where a file can tell the difference. Key names match without regard to case (and to two Unicode look-alikes), a
 * repeated key is applied again, and a null in a list keeps what the decoder's slice held at that index, which at
 * first is the default list.
 */
import type { Position } from "./document.ts";
import { parseDuration, toMilliseconds } from "./duration.ts";
import type { Node } from "./node.ts";
import type { Problem, ProblemCode, ProblemPlace } from "./problem.ts";

/** What the command line says about the defaults. */
interface DefaultsOptions {
  readonly noMasqAllReservedRanges: boolean;
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

/** What a problem is about. */
export interface Place {
  readonly file: Source;
  /** The offset in the file's text, if it has one. */
  readonly at?: number;
  readonly key?: string;
  /** The element of the key's list. */
  readonly index?: number;
  /** What stands there, where it is one value. */
  readonly text?: string;
}

/** One entry of a list, before it is read as a CIDR. */
export interface Item extends Place {
  readonly text: string;
}

/** A parsed file, for naming places in it. */
export interface Source {
  readonly path: string;
  /** Where an offset into its text lies; absent where there is no text. */
  readonly locate?: (at: number) => Position;
}

/** Where values come from that no file gives. */
export const DEFAULTS: Source = { path: "built-in defaults" };

/** A Go slice: `backing` outlives a shrinking `length`, so a later null may show an earlier value. */
export interface Slice {
  backing: Item[];
  length: number;
  present: boolean;
}

/** A number of entries and where it stands. */
export interface Limit extends Place {
  readonly entries: number;
}

/** A duration and where it stands. */
export interface Interval extends Place {
  readonly ms: number;
}

/** What one file says. */
export interface Fields {
  readonly file: Source;
  readonly nonMasqueradeCIDRs: Slice;
  readonly masqueradeCIDRs: Slice;
  cidrLimit?: Limit;
  masqLinkLocal?: boolean;
  masqLinkLocalIPv6?: boolean;
  resyncInterval?: Interval;
}

/** Takes note of a problem. */
export type Report = (code: ProblemCode, place: Place | undefined, message: string) => void;

/** The built-in list for these options, as the Go program orders it, as entries of `file`. */
export function defaultItems(options: DefaultsOptions, file: Source): Item[] {
  const texts = options.noMasqAllReservedRanges ? [...PRIVATE_CIDRS, ...RESERVED_CIDRS] : PRIVATE_CIDRS;
  return texts.map((text) => ({ text, key: "nonMasqueradeCIDRs", file }));
}

/** A report that adds to `problems`, with the place in the text. */
export function reportInto(problems: Problem[]): Report {
  return (code, place, message) => {
    const text = place?.text === undefined ? {} : { text: place.text };
    problems.push({ code, ...locate(place ?? { file: DEFAULTS }), message, ...text });
  };
}

/** A place in the words of problems. Its line is counted now: for a long list, ask only when somebody wants to know. */
export function locate({ file, at, key, index }: Place): ProblemPlace {
  const position = at === undefined ? {} : file.locate?.(at);
  const path = index === undefined ? key : `${key}[${index}]`;
  return { path: file.path, ...position, ...(path === undefined ? {} : { key: path }) };
}

type Decoder = (node: Node, fields: Fields, file: Source, report: Report) => void;

const DECODERS: Readonly<Record<string, Decoder>> = {
  nonMasqueradeCIDRs: (node, fields, file, report) =>
    decodeList("nonMasqueradeCIDRs", fields.nonMasqueradeCIDRs, node, file, report),
  masqueradeCIDRs: (node, fields, file, report) =>
    decodeList("masqueradeCIDRs", fields.masqueradeCIDRs, node, file, report),
  cidrLimit: (node, fields, file, report) => {
    const limit = decodeLimit(node, file, report);
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
    if (interval !== undefined) fields.resyncInterval = interval;
  },
};

/** The file's keys, as they are documented. */
export const CONFIG_KEYS: readonly string[] = Object.keys(DECODERS);

const KEYS: ReadonlyMap<string, Decoder> = new Map(
  Object.entries(DECODERS).map(([key, decoder]) => [foldKey(key), decoder]),
);

/** Go compares names by simple case folding, under which U+017F is an s and U+212A a k. */
function foldKey(key: string): string {
  return key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
}

/** Applies the members of a document in their order, as Go's decoder does. */
export function decodeFields(
  file: Source,
  root: Node,
  options: DefaultsOptions,
  report: Report,
  warn: Report,
): Fields {
  const defaults = defaultItems(options, file);
  const fields: Fields = {
    file,
    nonMasqueradeCIDRs: { backing: defaults, length: defaults.length, present: false },
    masqueradeCIDRs: { backing: [], length: 0, present: false },
  };
  if (root.kind === "null") return fields;
  if (root.kind !== "object") {
    report("type", { file, at: root.at }, `the document must be a map of keys, not ${article(root.kind)}`);
    return fields;
  }
  for (const { key, at, value } of root.members) {
    const decode = KEYS.get(foldKey(key));
    if (decode === undefined) warn("unknown-key", { file, at, key }, "unknown key, ignored");
    else decode(value, fields, file, report);
  }
  return fields;
}

function decodeList(key: string, slice: Slice, node: Node, file: Source, report: Report): void {
  if (node.kind !== "array" && node.kind !== "null") {
    report("type", { file, at: node.at, key }, `must be a list of CIDRs, not ${article(node.kind)}`);
    return;
  }
  const items = node.kind === "null" ? [] : node.items;
  slice.present = true;
  slice.length = items.length;
  if (items.length === 0) slice.backing = [];
  for (const [index, item] of items.entries()) {
    const { at } = item;
    if (item.kind === "string") slice.backing[index] = { text: item.value, file, at, key, index };
    else if (item.kind === "null")
      slice.backing[index] = { text: slice.backing[index]?.text ?? "", file, at, key, index };
    else report("type", { file, at, key, index }, `must be a CIDR in text form, not ${article(item.kind)}`);
  }
}

function decodeLimit(node: Node, file: Source, report: Report): Limit | undefined {
  if (node.kind === "null") return undefined;
  const literal = node.kind === "number" ? node.literal : "";
  if (/^-?\d{1,19}$/.test(literal) && BigInt.asIntN(64, BigInt(literal)) === BigInt(literal))
    return { entries: Number(literal), file, at: node.at, key: "cidrLimit" };
  const what = node.kind === "number" ? literal : article(node.kind);
  report("type", { file, at: node.at, key: "cidrLimit" }, `must be a whole number of 64 bits, not ${what}`);
  return undefined;
}

function decodeBoolean(key: string, node: Node, file: Source, report: Report): boolean | undefined {
  if (node.kind === "boolean") return node.value;
  if (node.kind !== "null")
    report("type", { file, at: node.at, key }, `must be true or false, not ${article(node.kind)}`);
  return undefined;
}

function decodeInterval(node: Node, file: Source, report: Report): Interval | undefined {
  const key = "resyncInterval";
  if (node.kind !== "string" && node.kind !== "null") {
    report(
      "type",
      { file, at: node.at, key },
      `must be a duration in text form such as "60s", not ${article(node.kind)}`,
    );
    return undefined;
  }
  // The Go program's own decoder sees a null as the empty text, which is no duration.
  const text = node.kind === "null" ? "" : node.value;
  const parsed = parseDuration(text);
  if (parsed.ok) return { ms: toMilliseconds(parsed.nanoseconds), file, at: node.at, key };
  report("duration", { file, at: node.at, key, text }, parsed.message);
  return undefined;
}

function article(kind: Node["kind"]): string {
  return kind === "array" || kind === "object" ? `an ${kind}` : kind === "null" ? "null" : `a ${kind}`;
}
