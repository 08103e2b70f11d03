/**
 * Other programs' objects, as the kernel keeps them: rules as complete lists of expressions, and the elements of
 * sets and maps of any type. For readers who must see everything; this library's own rules are read as statements
 * (decode-rule.ts).
 */
import {
  type Attributes,
  eachAttribute,
  type Message,
  readAttributes,
  readI32,
  readString,
  readU32,
} from "./attributes.ts";
import { type FAMILIES, NFT_MSG, NFTA } from "./constants.ts";
import { readChain } from "./decode.ts";
import { type Expression, readExpressions, valueIn } from "./expression.ts";
import type { ObservedChain } from "./operations.ts";
import { type Query, type Reader, readEach, readTogether } from "./query.ts";
import { commentOf } from "./userdata.ts";

/** A table of any family. */
export interface RawTableName {
  readonly family: keyof typeof FAMILIES;
  readonly table: string;
}

export interface RawRule {
  readonly chain: string;
  readonly expressions: readonly Expression[];
  readonly comment?: string | undefined;
}

export interface RawSet {
  readonly name: string;
  readonly flags: number;
}

/** Where a packet goes next; `code` is one of VERDICTS, or another of the kernel's. */
export interface RawVerdict {
  readonly code: number;
  readonly chain?: string | undefined;
}

/** An element. Without `keyEnd`, an interval is two: its first key and, with a flag, the one after its last. */
export interface RawElement {
  readonly key: Uint8Array;
  readonly keyEnd?: Uint8Array | undefined;
  readonly flags: number;
  readonly verdict?: RawVerdict | undefined;
  /** A map's value for the key, if it is not a verdict. */
  readonly data?: Uint8Array | undefined;
}

/** The chains of a table. */
export function rawChains({ family, table }: RawTableName): Query<ObservedChain[]> {
  const read = readTogether((messages) =>
    messages.map(readChain).filter((chain) => chain.table === table && chain.family === family),
  );
  return list(`chains of ${family} ${table}`, NFT_MSG.GETCHAIN, family, {}, read);
}

/** All rules of a table, those of a chain in their order. */
export function rawRules({ family, table }: RawTableName): Query<RawRule[]> {
  const names = { [NFTA.RULE.TABLE]: table };
  const read = readEach(readRule);
  return list(`rules of ${family} ${table}`, NFT_MSG.GETRULE, family, names, read);
}

/** Gives all rules of a table to what takes them, one by one; it is made again where the list has to be read again. */
export function rulesInto<T>(
  { family, table }: RawTableName,
  create: () => { readonly add: (rule: RawRule) => void; readonly value: () => T },
): Query<T> {
  const names = { [NFTA.RULE.TABLE]: table };
  return list(`rules of ${family} ${table}`, NFT_MSG.GETRULE, family, names, () => {
    const { add, value } = create();
    return { add: (message: Message) => add(readRule(message)), value };
  });
}

/** How many rules a table has. */
export function ruleCount({ family, table }: RawTableName): Query<number> {
  const names = { [NFTA.RULE.TABLE]: table };
  return list(`rules of ${family} ${table}`, NFT_MSG.GETRULE, family, names, countAnswers);
}

export function rawSets({ family, table }: RawTableName): Query<RawSet[]> {
  const names = { [NFTA.SET.TABLE]: table };
  const read = readEach(readSet);
  return list(`sets of ${family} ${table}`, NFT_MSG.GETSET, family, names, read);
}

export function rawElements({ family, table }: RawTableName, set: string): Query<RawElement[]> {
  const read = readTogether((messages) => messages.flatMap(readElements));
  return elementQuery({ family, table }, set, read);
}

/** The elements of a set, or undefined if there are more than `most`. */
export function fewElements(name: RawTableName, set: string, most: number): Query<RawElement[] | undefined> {
  return elementQuery(name, set, () => {
    let elements: RawElement[] | undefined = [];
    const add = (message: Message) => {
      elements?.push(...readElements(message));
      if ((elements?.length ?? 0) > most) elements = undefined;
    };
    return { add, value: () => elements };
  });
}

function elementQuery<T>({ family, table }: RawTableName, set: string, reader: Query<T>["reader"]): Query<T> {
  const names = { [NFTA.SET_ELEM_LIST.TABLE]: table, [NFTA.SET_ELEM_LIST.SET]: set };
  return list(`elements of ${family} ${table} ${set}`, NFT_MSG.GETSETELEM, family, names, reader);
}

function countAnswers(): Reader<number> {
  let count = 0;
  return { add: () => void count++, value: () => count };
}

function list<T>(
  what: string,
  type: number,
  family: RawTableName["family"],
  names: Query<T>["names"],
  reader: Query<T>["reader"],
): Query<T> {
  return { what, type, isList: true, family, names, reader };
}

function readRule({ attributes }: Message): RawRule {
  const read = readAttributes(attributes);
  return {
    chain: readString(read.get(NFTA.RULE.CHAIN)) ?? "",
    expressions: readExpressions(read.get(NFTA.RULE.EXPRESSIONS)),
    comment: commentOf(read.get(NFTA.RULE.USERDATA)),
  };
}

function readSet({ attributes }: Message): RawSet {
  const read = readAttributes(attributes);
  return {
    name: readString(read.get(NFTA.SET.NAME)) ?? "",
    flags: readU32(read.get(NFTA.SET.FLAGS)) ?? 0,
  };
}

function readElements({ attributes }: Message): RawElement[] {
  const elements: RawElement[] = [];
  const all = readAttributes(attributes).get(NFTA.SET_ELEM_LIST.ELEMENTS);
  if (all !== undefined) eachAttribute(all, (_, bytes) => elements.push(readElement(readAttributes(bytes))));
  return elements;
}

function readElement(read: Attributes): RawElement {
  const data = readAttributes(read.get(NFTA.SET_ELEM.DATA));
  return {
    key: valueIn(read.get(NFTA.SET_ELEM.KEY)) ?? new Uint8Array(),
    keyEnd: valueIn(read.get(NFTA.SET_ELEM.KEY_END)),
    flags: readU32(read.get(NFTA.SET_ELEM.FLAGS)) ?? 0,
    verdict: readVerdict(data.get(NFTA.DATA.VERDICT)),
    data: data.get(NFTA.DATA.VALUE),
  };
}

/** A verdict's own attributes as a value; undefined if there are none. */
export function readVerdict(bytes: Uint8Array | undefined): RawVerdict | undefined {
  const read = readAttributes(bytes);
  const code = readI32(read.get(NFTA.VERDICT.CODE));
  return code === undefined ? undefined : { code, chain: readString(read.get(NFTA.VERDICT.CHAIN)) };
}
