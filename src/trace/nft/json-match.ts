/** Translates the matches of an expression of `nft -j` into conditions. */
import { type Family, familyNamed, parseBlock } from "../../core/cidr.ts";
import { asksSocket, type Condition, constant, type PortRange, type Side } from "../model.ts";
import { PROTOCOLS, protocolName } from "../protocols.ts";
import { readPorts } from "./json-target.ts";
import { readTcpFlags } from "./json-tcp-flags.ts";
import {
  addressIntervals,
  type Elements,
  type Fields,
  isChance,
  isConnectionMark,
  isMark,
  isObject,
  type Json,
  members,
  onlyMember,
  textOf,
  words,
} from "./json-values.ts";

/** A condition that we do not know, abridged. */
export function unknown(json: Json): Condition {
  return { kind: "unknown", text: textOf(json), negated: false };
}

/** The conditions of an expression `match`. */
export function readMatch(match: Json, elements: Elements): Condition[] {
  if (!isObject(match)) return [unknown(match)];
  const { op, left, right } = match;
  const isEqual = op === "==" || op === "in";
  const head = {
    negated: op === "!=",
    text: `${textOf(left)} ${isEqual ? "" : `${String(op)} `}${textOf(right)}`,
  };
  if (asksSocket(textOf(left))) return [constant(head.text, false)];
  const flags = readTcpFlags(head.text, match);
  if (flags !== undefined) return flags;
  const open: Condition[] = [{ ...head, negated: false, kind: "unknown" }];
  const within = isEqual || op === "!=" ? right : rangeOf(op, right);
  if (within === undefined) return open;
  const name = typeof right === "string" && right.startsWith("@") ? right.slice(1) : undefined;
  if (name === undefined || !elements.expiring.has(name))
    return readTest(head, left, within, elements) ?? open;
  // An element may have expired when the packet comes; an absent element stays absent.
  const tests = readTest({ ...head, negated: false }, left, within, elements);
  return tests === undefined ? open : [{ ...head, kind: "either", lists: [[...tests, ...open]] }];
}

type Head = Pick<Condition, "text" | "negated">;

/** The condition on `left`. */
function readTest(head: Head, left: Json, right: Json, elements: Elements): Condition[] | undefined {
  const [kind, key] = onlyMember(left);
  if (kind === "concat") return readConcat(head, left, right, elements);
  if (kind === "payload" && isObject(key)) return readPayload(head, key, right, elements);
  if (kind === "meta" && isObject(key)) return readMeta(head, key.key, right, elements);
  if (kind === "fib" && isObject(key)) return readFib(head, key, right);
  if (isChance(left)) return [{ ...head, negated: false, kind: "chance" }];
  if (isConnectionMark(left)) return readMark(head, right, 0xffffffff, CONNECTIONS);
  if (kind === "ct" && isObject(key) && key.dir !== undefined)
    return key.dir === "original" ? readOriginal(head, key.key, right, elements) : undefined;
  if (kind === "ct" && isObject(key) && key.key === "direction") {
    const isKnown = right === "original" || right === "reply";
    return isKnown ? [{ ...head, kind: "connection", holds: right === "original" }] : undefined;
  }
  if (kind === "ct" && isObject(key)) {
    const states = words(right, elements);
    const isKnown = key.key === "state" || (key.key === "status" && isTranslation(states));
    return states === undefined || !isKnown ? undefined : [{ ...head, kind: "state", states }];
  }
  if (kind === "&" && Array.isArray(key)) {
    const [field, mask] = key;
    const isPackets = isMark(field);
    if (typeof mask === "number" && (isPackets || isConnectionMark(field)))
      return readMark(head, right, mask, isPackets ? {} : CONNECTIONS);
    const [what, payload] = onlyMember(field);
    return what === "payload" && isObject(payload) ? readBits(head, payload, mask, right) : undefined;
  }
  return undefined;
}

/** Numbers below or above another. */
function rangeOf(op: Json, right: Json): Json {
  if (typeof right !== "number") return undefined;
  const ends = { "<": [0, right - 1], "<=": [0, right], ">": [right + 1, 65535], ">=": [right, 65535] };
  const range = ends[op as keyof typeof ends];
  return range === undefined ? undefined : { range };
}

/** Of conntrack's status, only the bits for NAT. */
function isTranslation(states: readonly string[] | undefined): boolean {
  return states?.every((state) => state === "snat" || state === "dnat") === true;
}

/** Several things at once: one of the elements, each part of it. */
function readConcat(head: Head, left: Json, right: Json, elements: Elements): Condition[] | undefined {
  const lists = members(right, elements)?.map((element) => testElement(head, left, element, elements));
  return lists === undefined ? undefined : [{ ...head, kind: "either", lists }];
}

/** That a packet has the key of an element of a set or map. */
export function testElement(head: Head, key: Json, element: Json, elements: Elements): Condition[] {
  const parts = concatenated(key);
  const values = concatenated(element);
  if (parts === undefined || values === undefined)
    return readTest({ ...head, negated: false }, key, element, elements) ?? [{ ...head, kind: "unknown" }];
  return parts.flatMap((part, i) => {
    const one = { negated: false, text: `${textOf(part)} ${textOf(values[i])}` };
    return readTest(one, part, values[i], elements) ?? [{ ...one, kind: "unknown" } as const];
  });
}

function concatenated(json: Json): readonly Json[] | undefined {
  const [kind, parts] = onlyMember(json);
  return kind === "concat" && Array.isArray(parts) ? parts : undefined;
}

function readPayload(
  head: Head,
  { protocol, field }: Fields,
  right: Json,
  elements: Elements,
): Condition[] | undefined {
  const family = familyNamed(String(protocol));
  if (family !== undefined && (field === "daddr" || field === "saddr")) {
    const intervals = addressIntervals(right, family, elements);
    const side: Side = field === "daddr" ? "destination" : "source";
    return intervals === undefined ? undefined : [{ ...head, kind: "address", side, family, intervals }];
  }
  const only = headerConditions(String(protocol), family);
  if (field === "protocol" || field === "nexthdr") {
    const protocols = words(right, elements);
    return protocols === undefined
      ? undefined
      : [...only, { ...head, kind: "protocol", protocols: protocols.map(protocolName) }];
  }
  const side: Side | undefined = field === "dport" ? "destination" : field === "sport" ? "source" : undefined;
  const ports = side === undefined ? undefined : members(right, elements)?.map(readPorts);
  const isKnown = side !== undefined && ports?.includes(undefined) === false;
  const rest: Condition = isKnown
    ? { ...head, kind: "port", side, ranges: ports as PortRange[] }
    : { ...head, negated: false, kind: "unknown" };
  return [...only, rest];
}

/** Only packets with the header have its fields; nft does not list the question for it. */
function headerConditions(protocol: string, family: Family | undefined): Condition[] {
  const head = { text: protocol, negated: false };
  if (family !== undefined) return [{ ...head, kind: "family", family }];
  const name = protocolName(protocol);
  return PROTOCOLS.includes(name) ? [{ ...head, kind: "protocol", protocols: [name] }] : [];
}

/** Some bits of an address. */
function readBits(head: Head, { protocol, field }: Fields, mask: Json, right: Json): Condition[] | undefined {
  const family = familyNamed(String(protocol));
  if (family === undefined) return undefined;
  const [bits, value] = [mask, right].map((one) =>
    typeof one === "string" ? parseBlock(one, family)?.first : undefined,
  );
  if (bits === undefined || value === undefined) return undefined;
  if (field !== "saddr" && field !== "daddr") return undefined;
  const side: Side = field === "daddr" ? "destination" : "source";
  return [{ ...head, kind: "bits", side, family, mask: bits, value }];
}

function readMeta(head: Head, key: Json, right: Json, elements: Elements): Condition[] | undefined {
  if (key === "mark") return readMark(head, right, 0xffffffff);
  const names = words(right, elements);
  if (names === undefined) return undefined;
  // Packets from a pod's link have one.
  if ((key === "iif" || key === "oif") && names.every((name) => name === "0"))
    return [{ ...constant(head.text, false), negated: head.negated }];
  if (key === "oifname" || key === "oif") return [{ ...head, kind: "out", names }];
  if (key === "iifname" || key === "iif") return [{ ...head, kind: "in", names }];
  if (key === "l4proto") return [{ ...head, kind: "protocol", protocols: names.map(protocolName) }];
  const family = key === "nfproto" || key === "protocol" ? familyNamed(names[0] ?? "") : undefined;
  return family !== undefined && names.length === 1 ? [{ ...head, kind: "family", family }] : undefined;
}

function readFib(head: Head, { result, flags }: Fields, right: Json): Condition[] | undefined {
  const all = typeof flags === "string" ? [flags] : Array.isArray(flags) ? flags : [];
  const [flag, ...more] = all;
  // Whether the way back leads where the packet comes from: it does for packets from a pod's link.
  if (typeof right === "boolean" && all.includes("saddr") && all.includes("iif"))
    return [{ ...constant(head.text, right), negated: head.negated }];
  if (result !== "type" || right !== "local" || more.length > 0) return undefined;
  if (flag !== "daddr" && flag !== "saddr") return undefined;
  return [{ ...head, kind: "local", side: flag === "daddr" ? "destination" : "source" }];
}

const CONNECTIONS = { isConnections: true } as const;

function readMark(
  head: Head,
  right: Json,
  mask: number,
  whose: Partial<typeof CONNECTIONS> = {},
): Condition[] | undefined {
  return typeof right === "number"
    ? [{ ...head, kind: "mark", value: right, mask: mask >>> 0, ...whose }]
    : undefined;
}

/** The addresses and ports of the connection, as its first packet had them when conntrack saw it. */
function readOriginal(head: Head, key: Json, right: Json, elements: Elements): Condition[] | undefined {
  const [, name = "", field = ""] = /^(?:(ip6?) )?(saddr|daddr|proto-src|proto-dst)$/.exec(String(key)) ?? [];
  const side: Side = field === "saddr" || field === "proto-src" ? "source" : "destination";
  const family = familyNamed(name);
  if (field.endsWith("addr")) {
    const intervals = family === undefined ? undefined : addressIntervals(right, family, elements);
    return family === undefined || intervals === undefined
      ? undefined
      : [{ ...head, kind: "address", side, family, intervals, isOriginal: true }];
  }
  const ranges = field === "" ? undefined : members(right, elements)?.map(readPorts);
  if (ranges === undefined || ranges.includes(undefined)) return undefined;
  return [{ ...head, kind: "port", side, ranges: ranges as PortRange[], isOriginal: true }];
}
