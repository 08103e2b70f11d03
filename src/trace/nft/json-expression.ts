/** Translates the expressions of a rule of `nft -j` into the model of ../model.ts. */
import { familyNamed } from "../../core/cidr.ts";
import type { Condition } from "../model.ts";
import { addBranches, type Branch, isHiddenXt, readXtMatch } from "./branch.ts";
import { readAction } from "./json-action.ts";
import { readMatch, testElement, unknown } from "./json-match.ts";
import { hasTargets, readTargets, targetOf } from "./json-target.ts";
import {
  type Elements,
  type Fields,
  isChance,
  isExhaustive,
  isObject,
  type Json,
  members,
  onlyMember,
  textOf,
  unwrap,
} from "./json-values.ts";

/** Expressions that neither match nor decide. */
const QUIET = new Set([
  "counter",
  "log",
  "comment",
  "set",
  "meter",
  "dup",
  "last",
  "ct helper",
  "flow",
  "ct timeout",
  "ct expectation",
]);

/** Expressions that let some packets pass, and it is not known which. */
const LIMITS = new Set(["limit", "quota", "connlimit", "ct count"]);

/** The ways through a rule, in the order in which they are tried. */
export function readExpressions(expressions: readonly Json[], elements: Elements): Branch[] {
  const conditions: Condition[] = [];
  const branches: Branch[] = [];
  for (const expression of expressions) {
    const [kind = "", value] = onlyMember(expression);
    conditions.push(...limitsIn(kind, value));
    if (QUIET.has(kind)) continue;
    const read = kind === "match" ? readMatch(value, elements) : kind === "xt" ? xtMatch(value) : undefined;
    if (read !== undefined) conditions.push(...read);
    else if (LIMITS.has(kind)) conditions.push(unknown(expression));
    else {
      // Without a connection, or a socket, a statement ends the rule.
      if (needsConnection(kind, value)) conditions.push(TRACKED);
      if (kind === "tproxy")
        conditions.push({ kind: "unknown", text: "a socket listens there", negated: false });
      addBranches(branches, readStatement(kind, value, conditions, elements));
    }
  }
  return branches;
}

/** An element of a set with a limit of its own ends the rule for some packets. */
function limitsIn(kind: string, value: Json): Condition[] {
  if ((kind !== "set" && kind !== "meter") || !isObject(value)) return [];
  return [value.stmt]
    .flat()
    .filter((one) => LIMITS.has(onlyMember(one)[0] ?? ""))
    .map(unknown);
}

const TRACKED: Condition = { kind: "connection", holds: true, text: "ct", negated: false };

function needsConnection(kind: string, value: Json): boolean {
  return kind === "mangle" && isObject(value) && JSON.stringify(value).includes('{"ct":{"key":"mark"}}');
}

/** Whether nft hides some conditions or actions of a rule. */
export function isHidden(expressions: readonly Json[]): boolean {
  return expressions.some((expression) => {
    const [kind, value] = onlyMember(expression);
    if (kind !== "xt") return false;
    const { type, name }: Fields = isObject(value) ? value : {};
    return (type !== "match" && type !== "target") || isHiddenXt(type, String(name));
  });
}

function xtMatch(value: Json): Condition[] | undefined {
  return isObject(value) && value.type === "match" ? readXtMatch(String(value.name)) : undefined;
}

function readStatement(
  kind: string,
  value: Json,
  conditions: readonly Condition[],
  elements: Elements,
): Branch[] {
  if (kind === "vmap") return readVmap(value, conditions, elements);
  if (hasTargets(kind)) return readNat(kind, value, conditions, elements);
  const keys = isObject(value) ? inMap(value.value, elements) : [];
  return [{ conditions: [...conditions, ...keys], action: readAction(kind, value) }];
}

/** A verdict map as one branch for each element; all other packets go on. */
function readVmap(vmap: Json, conditions: readonly Condition[], elements: Elements): Branch[] {
  const { key, data }: Fields = isObject(vmap) ? vmap : {};
  const pairs = readPairs(key, data, elements);
  if (pairs === undefined) return [{ conditions, action: { kind: "unknown" } }];
  return pairs.map(({ tests, value }) => {
    const [kind = "", target] = onlyMember(value);
    return { conditions: [...conditions, ...tests], action: readAction(kind, target) };
  });
}

interface Pair {
  /** The conditions for a packet with the key of the element. */
  readonly tests: readonly Condition[];
  readonly value: Json;
}

/** The elements of a map, the one for all other keys last; undefined if they are not known. */
function readPairs(key: Json, data: Json, elements: Elements): Pair[] | undefined {
  const pairs = members(data, elements);
  if (pairs === undefined || pairs.some((pair) => !Array.isArray(pair))) return undefined;
  const isRest = (pair: Json) => Array.isArray(pair) && pair[0] === "*";
  const sorted = [...pairs.filter((pair) => !isRest(pair)), ...pairs.filter(isRest)];
  const isAll = isExhaustive(key, pairs.length);
  return sorted.map((pair, i) => {
    const [element, value] = pair as readonly Json[];
    return { value, tests: testPair(key, unwrap(element), elements, isAll && i === sorted.length - 1) };
  });
}

/** `isLeft`: a packet that reaches the last element of a complete choice matches it. */
function testPair(key: Json, element: Json, elements: Elements, isLeft: boolean): Condition[] {
  if (element === "*" || isLeft) return [];
  const head = { negated: false, text: `${textOf(key)} ${textOf(element)}` };
  return isChance(key) ? [{ ...head, kind: "chance" }] : testElement(head, key, element, elements);
}

/** A statement that takes a value from a map applies only to packets whose key the map has. */
function inMap(from: Json, elements: Elements): Condition[] {
  const [kind, map] = onlyMember(from);
  if (kind !== "map" || !isObject(map)) return [];
  const head = { negated: false, text: `${textOf(map.key)} in ${textOf(map.data)}` };
  const pairs = readPairs(map.key, map.data, elements);
  return [
    pairs === undefined
      ? { ...head, kind: "unknown" }
      : { ...head, kind: "either", lists: pairs.map(({ tests }) => tests) },
  ];
}

/** `snat`, `dnat` and `redirect`: where to may depend on a key of the packet, or on chance. */
function readNat(kind: string, value: Json, before: readonly Condition[], elements: Elements): Branch[] {
  const fields: Fields = isObject(value) ? value : {};
  // In an inet table, a translation to an address of one family does not apply to packets of the other.
  const family = familyNamed(String(fields.family));
  const only: Condition[] =
    family === undefined ? [] : [{ kind: "family", family, text: `meta nfproto ${family}`, negated: false }];
  const conditions = [...before, ...only];
  const [form, map] = onlyMember(fields.addr);
  if (form !== "map" || !isObject(map))
    return [
      {
        conditions: [...conditions, ...inMap(fields.port, elements)],
        action: targetOf(kind, readTargets(kind, fields)),
      },
    ];
  const pairs = readPairs(map.key, map.data, elements);
  const unclear = [...conditions, ...inMap(fields.port, elements)];
  if (pairs === undefined)
    return [{ conditions: [...unclear, unknown(fields.addr)], action: targetOf(kind, undefined) }];
  const read = pairs.map((pair) => ({
    ...pair,
    targets: readTargets(kind, { ...fields, addr: pair.value }),
  }));
  return read.map(({ tests, targets }) => ({
    conditions: [...unclear, ...tests],
    action: targetOf(kind, targets),
  }));
}
