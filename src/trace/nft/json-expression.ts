/** What a rule of `nft -j` asks and does, from its expressions: the model of ../model.ts. */
import { familyNamed } from "../../core/cidr.ts";
import { type Action, type Condition, type MarkChange, type Side, unknownMark } from "../model.ts";
import { protocolName } from "../protocols.ts";
import { addBranches, type Branch, isHiddenXt, readXtMatch, readXtTarget } from "./branch.ts";
import {
  addressIntervals,
  type Elements,
  type Fields,
  isObject,
  type Json,
  members,
  onlyMember,
  shortJson,
  textOf,
  unwrap,
  words,
} from "./json-values.ts";

/** Expressions that neither ask nor decide. */
const QUIET = [
  "counter",
  "log",
  "comment",
  "set",
  "dup",
  "last",
  "ct helper",
  "flow",
  "ct timeout",
  "ct expectation",
];

/** The ways through a rule, in the order in which they are tried. */
export function readExpressions(expressions: readonly Json[], elements: Elements): Branch[] {
  const conditions: Condition[] = [];
  const branches: Branch[] = [];
  for (const expression of expressions) {
    const [kind = "", value] = onlyMember(expression);
    if (QUIET.includes(kind)) continue;
    const read = kind === "match" ? readMatch(value, elements) : kind === "xt" ? xtMatch(value) : undefined;
    if (read !== undefined) {
      conditions.push(...read);
      continue;
    }
    if (["limit", "quota", "connlimit", "ct count"].includes(kind)) {
      conditions.push(unknown(expression));
      continue;
    }
    const made =
      kind === "vmap"
        ? readVmap(value, conditions, elements)
        : [
            {
              conditions: [...conditions, ...familyOf(kind, value), ...keysOf(value, elements)],
              action: readAction(kind, value),
            },
          ];
    addBranches(branches, made);
  }
  return branches;
}

/** Whether nft does not show what some of a rule asks or does. */
export function isHidden(expressions: readonly Json[]): boolean {
  return expressions.some((expression) => {
    const [kind, value] = onlyMember(expression);
    if (kind !== "xt") return false;
    const { type, name }: Fields = isObject(value) ? value : {};
    return (type !== "match" && type !== "target") || isHiddenXt(type, String(name));
  });
}

/** In an inet table, what translates to an address of one family is not for packets of the other. */
function familyOf(kind: string, value: Json): Condition[] {
  const isNat = kind === "snat" || kind === "dnat";
  const family = isNat && isObject(value) ? familyNamed(String(value.family)) : undefined;
  return family === undefined
    ? []
    : [{ kind: "family", family, text: `meta nfproto ${family}`, negated: false }];
}

/** What takes an address or a port from a map is only for packets that the map has. */
function keysOf(value: Json, elements: Elements): Condition[] {
  if (!isObject(value)) return [];
  return [value.addr, value.port, value.value].flatMap((from) => {
    const [kind, map] = onlyMember(from);
    if (kind !== "map" || !isObject(map)) return [];
    const head = { negated: false, text: `${textOf(map.key)} in ${textOf(map.data)}` };
    const pairs = members(map.data, elements);
    const lists = pairs?.map((pair) =>
      Array.isArray(pair) ? testElement(head, map.key, unwrap(pair[0]), elements) : [unknown(pair)],
    );
    return [lists === undefined ? { ...head, kind: "unknown" } : { ...head, kind: "either", lists }];
  });
}

function unknown(json: Json): Condition {
  return { kind: "unknown", text: shortJson(json), negated: false };
}

function xtMatch(value: Json): Condition[] | undefined {
  return isObject(value) && value.type === "match" ? readXtMatch(String(value.name)) : undefined;
}

function readMatch(match: Json, elements: Elements): Condition[] {
  if (!isObject(match)) return [unknown(match)];
  const { op, left, right } = match;
  if (op !== "==" && op !== "!=" && op !== "in") return [unknown(match)];
  const head = { negated: op === "!=", text: `${textOf(left)} ${op === "!=" ? "!= " : ""}${textOf(right)}` };
  return readTest(head, left, right, elements) ?? [{ ...head, negated: false, kind: "unknown" }];
}

type Head = Pick<Condition, "text" | "negated">;

/** What `left` must be. */
function readTest(head: Head, left: Json, right: Json, elements: Elements): Condition[] | undefined {
  const [kind, key] = onlyMember(left);
  if (kind === "concat") return readConcat(head, left, right, elements);
  if (kind === "payload" && isObject(key)) return readPayload(head, key, right, elements);
  if (kind === "meta" && isObject(key)) return readMeta(head, key.key, right, elements);
  if (kind === "fib" && isObject(key)) return readFib(head, key, right);
  if (kind === "ct" && isObject(key) && key.dir === undefined) {
    const states = words(right, elements);
    const isKnown = key.key === "state" || (key.key === "status" && isTranslation(states));
    return states === undefined || !isKnown ? undefined : [{ ...head, kind: "state", states }];
  }
  if (kind === "&" && Array.isArray(key)) {
    const [meta, mask] = key;
    const isMark = shortJson(meta) === '{"meta":{"key":"mark"}}';
    return isMark && typeof mask === "number" ? readMark(head, right, mask) : undefined;
  }
  return undefined;
}

/** Of conntrack's status, only what NAT is done. */
function isTranslation(states: readonly string[] | undefined): boolean {
  return states?.every((state) => state === "snat" || state === "dnat") === true;
}

/** Several things at once: one of the elements, each part of it. */
function readConcat(head: Head, left: Json, right: Json, elements: Elements): Condition[] | undefined {
  const lists = members(right, elements)?.map((element) => testElement(head, left, element, elements));
  return lists === undefined ? undefined : [{ ...head, kind: "either", lists }];
}

/** What an element of a set or map asks: that the key is it. */
function testElement(head: Head, key: Json, element: Json, elements: Elements): Condition[] {
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
  if (field === "protocol" || field === "nexthdr") {
    const protocols = words(right, elements);
    return protocols === undefined
      ? undefined
      : [{ ...head, kind: "protocol", protocols: protocols.map(protocolName) }];
  }
  // A port can only be asked of a packet that has one.
  const isTransport = ["tcp", "udp", "sctp", "udplite", "dccp"].includes(String(protocol));
  const rest: Condition = { ...head, negated: false, kind: "unknown" };
  return isTransport
    ? [{ kind: "protocol", protocols: [String(protocol)], text: String(protocol), negated: false }, rest]
    : [rest];
}

function readMeta(head: Head, key: Json, right: Json, elements: Elements): Condition[] | undefined {
  if (key === "mark") return readMark(head, right, 0xffffffff);
  const names = words(right, elements);
  if (names === undefined) return undefined;
  if (key === "oifname" || key === "oif") return [{ ...head, kind: "out", names }];
  if (key === "l4proto") return [{ ...head, kind: "protocol", protocols: names.map(protocolName) }];
  const family = key === "nfproto" || key === "protocol" ? familyNamed(names[0] ?? "") : undefined;
  return family !== undefined && names.length === 1 ? [{ ...head, kind: "family", family }] : undefined;
}

function readFib(head: Head, { result, flags }: Fields, right: Json): Condition[] | undefined {
  const [flag, ...more] = typeof flags === "string" ? [flags] : Array.isArray(flags) ? flags : [];
  if (result !== "type" || right !== "local" || more.length > 0) return undefined;
  if (flag !== "daddr" && flag !== "saddr") return undefined;
  return [{ ...head, kind: "local", side: flag === "daddr" ? "destination" : "source" }];
}

function readMark(head: Head, right: Json, mask: number): Condition[] | undefined {
  return typeof right === "number" ? [{ ...head, kind: "mark", value: right, mask: mask >>> 0 }] : undefined;
}

/** A verdict map as one branch for each element; what is in none of them goes on. */
function readVmap(vmap: Json, conditions: readonly Condition[], elements: Elements): Branch[] {
  const { key, data }: Fields = isObject(vmap) ? vmap : {};
  const pairs = members(data, elements);
  if (pairs === undefined || pairs.some((pair) => !Array.isArray(pair)))
    return [{ conditions, action: { kind: "unknown" } }];
  const isRest = (pair: Json) => Array.isArray(pair) && pair[0] === "*";
  return [...pairs.filter((pair) => !isRest(pair)), ...pairs.filter(isRest)].map((pair) => {
    const [element, verdict] = pair as readonly Json[];
    const value = unwrap(element);
    const head = { negated: false, text: `${textOf(key)} ${textOf(value)}` };
    const test = value === "*" ? [] : testElement(head, key, value, elements);
    const [kind = "", target] = onlyMember(verdict);
    return { conditions: [...conditions, ...test], action: readAction(kind, target) };
  });
}

/** Statements that do one thing, whatever stands behind them. */
const ACTIONS: Readonly<Record<string, Action>> = {
  accept: { kind: "accept" },
  drop: { kind: "drop" },
  reject: { kind: "drop" },
  return: { kind: "return" },
  continue: { kind: "continue" },
  masquerade: { kind: "masquerade" },
  snat: { kind: "translate" },
  dnat: { kind: "redirect" },
  redirect: { kind: "redirect" },
  tproxy: { kind: "redirect" },
  notrack: { kind: "untrack" },
  fwd: { kind: "rewrite" },
};

function readAction(kind: string, value: Json): Action {
  const action = ACTIONS[kind];
  if (action !== undefined) return action;
  if ((kind === "jump" || kind === "goto") && isObject(value)) return { kind, chain: String(value.target) };
  if (kind === "mangle" && isObject(value)) return readMangle(value);
  if (kind === "xt" && isObject(value)) return readXtTarget(String(value.name));
  return { kind: "unknown" };
}

function readMangle({ key, value }: Fields): Action {
  const [what, field] = onlyMember(key);
  if (what === "payload" && isObject(field)) return readRewrite(field);
  if (!isMark(key)) return { kind: "continue" };
  return { kind: "mark", change: readMarkChange(value) };
}

/** Without NAT, by writing into the packet; raw bytes may be an address. */
function readRewrite({ field, base }: Fields): Action {
  if (field === "daddr") return { kind: "redirect" };
  return { kind: field === "saddr" || base === "nh" ? "rewrite" : "continue" };
}

function isMark(json: Json): boolean {
  return shortJson(json) === '{"meta":{"key":"mark"}}';
}

function readMarkChange(value: Json): MarkChange {
  if (typeof value === "number") return { and: 0, xor: value };
  const [operator, operands] = onlyMember(value);
  const [left, right] = Array.isArray(operands) ? operands : [];
  if (typeof right !== "number") return unknownMark();
  // Of several operations, as nft writes them: (mark & a) | b.
  const before = isMark(left) ? { and: -1, xor: 0 } : readMarkChange(left);
  if (before.unknown !== undefined || (!isMark(left) && typeof left !== "object")) return unknownMark();
  if (operator === "&") return { and: before.and & right, xor: before.xor & right };
  if (operator === "^") return { and: before.and, xor: before.xor ^ right };
  return operator === "|" ? { and: before.and & ~right, xor: before.xor | right } : unknownMark();
}
