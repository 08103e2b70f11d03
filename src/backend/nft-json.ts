/** Reads what `nft -j list ruleset` prints, as far as it concerns what leaves the node. */
import type { Family } from "../core/cidr.ts";
import { positionAt } from "../core/document.ts";
import { parseJson } from "../core/json.ts";
import type { DumpResult } from "./iptables-save.ts";
import { readExpressions } from "./nft-expression.ts";
import { type Elements, type Fields, isObject, type Json, ruleText } from "./nft-values.ts";
import type { Hook, TraceRule } from "./trace-model.ts";

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ip: ["IPv4"],
  ip6: ["IPv6"],
  inet: ["IPv4", "IPv6"],
};

/** What stands in one table. */
interface Table {
  readonly family: string;
  readonly name: string;
  readonly elements: Map<string, readonly Json[]>;
  readonly bases: Fields[];
  readonly rules: Map<string, Fields[]>;
}

/** Reads a dump. Tables for which `isWanted` says no are left out. */
export function parseNftJson(
  text: string,
  isWanted: (table: { readonly family: string; readonly name: string }) => boolean = () => true,
): DumpResult {
  const json = parse(text);
  if (!("value" in json)) return { ok: false, ...json };
  const objects = isObject(json.value) ? json.value.nftables : undefined;
  if (!Array.isArray(objects) || !objects.every(isObject))
    return {
      ok: false,
      line: 1,
      message: `this is JSON, but not that of "nft -j list ruleset": it has no list "nftables"`,
    };
  const tables = gather(objects).filter(isWanted);
  const isShown = ({ family, name }: Table) =>
    !/^ip6?$/.test(family) || name !== "nat" || !text.includes('"xt"');
  return {
    ok: true,
    hooks: tables.flatMap(hooksOf),
    warnings: tables
      .filter((table) => !isShown(table))
      .map(
        ({ family, name }) =>
          `table ${family} ${name}: nft does not show what rules of iptables ask: "iptables-save -t nat" tells more`,
      ),
  };
}

function parse(text: string): { value: Json } | { line: number; message: string } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    const parsed = parseJson(text);
    // Our reader says where; what only JSON.parse refuses is at the end.
    const { message, at } = parsed.ok ? { message: "no JSON", at: text.length } : parsed;
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
      elements: new Map(),
      bases: [],
      rules: new Map(),
    };
    tables.set(key, table);
    return table;
  };
  for (const object of objects) {
    for (const [kind, value] of Object.entries(object)) {
      if (!isObject(value)) continue;
      if (kind === "table") tableOf(value.family, value.name);
      if (kind === "chain") addChain(tableOf(value.family, value.table), value);
      if (kind === "rule") addRule(tableOf(value.family, value.table), value);
      if (kind === "set" || kind === "map") addSet(tableOf(value.family, value.table), value);
    }
  }
  return [...tables.values()];
}

function addChain({ bases, rules }: Table, chain: Fields): void {
  rules.set(String(chain.name), rules.get(String(chain.name)) ?? []);
  if (chain.type === "nat" && chain.hook === "postrouting") bases.push(chain);
}

function addRule({ rules }: Table, rule: Fields): void {
  const chain = String(rule.chain);
  const list = rules.get(chain) ?? [];
  list.push(rule);
  rules.set(chain, list);
}

function addSet({ elements }: Table, set: Fields): void {
  elements.set(String(set.name), Array.isArray(set.elem) ? set.elem : []);
}

function hooksOf({ family, name, bases, rules, elements }: Table): Hook[] {
  const families = FAMILIES[family];
  if (families === undefined || bases.length === 0) return [];
  const chains = new Map([...rules].map(([chain, list]) => [chain, readRules(list, elements)]));
  return bases.map((base) => ({
    place: `table ${family} ${name}`,
    families,
    priority: Number(base.prio ?? 0),
    policy: base.policy === "drop" ? "drop" : "accept",
    chain: String(base.name),
    chains,
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
