/**
 * Removes from a report everything that identifies the node: addresses and names get pseudonyms, the same ones throughout. See
 * `pseudonyms.ts` for addresses, and `words.ts` for the words that count as names.
 */

import { type AddressMap, createAddressMap, type KeyedBits } from "./pseudonyms.ts";
import { createWords, isMark } from "./words.ts";

/** The known names of a node. */
export interface NodeNames {
  readonly hosts: readonly string[];
  readonly links: readonly string[];
}

export interface RedactionWorld {
  /** Words that are safe to publish. */
  readonly vocabulary: ReadonlySet<string>;
  readonly names: NodeNames;
  /** Bits from a fresh secret. */
  readonly createKeyedBits: () => KeyedBits;
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Tries as many secrets until no pseudonym is an address that the report had. */
const ATTEMPTS = 16;

/** The same value with pseudonyms. `value` must be a JSON value. */
export function redact(value: unknown, world: RedactionWorld): unknown {
  let redacted: unknown;
  for (let i = 0; i < ATTEMPTS; i++) {
    const addresses = createAddressMap(world.createKeyedBits());
    redacted = createRedactor(addresses, world)(value as Json);
    if (addresses.isClean()) break;
  }
  return redacted;
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/.source;
const MAC = /(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])/.source;
const V4 = /\d{1,3}(?:\.\d{1,3}){3}/.source;
const V4_END = /(?![\p{L}\p{N}_-]|\.[\p{L}\p{N}])/u.source;
const IPV4 = `(?<![\\p{L}\\p{N}_.-])${V4}(?:-${V4}|\\/${V4}|\\/\\d{1,3})?${V4_END}`;
const V6 = /(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F:.]*/.source;
const IPV6 = `(?<![\\p{L}\\p{N}_:.])${V6}(?:-${V6}|\\/${V6}|\\/\\d{1,3})?`;
const TOKEN = /[\p{L}\p{N}_][\p{L}\p{N}_.\-+@%*]*/u.source;
/** Remarks of other people: a comment in a configuration, and in a rule. */
const REMARK = /(?<=^|\s)#|(?:--comment|--(?:nf)?log-prefix|\bcomment) (?=")/.source;

function createRedactor(addresses: AddressMap, { vocabulary, names }: RedactionWorld): (value: Json) => Json {
  const kinds = new Map([
    ...names.hosts.map((name) => [name, "host"] as const),
    ...names.links.map((name) => [name, "link"] as const),
  ]);
  const words = createWords(vocabulary, new Set(kinds.keys()));
  const rename = createNaming();
  const isPlain = (text: string) =>
    [...text.matchAll(TOKENS)].every(([token]) => words.isCommon(trimmed(token)));
  const token = (text: string): string => {
    const word = trimmed(text);
    const kind = kinds.get(word);
    if (kind === undefined && words.isCommon(word)) return text;
    const head = kind === undefined ? words.head(word) : "";
    return `${head}${rename(word.slice(head.length), kind ?? "name")}${text.slice(word.length)}`;
  };
  const address = (text: string): string => {
    // The colon after an address, as in "fd00::1: masqueraded", does not belong to it.
    for (const end of [text.length, text.length - 1]) {
      const mapped = addresses.mapText(text.slice(0, end));
      if (mapped !== undefined) return `${mapped}${text.slice(end)}`;
    }
    return text.replace(TOKENS, token);
  };
  const remark = (mark: string, said: string): string =>
    isPlain(said)
      ? `${mark}${said.replace(ADDRESSES, address)}`
      : `${mark}${said.startsWith('"') ? JSON.stringify(rename(said, "text")) : ` ${rename(said, "text")}`}`;
  const pattern = patternFor([...kinds.keys()]);
  const text = (from: string): string =>
    from.replace(pattern, (...found) => {
      const [whole] = found as [string];
      const groups = found.at(-1) as Groups;
      if (groups.time !== undefined) return whole;
      if (groups.odd !== undefined) return rename(whole, kinds.get(whole) ?? "name");
      if (groups.remark !== undefined) return remark(groups.remark, groups.said ?? "");
      if (groups.mac !== undefined) return rename(whole.toLowerCase(), "mac");
      return groups.address === undefined ? token(whole) : address(whole);
    });
  // A link may be called as a member is, and the report's shape must stay.
  const isKey = createWords(vocabulary, new Set()).isCommon;
  return createWalk({ text, addresses, isKey, rename, isPlain });
}

/** The match, by its kind; nothing for a token. */
type Groups = Readonly<Partial<Record<"time" | "odd" | "remark" | "said" | "mac" | "address", string>>>;

/** Gives the same name the same pseudonym: `name-1`, `link-2`. */
function createNaming(): (name: string, kind: string) => string {
  const pseudonyms = new Map<string, string>();
  const counts = new Map<string, number>();
  return (name, kind) => {
    const found = pseudonyms.get(name);
    if (found !== undefined) return found;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    const pseudonym = `${kind}-${count}`;
    pseudonyms.set(name, pseudonym);
    return pseudonym;
  };
}

const TOKENS = new RegExp(TOKEN, "gu");
const ADDRESSES = new RegExp(`${IPV6}|${IPV4}`, "gu");

function patternFor(names: readonly string[]): RegExp {
  // Names that a token cannot be.
  const odd = names.filter((name) => !new RegExp(`^${TOKEN}$`, "u").test(name) || trimmed(name) !== name);
  const escaped = odd.map((name) => name.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  const either = escaped.length === 0 ? "(?!)" : escaped.join("|");
  const parts = [
    `(?<time>${TIME})`,
    `(?<odd>${either})`,
    `(?<remark>${REMARK})(?<said>(?<=#)[^\\n]*|"(?:[^"\\\\]|\\\\.)*")`,
    `(?<mac>${MAC})`,
    `(?<address>${IPV6}|${IPV4})`,
    TOKEN,
  ];
  return new RegExp(parts.join("|"), "gu");
}

function trimmed(token: string): string {
  return token.replace(/[.\-+@%*]+$/, "");
}

interface Replacers {
  readonly text: (from: string) => string;
  readonly addresses: AddressMap;
  /** Whether a member's name may be shown. */
  readonly isKey: (name: string) => boolean;
  readonly isPlain: (text: string) => boolean;
  readonly rename: (name: string, kind: string) => string;
}

/** Members whose text is a remark. */
const REMARKS = new Set(["comment", "prefix"]);
/** Members that count, and do not reveal addresses. */
const COUNTS = new Set(["handle", "packets", "bytes", "addresses"]);

function createWalk(replacers: Replacers): (value: Json) => Json {
  const { text, addresses, isKey, isPlain, rename } = replacers;
  const ofText = (value: string, key: string): string =>
    REMARKS.has(key) && !isPlain(value) ? rename(value, "text") : text(value);
  const ofNumber = (value: number, key: string): Json =>
    COUNTS.has(key) || !Number.isInteger(value) || isMark(BigInt(Math.abs(value)))
      ? value
      : rename(String(value), "number");
  const ofMembers = (value: { readonly [key: string]: Json }): Json => {
    const { addr, len, range } = value;
    const walked = Object.fromEntries(
      Object.entries(value).map(([key, one]) => [isKey(key) ? key : text(key), walk(one, key)]),
    );
    const network = typeof addr === "string" && typeof len === "number" ? `${addr}/${len}` : "";
    const [prefix] = addresses.mapText(network)?.split("/") ?? [];
    const ends = Array.isArray(range) ? addresses.mapText(range.join("-"))?.split("-") : undefined;
    return {
      ...walked,
      ...(prefix === undefined ? {} : { addr: prefix }),
      ...(ends === undefined ? {} : { range: ends }),
    };
  };
  const walk = (value: Json, key: string): Json => {
    if (typeof value === "string") return ofText(value, key);
    if (typeof value === "number") return isRules(key) ? ofNumber(value, key) : value;
    if (Array.isArray(value)) return value.map((one) => walk(one, key));
    return typeof value === "object" && value !== null ? ofMembers(value as { [key: string]: Json }) : value;
  };
  return (value) => walk(value, "");
}

/** Where nft writes an address as a number: a rule compares bytes of a packet with it. */
function isRules(key: string): boolean {
  return ["right", "left", "elem", "val", "set", "range", "&", "|", "^"].includes(key);
}
