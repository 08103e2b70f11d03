/**
 * Questions to the kernel as values: which message asks, and how the answer is read. A question about one name
 * costs the same however large the rest of the ruleset is. The kernel restricts lists to a table, except for
 * chains: it lists all of the family.
 */
import { closeMessage, createWriter, type Message, openMessage, putString, written } from "./attributes.ts";
import { FAMILIES, NFT_MSG, NFTA, NLM_F } from "./constants.ts";
import {
  readChain,
  readFlowtable,
  readGeneration,
  readObject,
  readRule,
  readSet,
  readTable,
} from "./decode.ts";
import { readIntervals } from "./decode-elements.ts";
import { messageType } from "./messages.ts";
import type * as nft from "./operations.ts";
import { type RuleImage, readRuleImage } from "./rule-image.ts";

export interface Query<T> {
  /** For people, such as `chain inet filter input`. */
  readonly what: string;
  /** NFT_MSG_GET... */
  readonly type: number;
  /** Whether there can be any number of answers, or only one (or the error ENOENT). */
  readonly isList: boolean;
  readonly family: keyof typeof FAMILIES | "any";
  /** Attributes that name the object, by their numbers. */
  readonly names: Readonly<Record<number, string>>;
  /** Reads the answers as they arrive, so that memory does not hold a long list twice. */
  readonly reader: () => Reader<T>;
}

export interface Reader<T> {
  readonly add: (message: Message) => void;
  /** The value of all answers. */
  readonly value: () => T;
}

/** Reads each answer by itself, the first `most` of them. */
export function readEach<T>(
  readOne: (message: Message) => T,
  most = Number.POSITIVE_INFINITY,
): Query<T[]>["reader"] {
  return () => {
    const values: T[] = [];
    const add = (message: Message) => {
      if (values.length < most) values.push(readOne(message));
    };
    return { add, value: () => values };
  };
}

/** Reads all answers at once. */
export function readTogether<T>(read: (messages: readonly Message[]) => T): Query<T>["reader"] {
  return () => {
    const messages: Message[] = [];
    return { add: (message) => void messages.push(message), value: () => read(messages) };
  };
}

type Names = Pick<Query<unknown>, "family" | "names">;

/** The ruleset's generation: it changes with every commit of any process. */
export function generation(): Query<number> {
  return one("generation", NFT_MSG.GETGEN, { family: "any", names: {} }, readGeneration);
}

export function table({ family, table }: nft.TableName): Query<nft.ObservedTable> {
  const names = { [NFTA.TABLE.NAME]: table };
  return one(`table ${family} ${table}`, NFT_MSG.GETTABLE, { family, names }, readTable);
}

/** The tables of every family. */
export function tables(): Query<nft.ObservedTable[]> {
  return list("tables", NFT_MSG.GETTABLE, { family: "any", names: {} }, readTable);
}

export function chain({ family, table, chain }: nft.ChainName): Query<nft.ObservedChain> {
  const names = { [NFTA.CHAIN.TABLE]: table, [NFTA.CHAIN.NAME]: chain };
  return one(`chain ${family} ${table} ${chain}`, NFT_MSG.GETCHAIN, { family, names }, readChain);
}

export function chains({ family, table }: nft.TableName): Query<nft.ObservedChain[]> {
  const reader = readTogether((messages) => messages.map(readChain).filter((each) => each.table === table));
  const what = `chains of ${family} ${table}`;
  return { what, type: NFT_MSG.GETCHAIN, isList: true, family, names: {}, reader };
}

export function set({ family, table, set }: nft.SetName): Query<nft.ObservedSet> {
  const names = { [NFTA.SET.TABLE]: table, [NFTA.SET.NAME]: set };
  return one(`set ${family} ${table} ${set}`, NFT_MSG.GETSET, { family, names }, readSet);
}

export function sets({ family, table }: nft.TableName): Query<nft.ObservedSet[]> {
  const names = { [NFTA.SET.TABLE]: table };
  return list(`sets of ${family} ${table}`, NFT_MSG.GETSET, { family, names }, readSet);
}

/** Counters, quotas and the like that have names. */
export function objects({ family, table }: nft.TableName): Query<nft.ObservedObject[]> {
  const names = { [NFTA.OBJ.TABLE]: table };
  return list(`objects of ${family} ${table}`, NFT_MSG.GETOBJ, { family, names }, readObject);
}

export function flowtables({ family, table }: nft.TableName): Query<nft.ObservedObject[]> {
  const names = { [NFTA.FLOWTABLE.TABLE]: table };
  return list(`flowtables of ${family} ${table}`, NFT_MSG.GETFLOWTABLE, { family, names }, readFlowtable);
}

/** The intervals of a set whose key is known; asking for a set of another key finds none. */
export function elements(name: nft.SetName & { readonly key: nft.SetKey }): Query<nft.ElementInterval[]> {
  const { family, table, set, key } = name;
  const names = { [NFTA.SET_ELEM_LIST.TABLE]: table, [NFTA.SET_ELEM_LIST.SET]: set };
  const reader = readTogether((messages) => readIntervals(messages, key));
  return {
    what: `elements of ${family} ${table} ${set}`,
    type: NFT_MSG.GETSETELEM,
    isList: true,
    family,
    names,
    reader,
  };
}

/** The first rules of a chain in their order, all of them without `most`. A chain that does not exist has none. */
export function rules({ family, table, chain }: nft.ChainName, most?: number): Query<nft.ObservedRule[]> {
  const names = { [NFTA.RULE.TABLE]: table, [NFTA.RULE.CHAIN]: chain };
  const all = list(`rules of ${family} ${table} ${chain}`, NFT_MSG.GETRULE, { family, names }, readRule);
  return { ...all, reader: readEach(readRule, most) };
}

/** The same rules, made by any program, as images to compare. A chain that does not exist has none. */
export function ruleImages({ family, table, chain }: nft.ChainName): Query<RuleImage[]> {
  const names = { [NFTA.RULE.TABLE]: table, [NFTA.RULE.CHAIN]: chain };
  return list(`rules of ${family} ${table} ${chain}`, NFT_MSG.GETRULE, { family, names }, readRuleImage);
}

function one<T>(what: string, type: number, names: Names, readOne: (message: Message) => T): Query<T> {
  const reader = readTogether(([first]) => {
    if (first === undefined) throw new Error(`no answer to the question for ${what}`);
    return readOne(first);
  });
  return { what, type, isList: false, ...names, reader };
}

function list<T>(what: string, type: number, names: Names, readOne: (message: Message) => T): Query<T[]> {
  return { what, type, isList: true, ...names, reader: readEach(readOne) };
}

/** The bytes of a question. */
export function encodeQuery(query: Query<unknown>, sequence: number): Uint8Array<ArrayBuffer> {
  const writer = createWriter();
  const start = openMessage(writer, {
    type: messageType(query.type),
    flags: NLM_F.REQUEST | (query.isList ? NLM_F.DUMP : 0),
    sequence,
    family: query.family === "any" ? 0 : FAMILIES[query.family],
  });
  for (const [type, name] of Object.entries(query.names)) putString(writer, Number(type), name);
  closeMessage(writer, start);
  return written(writer);
}
