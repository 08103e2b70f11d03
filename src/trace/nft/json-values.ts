/** Values in `nft -j`: addresses, words, and the members of sets. */
import { type Family, parseBlock } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";

/** JSON that has not been checked. */
export type Json = unknown;

/** An object of which we know only the names that we look for. */
export type Fields = { readonly [Name in Field]?: Json };

type Field =
  | "nftables"
  | "family"
  | "table"
  | "chain"
  | "name"
  | "type"
  | "hook"
  | "prio"
  | "policy"
  | "expr"
  | "comment"
  | "elem"
  | "op"
  | "left"
  | "right"
  | "protocol"
  | "field"
  | "key"
  | "dir"
  | "result"
  | "flags"
  | "set"
  | "val"
  | "addr"
  | "len"
  | "target"
  | "data"
  | "value"
  | "port"
  | "mode"
  | "mod"
  | "dev"
  | "offset"
  | "type_flags"
  | "base"
  | "stmt"
  | "rate"
  | "per"
  | "val_unit"
  | "inv";

/** Elements of a table's sets and maps, as the dump has them. */
export interface Elements {
  /** By name; without those that packets change. */
  readonly lists: ReadonlyMap<string, readonly Json[]>;
  /** The names of those whose elements expire. */
  readonly expiring: ReadonlySet<string>;
}

/** The name and value of an object that has one member. */
export function onlyMember(json: Json): [string?, Json?] {
  return isObject(json) ? (Object.entries(json)[0] ?? []) : [];
}

/** Whether a value is an object with members. */
export function isObject(json: Json): json is Fields {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** The possible values: the value itself, the members of a set, or those of a set with a name. */
export function members(right: Json, elements: Elements): readonly Json[] | undefined {
  if (typeof right === "string" && right.startsWith("@"))
    return elements.lists.get(right.slice(1))?.map(unwrap);
  if (isObject(right) && Array.isArray(right.set)) return right.set.map(unwrap);
  return Array.isArray(right) ? right.map(unwrap) : [right];
}

/** An element with a timeout, a comment or a counter is in an object of its own. */
export function unwrap(element: Json): Json {
  const [kind, value] = onlyMember(element);
  return kind === "elem" && isObject(value) ? value.val : element;
}

/** A value as words; undefined if it is anything else. */
export function words(right: Json, elements: Elements): string[] | undefined {
  const all = members(right, elements);
  return all?.every((one) => typeof one === "string" || typeof one === "number") === true
    ? all.map(String)
    : undefined;
}

/** A value as sorted addresses; undefined if it is anything else. */
export function addressIntervals(right: Json, family: Family, elements: Elements): Interval[] | undefined {
  const read = members(right, elements)?.map((one) => addressInterval(one, family));
  if (read === undefined || read.includes(undefined)) return undefined;
  const sorted = (read as Interval[]).sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  return sorted;
}

function addressInterval(json: Json, family: Family): Interval | undefined {
  if (typeof json === "string") return parseBlock(json, family);
  const [kind, value] = onlyMember(json);
  if (kind === "range" && Array.isArray(value)) {
    const [first, last] = value.map((one) => addressInterval(one, family));
    return first === undefined || last === undefined ? undefined : { first: first.first, last: last.last };
  }
  if (kind !== "prefix" || !isObject(value)) return undefined;
  return parseBlock(`${String(value.addr)}/${String(value.len)}`, family);
}

/** A rule's text, similar to `nft list ruleset`, so that operators find it. */
export function ruleText(expressions: readonly Json[]): string {
  return expressions.map(expressionText).filter(Boolean).join(" ");
}

function expressionText(expression: Json): string {
  const [kind = "", value] = onlyMember(expression);
  if (kind === "counter") return kind;
  if (kind === "match" && isObject(value))
    return [
      textOf(value.left),
      ...(value.op === "==" || value.op === "in" ? [] : [value.op]),
      textOf(value.right),
    ].join(" ");
  if ((kind === "jump" || kind === "goto") && isObject(value)) return `${kind} ${String(value.target)}`;
  if (kind === "vmap" && isObject(value)) return `${textOf(value.key)} vmap ${textOf(value.data)}`;
  if (kind === "mangle" && isObject(value)) return `${textOf(value.key)} set ${textOf(value.value)}`;
  if (kind === "xt" && isObject(value))
    return value.type === "target" ? `-j ${String(value.name)}` : `-m ${String(value.name)}`;
  if (!isObject(value)) return kind;
  return `${kind} ${Object.values(value as object)
    .map(textOf)
    .join(" ")}`;
}

/** A value as nft would write it, as far as that is short. */
export function textOf(json: Json): string {
  if (Array.isArray(json)) return json.map(unwrap).map(textOf).join(" : ");
  if (typeof json === "string") return json;
  if (typeof json === "number") return json > 0xffff ? `0x${json.toString(16)}` : String(json);
  const [kind = "", value] = onlyMember(json);
  if (kind === "payload" && isObject(value))
    return value.field === undefined
      ? `@${String(value.base)},${String(value.offset)},${String(value.len)}`
      : `${String(value.protocol)} ${String(value.field)}`;
  if ((kind === "meta" || kind === "ct") && isObject(value)) return `${kind} ${String(value.key)}`;
  if (kind === "fib" && isObject(value))
    return `fib ${[value.flags].flat().join(" ")} ${String(value.result)}`;
  if (kind === "prefix" && isObject(value)) return `${String(value.addr)}/${String(value.len)}`;
  if (kind === "range" && Array.isArray(value)) return value.map(textOf).join("-");
  if (/^[&|^]$/.test(kind) && Array.isArray(value)) return value.map(textOf).join(` ${kind} `);
  if (kind === "numgen" && isObject(value)) return `numgen ${String(value.mode)} mod ${String(value.mod)}`;
  if (["limit", "quota", "ct count"].includes(kind) && isObject(value)) return limitText(kind, value);
  if (kind === "concat" && Array.isArray(value)) return value.map(textOf).join(" . ");
  if (kind === "set" && Array.isArray(value))
    return `{ ${value.slice(0, 4).map(unwrap).map(textOf).join(", ")}${value.length > 4 ? ", …" : ""} }`;
  return shortJson(json);
}

function limitText(kind: string, { rate, per, val, val_unit: unit, inv }: Fields): string {
  const over = inv === true ? "over " : "";
  if (kind === "limit") return `limit rate ${over}${String(rate)}/${String(per)}`;
  return [kind, `${over}${String(val)}`, ...(typeof unit === "string" ? [unit] : [])].join(" ");
}

/** JSON as text, not longer than a line. */
export function shortJson(json: Json): string {
  const text = JSON.stringify(json);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

/** Whether a key is the packet's mark. */
export function isMark(json: Json): boolean {
  return shortJson(json) === '{"meta":{"key":"mark"}}';
}

/** Whether a key is the mark of the packet's connection. */
export function isConnectionMark(json: Json): boolean {
  return shortJson(json) === '{"ct":{"key":"mark"}}';
}

const CHANCES = ["numgen", "jhash", "symhash"];

/** Whether a key is a number that is chosen at random, in turn, or by a hash of the packet. */
export function isChance(key: Json): boolean {
  return CHANCES.includes(onlyMember(key)[0] ?? "");
}

/** Whether this number of elements covers all results of a choice. */
export function isExhaustive(key: Json, size: number): boolean {
  const [, choice] = onlyMember(key);
  return isChance(key) && isObject(choice) && typeof choice.mod === "number" && size >= choice.mod;
}
