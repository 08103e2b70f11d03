/** What a rule of `nft -j` asks and does, from its expressions: the model of trace-model.ts. */
import type { Family } from "../core/cidr.ts";
import {
  abridge,
  addressIntervals,
  type Elements,
  type Fields,
  isObject,
  type Json,
  members,
  onlyMember,
  textOf,
  unwrap,
  words,
} from "./nft-values.ts";
import type { Action, Condition, Side } from "./trace-model.ts";

/** One way through a rule: a verdict map makes several of one rule. */
export interface Branch {
  readonly conditions: readonly Condition[];
  readonly action: Action;
}

/** Expressions that neither ask nor decide. */
const QUIET = [
  "counter",
  "log",
  "comment",
  "set",
  "notrack",
  "ct helper",
  "flow",
  "ct timeout",
  "ct expectation",
];

const IP_FAMILIES: Readonly<Record<string, Family>> = { ip: "IPv4", ip6: "IPv6", ipv4: "IPv4", ipv6: "IPv6" };

/** The ways through a rule, in the order in which they are tried. */
export function readExpressions(expressions: readonly Json[], elements: Elements): Branch[] {
  const conditions: Condition[] = [];
  const branches: Branch[] = [];
  for (const expression of expressions) {
    const [kind = "", value] = onlyMember(expression);
    if (QUIET.includes(kind)) continue;
    const read =
      kind === "match" ? readMatch(value, elements) : kind === "xt" ? readXtMatch(value) : undefined;
    if (read !== undefined) {
      conditions.push(...read);
      continue;
    }
    if (["limit", "quota", "connlimit", "ct count", "last"].includes(kind)) {
      conditions.push(unknown(expression));
      continue;
    }
    const made =
      kind === "vmap"
        ? readVmap(value, conditions, elements)
        : [{ conditions: [...conditions, ...familyOf(kind, value)], action: readAction(kind, value) }];
    const hasMark = branches.some(({ action }) => action.kind === "mark");
    branches.push(...(hasMark ? made.map(forgetMark) : made));
  }
  return branches;
}

/** In an inet table, what translates to an address of one family is not for packets of the other. */
function familyOf(kind: string, value: Json): Condition[] {
  const family = kind === "snat" && isObject(value) ? IP_FAMILIES[String(value.family)] : undefined;
  return family === undefined
    ? []
    : [{ kind: "family", family, text: `meta nfproto ${family}`, negated: false }];
}

/** The rule was met before it changed the mark; what it asked of the mark is not asked again. */
function forgetMark({ conditions, action }: Branch): Branch {
  const rest = conditions.map(
    (one): Condition => (one.kind === "mark" ? { ...one, negated: false, kind: "unknown" } : one),
  );
  return { conditions: rest, action };
}

function unknown(json: Json): Condition {
  return { kind: "unknown", text: abridge(json), negated: false };
}

/** nft does not show what matches of iptables ask, but for that a comment asks nothing. */
function readXtMatch(value: Json): Condition[] | undefined {
  if (!isObject(value) || value.type !== "match") return undefined;
  return value.name === "comment"
    ? []
    : [
        {
          kind: "unknown",
          text: `-m ${String(value.name)} (of iptables, not shown by nft)`,
          negated: false,
        },
      ];
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
  if (kind === "payload" && isObject(key)) return readPayload(head, key, right, elements);
  if (kind === "meta" && isObject(key)) return readMeta(head, key.key, right, elements);
  if (kind === "fib" && isObject(key)) return readFib(head, key, right);
  if (kind === "ct" && isObject(key) && key.key === "state" && key.dir === undefined) {
    const states = words(right, elements);
    return states === undefined ? undefined : [{ ...head, kind: "state", states }];
  }
  if (kind === "&" && Array.isArray(key)) {
    const [meta, mask] = key;
    const isMark = abridge(meta) === '{"meta":{"key":"mark"}}';
    return isMark && typeof mask === "number" ? readMark(head, right, mask) : undefined;
  }
  return undefined;
}

function readPayload(
  head: Head,
  { protocol, field }: Fields,
  right: Json,
  elements: Elements,
): Condition[] | undefined {
  const family = IP_FAMILIES[String(protocol)];
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
  const family = key === "nfproto" || key === "protocol" ? IP_FAMILIES[names[0] ?? ""] : undefined;
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

function protocolName(name: string): string {
  const numbers: Readonly<Record<string, string>> = {
    "1": "icmp",
    "6": "tcp",
    "17": "udp",
    "58": "icmpv6",
    "132": "sctp",
  };
  return numbers[name] ?? (name === "ipv6-icmp" ? "icmpv6" : name);
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
    const test: Condition[] =
      value === "*" ? [] : (readTest(head, key, value, elements) ?? [{ ...head, kind: "unknown" }]);
    const [kind = "", target] = onlyMember(verdict);
    return { conditions: [...conditions, ...test], action: readAction(kind, target) };
  });
}

function readAction(kind: string, value: Json): Action {
  if (kind === "accept" || kind === "drop" || kind === "return" || kind === "continue") return { kind };
  if (kind === "masquerade") return { kind };
  if (kind === "snat") return { kind: "translate" };
  if (kind === "reject") return { kind: "drop" };
  if ((kind === "jump" || kind === "goto") && isObject(value)) return { kind, chain: String(value.target) };
  if (kind === "mangle" && isObject(value)) return readMangle(value);
  if (kind === "xt" && isObject(value)) return readXtTarget(value.name);
  return { kind: "unknown" };
}

function readMangle({ key, value }: Fields): Action {
  if (abridge(key) !== '{"meta":{"key":"mark"}}') return { kind: "continue" };
  if (typeof value === "number") return { kind: "mark", change: { and: 0, xor: value } };
  const [operator, operands] = onlyMember(value);
  const [meta, number] = Array.isArray(operands) ? operands : [];
  if (abridge(meta) !== '{"meta":{"key":"mark"}}' || typeof number !== "number")
    return { kind: "mark", change: "unknown" };
  if (operator === "&") return { kind: "mark", change: { and: number, xor: 0 } };
  if (operator === "^") return { kind: "mark", change: { and: -1, xor: number } };
  return { kind: "mark", change: operator === "|" ? { and: ~number, xor: number } : "unknown" };
}

function readXtTarget(name: Json): Action {
  if (name === "MASQUERADE") return { kind: "masquerade" };
  if (name === "SNAT" || name === "NETMAP") return { kind: "translate" };
  if (name === "MARK") return { kind: "mark", change: "unknown" };
  return { kind: name === "LOG" || name === "NFLOG" ? "continue" : "unknown" };
}
