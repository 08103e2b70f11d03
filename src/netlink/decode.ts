/** The kernel's messages about its objects, as values. */
import {
  type Attributes,
  type Message,
  readAttributes,
  readI32,
  readString,
  readU32,
  readU64,
} from "./attributes.ts";
import { DEVICE_HOOKS, FAMILIES, HOOKS, KEYS, NFTA, SET_FLAGS, VERDICTS } from "./constants.ts";
import { readStatements } from "./decode-rule.ts";
import type {
  ObservedChain,
  ObservedObject,
  ObservedRule,
  ObservedSet,
  ObservedTable,
} from "./operations.ts";
import { commentOf, setCommentOf } from "./userdata.ts";

/** NFT_TABLE_F_DORMANT of linux/netfilter/nf_tables.h: its chains are not called. */
const DORMANT = 1;
/** NFT_TABLE_F_OWNER: only the socket that made it may change it. */
const OWNED = 2;
/** NFT_CHAIN_BINDING. */
const BOUND = 4;

export function readTable({ family, attributes }: Message): ObservedTable {
  const read = readAttributes(attributes);
  const flags = readU32(read.get(NFTA.TABLE.FLAGS)) ?? 0;
  return {
    family: familyName(family),
    table: nameIn(read, NFTA.TABLE.NAME),
    handle: handleIn(read, NFTA.TABLE.HANDLE),
    dormant: (flags & DORMANT) !== 0,
    ...maybe("owner", (flags & OWNED) === 0 ? undefined : (readU32(read.get(NFTA.TABLE.OWNER)) ?? 0)),
    ...maybe("comment", commentOf(read.get(NFTA.TABLE.USERDATA))),
  };
}

export function readChain({ family, attributes }: Message): ObservedChain {
  const read = readAttributes(attributes);
  return {
    family: familyName(family),
    table: nameIn(read, NFTA.CHAIN.TABLE),
    chain: nameIn(read, NFTA.CHAIN.NAME),
    handle: handleIn(read, NFTA.CHAIN.HANDLE),
    ...maybe("bound", ((readU32(read.get(NFTA.CHAIN.FLAGS)) ?? 0) & BOUND) !== 0 || undefined),
    ...maybe("base", readBase(read, DEVICE_FAMILIES.includes(family) ? DEVICE_HOOKS : HOOKS)),
  };
}

/** The hooks of a device have different numbers. */
const DEVICE_FAMILIES: readonly number[] = [FAMILIES.netdev];

function readBase(read: Attributes, hooks: readonly string[]): ObservedChain["base"] {
  if (!read.has(NFTA.CHAIN.HOOK)) return undefined;
  const hook = readAttributes(read.get(NFTA.CHAIN.HOOK));
  const number = readU32(hook.get(NFTA.HOOK.HOOKNUM)) ?? -1;
  return {
    type: nameIn(read, NFTA.CHAIN.TYPE),
    hook: hooks[number] ?? `hook ${number}`,
    priority: readI32(hook.get(NFTA.HOOK.PRIORITY)) ?? 0,
    policy: readU32(read.get(NFTA.CHAIN.POLICY)) === VERDICTS.drop ? "drop" : "accept",
  };
}

export function readSet({ family, attributes }: Message): ObservedSet {
  const read = readAttributes(attributes);
  return {
    family: familyName(family),
    table: nameIn(read, NFTA.SET.TABLE),
    set: nameIn(read, NFTA.SET.NAME),
    handle: handleIn(read, NFTA.SET.HANDLE),
    key: keyName(readU32(read.get(NFTA.SET.KEY_TYPE))),
    flags: setFlags(readU32(read.get(NFTA.SET.FLAGS)) ?? 0),
    ...maybe("count", readU32(read.get(NFTA.SET.COUNT))),
    ...maybe("size", readU32(readAttributes(read.get(NFTA.SET.DESC)).get(NFTA.SET_DESC.SIZE))),
    ...maybe("comment", setCommentOf(read.get(NFTA.SET.USERDATA))),
  };
}

function keyName(type: number | undefined): string {
  const known = Object.entries(KEYS).find(([, key]) => key.type === type);
  return known?.[0] ?? `type ${type}`;
}

function setFlags(bits: number): string[] {
  const known = Object.entries(SET_FLAGS).filter(([, flag]) => (bits & flag) !== 0);
  const rest = known.reduce((left, [, flag]) => left & ~flag, bits);
  return [...known.map(([name]) => name), ...(rest === 0 ? [] : [`0x${rest.toString(16)}`])];
}

export function readObject({ attributes }: Message): ObservedObject {
  const read = readAttributes(attributes);
  return {
    kind: "object",
    name: nameIn(read, NFTA.OBJ.NAME),
    handle: handleIn(read, NFTA.OBJ.HANDLE),
    ...maybe("type", readU32(read.get(NFTA.OBJ.TYPE))),
  };
}

export function readFlowtable({ attributes }: Message): ObservedObject {
  const read = readAttributes(attributes);
  const { NAME, HANDLE } = NFTA.FLOWTABLE;
  return { kind: "flowtable", name: nameIn(read, NAME), handle: handleIn(read, HANDLE) };
}

export function readRule({ family, attributes }: Message): ObservedRule {
  const read = readAttributes(attributes);
  return {
    family: familyName(family),
    table: nameIn(read, NFTA.RULE.TABLE),
    chain: nameIn(read, NFTA.RULE.CHAIN),
    handle: handleIn(read, NFTA.RULE.HANDLE),
    statements: readStatements(read.get(NFTA.RULE.EXPRESSIONS), family),
    ...maybe("comment", commentOf(read.get(NFTA.RULE.USERDATA))),
  };
}

/** The ruleset's generation, which counts commits; each network namespace has its own. */
export function readGeneration({ attributes }: Message): number {
  return readU32(readAttributes(attributes).get(NFTA.GEN.ID)) ?? 0;
}

function familyName(number: number): string {
  const known = Object.entries(FAMILIES).find(([, value]) => value === number);
  return known?.[0] ?? `family ${number}`;
}

function nameIn(read: Attributes, type: number): string {
  return readString(read.get(type)) ?? "";
}

/** Handles count up from 1 in each table: far from where numbers stop being exact. */
function handleIn(read: Attributes, type: number): number {
  return Number(readU64(read.get(type)) ?? 0n);
}

/** A property, if there is a value for it. */
function maybe<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
