/** Reads the output of `nft -j list ruleset`, as far as it concerns packets that leave the node. */

import { parseJson } from "../../yaml/json.ts";
import { positionAt } from "../../yaml/positions.ts";
import type { DumpResult } from "../iptables-save.ts";
import { type Hook, hookNamed, TABLE_FAMILIES, type TraceRule } from "../model.ts";
import { isHidden, readExpressions } from "./json-expression.ts";
import { type Elements, type Fields, isObject, type Json, ruleText } from "./json-values.ts";

/** The content of one table. */
interface Table {
  readonly family: string;
  readonly name: string;
  isDormant: boolean;
  readonly elements: { readonly lists: Map<string, readonly Json[]>; readonly expiring: Set<string> };
  /** How many sets could have elements, and have none in the dump. */
  emptySets: number;
  readonly chains: Map<string, Fields>;
  readonly rules: Map<string, Fields[]>;
}

/** The content of a dump of nft. */
export type NftDump =
  | (Extract<DumpResult, { ok: true }> & { readonly tables: ReadonlyMap<string, number> })
  | Extract<DumpResult, { ok: false }>;

/** Reads a dump; `tables` are those that it has, such as `inet filter`, with how many rules they have; without dormant ones. */
export function parseNftJson(text: string): NftDump {
  const json = parse(text);
  if (!("value" in json)) return { ok: false, ...json };
  const objects = isObject(json.value) ? json.value.nftables : undefined;
  if (!Array.isArray(objects) || !objects.every(isObject)) return refuse(`it has no list "nftables"`);
  const tables = gather(objects);
  const odd = tables.flatMap(oddThing)[0];
  if (odd !== undefined) return refuse(odd);
  const hooks = tables.map(hooksOf);
  return {
    ok: true,
    tables: new Map(
      tables
        .filter((table) => !table.isDormant)
        .map(({ family, name, rules }) => [`${family} ${name}`, [...rules.values()].flat().length]),
    ),
    hooks: hooks.flat(),
    notRead: isTerse(tables) ? ["the sets: none has an element in it: save it without --terse"] : [],
    leftOut: tables
      .filter((_, i) => hooks[i]?.some(({ isHidden }) => isHidden === true) === true)
      .map(
        ({ family, name }) =>
          `table ${family} ${name}: nft does not show what rules of iptables ask: "iptables-save" tells more`,
      ),
  };
}

function refuse(why: string): Extract<DumpResult, { ok: false }> {
  return { ok: false, line: 1, message: `this is JSON, but not that of "nft -j list ruleset": ${why}` };
}

/** Why a table cannot be nft's output: a part of it is missing. */
function oddThing({ family, name, chains, rules }: Table): string[] {
  const where = `table ${family} ${name}`;
  const lost = [...rules.keys()].filter((chain) => !chains.has(chain));
  const odd = [...rules.values()].flat().filter(({ expr }) => !Array.isArray(expr));
  const bases = [...chains.values()].filter(
    ({ hook, prio }) => hook !== undefined && typeof prio !== "number",
  );
  return [
    ...(/^\w+$/.test(family) && name !== "undefined" ? [] : ["an object does not name its table"]),
    ...lost.map((chain) => `${where} has rules of chain ${chain}, but not the chain`),
    ...odd.map(({ chain }) => `a rule of chain ${String(chain)} in ${where} has no list "expr"`),
    ...bases.map((chain) => `chain ${String(chain.name)} in ${where} has no number "prio"`),
  ];
}

function isTerse(tables: readonly Table[]): boolean {
  const sets = tables.flatMap(({ elements }) => [...elements.lists.values()]);
  return tables.some(({ emptySets }) => emptySets > 0) && sets.every(({ length }) => length === 0);
}

function parse(text: string): { value: Json } | { line: number; message: string } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    const parsed = parseJson(text);
    // Our reader gives the place of an error; an error that only JSON.parse finds is at the end.
    const { message, at } = parsed.ok ? { message: "no JSON", at: text.length } : parsed.failure;
    const { line } = positionAt(text, at);
    return { line, message: `${message}: the dump is cut short or no output of "nft -j list ruleset"` };
  }
}

function gather(objects: readonly Fields[]): Table[] {
  const tables = new Map<string, Table>();
  const tableOf = (family: Json, name: Json): Table => {
    const key = `${String(family)} ${String(name)}`;
    const table = tables.get(key) ?? {
      family: String(family),
      name: String(name),
      isDormant: false,
      elements: { lists: new Map(), expiring: new Set() },
      emptySets: 0,
      chains: new Map(),
      rules: new Map(),
    };
    tables.set(key, table);
    return table;
  };
  for (const object of objects) {
    for (const [kind, value] of Object.entries(object)) {
      if (!isObject(value)) continue;
      if (kind === "table") tableOf(value.family, value.name).isDormant = isDormant(value);
      if (kind === "chain") addChain(tableOf(value.family, value.table), value);
      if (kind === "rule") addRule(tableOf(value.family, value.table), value);
      if (kind === "set" || kind === "map") addSet(tableOf(value.family, value.table), value);
    }
  }
  return [...tables.values()];
}

/** nft 1.0.6 shows the first letters of flags only. */
function isDormant({ flags }: Fields): boolean {
  return [flags].flat().some((flag) => typeof flag === "string" && flag.startsWith("d"));
}

function addChain({ chains }: Table, chain: Fields): void {
  chains.set(String(chain.name), chain);
}

function addRule({ rules }: Table, rule: Fields): void {
  const chain = String(rule.chain);
  const list = rules.get(chain) ?? [];
  list.push(rule);
  rules.set(chain, list);
}

function addSet(table: Table, set: Fields): void {
  const isFilledByRules = [set.flags].flat().some((flag) => flag === "dynamic" || flag === "timeout");
  if (!Array.isArray(set.elem) && !isFilledByRules) table.emptySets++;
  const flags = [set.flags].flat();
  const name = String(set.name);
  if (flags.includes("timeout")) table.elements.expiring.add(name);
  // Elements that packets add may have changed when a packet comes.
  if (!flags.includes("dynamic")) table.elements.lists.set(name, Array.isArray(set.elem) ? set.elem : []);
}

function hooksOf({ family, name, isDormant, chains, rules, elements }: Table): Hook[] {
  const families = TABLE_FAMILIES[family];
  const bases = [...chains.values()].flatMap((base) => {
    const hook = hookNamed(base.hook);
    return hook === undefined ? [] : [{ base, hook }];
  });
  if (families === undefined || isDormant || bases.length === 0) return [];
  const read = new Map(
    [...chains.keys()].map((chain) => [chain, readRules(rules.get(chain) ?? [], elements)]),
  );
  const hidden = [...rules.values()].flat().some(({ expr }) => Array.isArray(expr) && isHidden(expr));
  return bases.map(({ base, hook }) => ({
    hook,
    isNat: base.type === "nat",
    place: `table ${family} ${name}`,
    families,
    priority: Number(base.prio),
    policy: base.policy === "drop" ? "drop" : "accept",
    chain: String(base.name),
    chains: read,
    ...(hidden ? { isHidden: true } : {}),
    ...(family === "bridge" ? { isElsewhere: true as const } : {}),
    ...(base.dev === undefined ? {} : { devices: [base.dev].flat().map(String) }),
  }));
}

function readRules(rules: readonly Fields[], elements: Elements): TraceRule[] {
  return rules.flatMap(({ expr, comment }, i) => {
    const expressions = Array.isArray(expr) ? expr : [];
    const text =
      typeof comment === "string" ? `${ruleText(expressions)} comment "${comment}"` : ruleText(expressions);
    return readExpressions(expressions, elements).map((branch) => ({ number: i + 1, text, ...branch }));
  });
}
