/**
 * Lists in the configuration. Go decodes one into a slice: a null in it keeps the slice's value at that index, which
 * comes from the default list at first, and later from an earlier member of the same key.
 */
import { goQuote } from "../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import { type Cidr, type CidrFailure, isCidr, parseCidr } from "./cidr.ts";
import { article, type Kind, placeOf, type Reading, type Reporting } from "./key-kinds.ts";
import { DEFAULTS, type Place } from "./place.ts";

/** One entry of a list, before it is parsed. */
export interface Item extends Place {
  readonly text: string;
}

/** A Go slice: `backing` outlives a shrinking `length`, so a later null may show an earlier value. */
export interface Slice extends Place {
  /** An element of the wrong type left a hole, and a problem. */
  backing: Item[];
  length: number;
  /** The place of its key; absent where no file has it. The text is `[]` for a list, and empty for null. */
  given?: Place;
}

/** Values and their entries, index by index; entries without a value are reported and left out. */
export interface Entries<T = Cidr> {
  readonly items: readonly Item[];
  readonly values: readonly T[];
}

/** A kind of list: each entry is a text with a value. */
export interface ListKind<T> extends Kind<Slice, readonly string[]> {
  /** Whether its entries count against `cidrLimit`: those that a packet may be compared with. */
  readonly isLimited: boolean;
  /** One entry with its article, such as `a CIDR`. */
  readonly one: string;
  /** An entry as people write it. */
  readonly example: string;
  /** The value of an entry; undefined where there is none, which is reported. */
  parse(item: Item, reporting: Reporting): T | undefined;
}

/** Whether it is a kind of list. */
export function isListKind(kind: Kind): kind is ListKind<unknown> {
  return "parse" in kind;
}

/** Lists of destinations and of sources. */
export const CIDR_LIST: ListKind<Cidr> & { readonly isLimited: true } = {
  ...listKind({ one: "a CIDR", many: "CIDRs", example: "10.0.0.0/8", definition: "cidr" }, parseEntry),
  isLimited: true,
};

/** A kind of list; `definition` names the schema of its entries below `$defs`. */
export function listKind<T>(
  { one, many, example, definition }: Record<"one" | "many" | "example" | "definition", string>,
  parse: ListKind<T>["parse"],
): ListKind<T> & { readonly isLimited: false } {
  return {
    isLimited: false,
    type: `list of ${many}`,
    schema: { type: ["array", "null"], items: { $ref: `#/$defs/${definition}` } },
    skipsNull: false,
    one,
    example,
    parse,
    decode(key, { at, value: node }, earlier = { backing: [], length: 0, file: DEFAULTS }, reading) {
      const { file, report } = reading;
      if (node.kind !== "array" && node.kind !== "null") {
        report("type", placeOf(key, node, file), `must be a list of ${many}, not ${article(node.kind)}`);
        return undefined;
      }
      const items = node.kind === "null" ? [] : node.items;
      const slice: Slice = { ...earlier, length: items.length };
      slice.given = { file, at, key, text: node.kind === "null" ? "" : "[]" };
      if (items.length === 0) slice.backing = [];
      for (const [index, item] of items.entries()) {
        const place = { file, at: item.at, key, index };
        if (item.kind === "string") slice.backing[index] = { text: item.value, ...place };
        else if (item.kind === "null") decodeEmptyItem(slice, place, reading);
        else report("type", place, `must be ${one} in text form, not ${article(item.kind)}`);
      }
      return slice;
    },
    given: (texts, { key = "" }) => ({
      backing: texts.map((text) => ({ text, key, file: DEFAULTS })),
      length: texts.length,
      file: DEFAULTS,
    }),
    written: (texts) => texts,
  };
}

/** A null keeps the slice's value there; where there is none, Go sees an empty text, which has no value. */
function decodeEmptyItem(
  { backing }: Slice,
  place: Place & { readonly index: number },
  { kind, report, warn }: Reading,
): void {
  const earlier = backing[place.index];
  if (kind === "directory") {
    report("empty", place, "is empty, which is not allowed in a directory of files");
    return;
  }
  backing[place.index] = { text: earlier?.text ?? "", ...place };
  if (earlier === undefined || earlier.text === "") return;
  const whose = earlier.at === undefined ? "the built-in default" : "the entry of an earlier list";
  warn("empty", place, `is empty, and read as ${earlier.text}, ${whose} at its place`);
}

/** The entries of all files that have the key; in a directory the same text counts once. */
export function joined(slices: readonly Slice[], { kind }: Reporting): Slice {
  // flat() skips holes.
  const items = slices.flatMap(({ backing, length }) => backing.slice(0, length));
  const seen = new Set<string>();
  const [first] = slices as readonly [Slice, ...Slice[]];
  return {
    ...first,
    backing: kind === "file" ? items : items.filter(({ text }) => !seen.has(text) && seen.add(text)),
    length: slices.reduce((sum, { length }) => sum + length, 0),
  };
}

/** The values of a united list. */
export function parseItems<T>({ parse }: ListKind<T>, slice: Slice, reporting: Reporting): Entries<T> {
  const items: Item[] = [];
  const values: T[] = [];
  for (const item of slice.backing) {
    const value = parse(item, reporting);
    if (value === undefined) continue;
    items.push(item);
    values.push(value);
  }
  return { items, values };
}

function parseEntry(item: Item, { options, report }: Reporting): Cidr | undefined {
  const cidr = parseCidr(item.text);
  if (!isCidr(cidr)) {
    report("cidr", { ...item, text: writtenText(item) }, explainCidr(item.text, cidr));
    return undefined;
  }
  if (cidr.family === "IPv4" || options.enableIPv6) return cidr;
  report(
    "family",
    item,
    `ipv6 is not enabled, but ipv6 cidr ${cut(item.text, VALUE_CHARACTERS)} provided. Enable ipv6 using --enable-ipv6 agent flag`,
  );
  return undefined;
}

/** An entry as it was meant: to YAML, `!10.1.0.0/16` without quotes is a tag, with nothing after it. */
export function writtenText({ text, file, at = 0 }: Item): string {
  return text || (/^!\S+/.exec(file.text?.slice(at, at + VALUE_CHARACTERS) ?? "")?.[0] ?? "");
}

/** The Go program's words about a text that is not a valid CIDR. */
function explainCidr(text: string, failure: CidrFailure): string {
  const quoted = goQuote(cut(text, VALUE_CHARACTERS));
  if (failure.reason === "syntax") return `CIDR ${quoted} could not be parsed, invalid CIDR address`;
  const { address, network } = failure;
  return `CIDR ${quoted} is not aligned to a CIDR block, ip: "${address}" network: "${network}"`;
}
