/**
 * One document -> what it says for each key: encoding/json's Unmarshal into the Go program's struct, to the letter
 * where a file can tell the difference. Key names match without regard to case (and to two Unicode look-alikes), a
 * repeated key is applied again, and a null in a list keeps what the decoder's slice held at that index, which at
 * first is the default list.
 */

import { parseDuration, toMilliseconds } from "../go/duration.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import type { Member, Node } from "../yaml/node.ts";
import type { Position } from "../yaml/positions.ts";
import type { Cidr } from "./cidr.ts";
import { type DefaultsOptions, defaultCidrs } from "./default-cidrs.ts";
import type { Problem, ProblemCode, ProblemPlace } from "./problem.ts";

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

/** CIDRs and the entries that they stand in, index by index; entries that are none are reported and left out. */
export interface Entries {
  readonly items: readonly Item[];
  readonly cidrs: readonly Cidr[];
}

/** A parsed file, for naming places in it. */
export interface Source {
  readonly path: string;
  /** Absent where there is none, as is the way to places in it. */
  readonly text?: string;
  /** Where an offset into its text lies. */
  readonly locate?: (at: number) => Position;
}

/** Where values come from that no file gives. */
export const DEFAULTS: Source = { path: "built-in defaults" };

/** A Go slice: `backing` outlives a shrinking `length`, so a later null may show an earlier value. */
export interface Slice {
  backing: Item[];
  length: number;
  /** Where its key stands; absent where no file has it. The text is `[]` for a list, and empty for null. */
  given?: Place;
}

/** A boolean and where it stands. */
export interface Switch extends Place {
  readonly value: boolean;
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
  masqLinkLocal?: Switch;
  masqLinkLocalIPv6?: Switch;
  resyncInterval?: Interval;
}

/** A file that is read, and where to say what is wrong with it or odd. */
export interface Reading {
  readonly file: Source;
  /** One of a directory starts from empty lists, as Azure's agent does, so that nothing can stand behind an empty entry. */
  readonly kind: "file" | "directory";
  readonly report: Report;
  readonly warn: Report;
}

/** Takes note of a problem. */
export type Report = (code: ProblemCode, place: Place | undefined, message: string) => void;

/** The built-in list for these options, as entries of `file`. */
export function defaultItems(options: DefaultsOptions, file: Source): Item[] {
  return defaultCidrs(options).map((text) => ({ text, key: "nonMasqueradeCIDRs", file }));
}

/** A report that adds to `problems`, with the place in the text. */
export function reportInto(problems: Problem[]): Report {
  return (code, place, message) => {
    const text = place?.text === undefined ? {} : { text: cut(place.text, VALUE_CHARACTERS) };
    problems.push({ code, ...locate(place ?? { file: DEFAULTS }), message, ...text });
  };
}

/** A place in the words of problems. Its line is counted now: for a long list, ask only when somebody wants to know. */
export function locate({ file, at, key, index }: Place): ProblemPlace {
  const position = at === undefined ? {} : file.locate?.(at);
  const name = key && cut(key, VALUE_CHARACTERS);
  const path = index === undefined ? name : `${name}[${index}]`;
  return { path: file.path, ...position, ...(path === undefined ? {} : { key: path }) };
}

type Decoder = (member: Member, fields: Fields, reading: Reading) => void;

const DECODERS: Readonly<Record<string, Decoder>> = {
  nonMasqueradeCIDRs: (member, fields, reading) =>
    decodeList("nonMasqueradeCIDRs", fields.nonMasqueradeCIDRs, member, reading),
  masqueradeCIDRs: (member, fields, reading) =>
    decodeList("masqueradeCIDRs", fields.masqueradeCIDRs, member, reading),
  cidrLimit: ({ value }, fields, reading) => {
    const limit = decodeLimit(value, reading);
    if (limit !== undefined) fields.cidrLimit = limit;
  },
  masqLinkLocal: ({ value }, fields, reading) => {
    const found = decodeBoolean("masqLinkLocal", value, reading);
    if (found !== undefined) fields.masqLinkLocal = found;
  },
  masqLinkLocalIPv6: ({ value }, fields, reading) => {
    const found = decodeBoolean("masqLinkLocalIPv6", value, reading);
    if (found !== undefined) fields.masqLinkLocalIPv6 = found;
  },
  resyncInterval: ({ value }, fields, reading) => {
    const interval = decodeInterval(value, reading);
    if (interval !== undefined) fields.resyncInterval = interval;
  },
};

/** The file's keys, as they are documented. */
export const CONFIG_KEYS: readonly string[] = Object.keys(DECODERS);

const KEYS: ReadonlyMap<string, string> = new Map(CONFIG_KEYS.map((key) => [foldKey(key), key]));

/** Go compares names by simple case folding, under which U+017F is an s and U+212A a k. */
function foldKey(key: string): string {
  return key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
}

/** The key as it is documented, if Go's decoder takes this one for it. */
export function knownKey(key: string): string | undefined {
  return KEYS.get(foldKey(key));
}

/** Applies the members of a document in their order, as Go's decoder does; other keys are passed over. */
export function decodeFields(root: Node, options: DefaultsOptions, reading: Reading): Fields {
  const { file, report } = reading;
  const defaults = reading.kind === "file" ? defaultItems(options, file) : [];
  const fields: Fields = {
    file,
    nonMasqueradeCIDRs: { backing: defaults, length: defaults.length },
    masqueradeCIDRs: { backing: [], length: 0 },
  };
  if (root.kind === "null") return fields;
  if (root.kind !== "object") {
    const text = root.kind === "string" ? { text: root.value } : {};
    report(
      "type",
      { file, at: root.at, ...text },
      `the document must be a map of keys, not ${article(root.kind)}`,
    );
    return fields;
  }
  const applied = new Map<string, Member>();
  for (const member of root.members) {
    const key = knownKey(member.key);
    if (key === undefined) continue;
    if (keepsEarlier(key, member.value)) {
      warnOfNull(key, member, reading);
    } else {
      warnOfReplaced(applied.get(key), member, reading);
      applied.set(key, member);
    }
    DECODERS[key]?.(member, fields, reading);
  }
  return fields;
}

/** Go's decoder passes over a null, but where the type has a decoder of its own (the interval) or can be empty (lists). */
function keepsEarlier(key: string, { kind }: Node): boolean {
  return kind === "null" && (key === "cidrLimit" || key.startsWith("masqLinkLocal"));
}

function warnOfNull(key: string, { at }: Member, { file, warn }: Reading): void {
  warn("empty", { file, at, key }, "has no value, and is ignored as if the key were not there");
}

function warnOfReplaced(earlier: Member | undefined, { key }: Member, { file, warn }: Reading): void {
  if (earlier === undefined) return;
  const twin = earlier.key === key ? "the same key stands below" : `${key} is the same key but for case`;
  warn("ignored", { file, at: earlier.at, key: earlier.key }, `is ignored: ${twin}, and replaces it`);
}

function decodeList(key: string, slice: Slice, { at: keyAt, value: node }: Member, reading: Reading): void {
  const { file, report } = reading;
  if (node.kind !== "array" && node.kind !== "null") {
    const text = node.kind === "string" ? { text: node.value } : {};
    report("type", { file, at: node.at, key, ...text }, `must be a list of CIDRs, not ${article(node.kind)}`);
    return;
  }
  const items = node.kind === "null" ? [] : node.items;
  slice.given = { file, at: keyAt, key, text: node.kind === "null" ? "" : "[]" };
  slice.length = items.length;
  if (items.length === 0) slice.backing = [];
  for (const [index, item] of items.entries()) {
    const place = { file, at: item.at, key, index };
    if (item.kind === "string") slice.backing[index] = { text: item.value, ...place };
    else if (item.kind === "null") decodeEmptyItem(slice, place, reading);
    else report("type", place, `must be a CIDR in text form, not ${article(item.kind)}`);
  }
}

/** A null keeps what the slice held there; where that is nothing, Go sees an empty text, which is no CIDR. */
function decodeEmptyItem(
  { backing }: Slice,
  place: Place & { readonly index: number },
  { kind, report, warn }: Reading,
): void {
  const earlier = backing[place.index];
  if (kind === "directory") {
    report("empty", place, "is empty, which in a directory of files is refused");
    return;
  }
  backing[place.index] = { text: earlier?.text ?? "", ...place };
  if (earlier === undefined || earlier.text === "") return;
  const whose = earlier.at === undefined ? "the built-in default" : "what an earlier list has";
  warn("empty", place, `is empty, and read as ${earlier.text}, ${whose} at its place`);
}

function decodeLimit(node: Node, { file, report, warn }: Reading): Limit | undefined {
  if (node.kind === "null") return undefined;
  const place = { file, at: node.at, key: "cidrLimit" };
  const literal = node.kind === "number" ? node.literal : "";
  if (/^-?\d{1,19}$/.test(literal) && BigInt.asIntN(64, BigInt(literal)) === BigInt(literal)) {
    const [octal] = /^[-+]?0[0-7_]+/.exec(file.text?.slice(node.at, node.at + 32) ?? "") ?? [];
    if (octal !== undefined && Number(octal) !== Number(literal))
      warn("suspicious", place, `${octal} is octal in YAML, and read as ${literal}`);
    return { entries: Number(literal), ...place };
  }
  const what = node.kind === "number" ? literal : article(node.kind);
  report("type", place, `must be a whole number of 64 bits, not ${what}`);
  return undefined;
}

function decodeBoolean(key: string, node: Node, { file, report }: Reading): Switch | undefined {
  if (node.kind === "boolean") return { value: node.value, file, at: node.at, key };
  const text = node.kind === "string" ? { text: node.value } : {};
  if (node.kind !== "null")
    report("type", { file, at: node.at, key, ...text }, `must be true or false, not ${article(node.kind)}`);
  return undefined;
}

function decodeInterval(node: Node, { file, report }: Reading): Interval | undefined {
  const key = "resyncInterval";
  if (node.kind !== "string" && node.kind !== "null") {
    const text = node.kind === "number" ? { text: node.literal } : {};
    report(
      "type",
      { file, at: node.at, key, ...text },
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
