/** Rules of base chains at postrouting: the jump to our chain, what leads past it, and what takes every packet. */
import type { Family } from "../core/cidr.ts";
import { TABLE } from "../nftables/sets.ts";
import { known } from "../system/fact.ts";
import { reachableChains } from "../trace/chain-index.ts";
import type { Hook, TraceRule } from "../trace/model.ts";
import { ruleKey, type Trace } from "../trace/outcome.ts";
import type { RuleReference } from "../trace/state.ts";
import { tracePacket } from "../trace/trace.ts";
import type { Facts } from "./facts.ts";
import { ownTables, targetOf } from "./nat-tables.ts";
import { packetSpace } from "./packets.ts";

/** Whether a base chain is on the way of packets that leave, and not only about where Services' packets go. */
export function decidesSource({ hook, isNat }: Hook): boolean {
  return hook !== "input" && !(isNat && hook === "prerouting");
}

/** Whether a rule is our chain's or table's, also one that the agent does not use; `leftovers` looks at these. */
export function isOurs({ settings }: Facts, { place, chain }: RuleReference): boolean {
  return chain === settings.chain || place === OWN_PLACE;
}

const OWN_PLACE = `table ${TABLE.family} ${TABLE.table}`;

interface OwnJump {
  readonly hook: Hook;
  readonly jump: TraceRule;
}

const jumps = new WeakMap<Facts, Map<Family, OwnJump | undefined>>();

/** The base chain of a family that leads to our chain, and the rule that does. */
export function ownJump(facts: Facts, family: Family): OwnJump | undefined {
  const known = jumps.get(facts) ?? new Map<Family, OwnJump | undefined>();
  jumps.set(facts, known);
  if (!known.has(family)) known.set(family, findJump(facts, family));
  return known.get(family);
}

function findJump(facts: Facts, family: Family): OwnJump | undefined {
  for (const { hook, ...table } of ownTables(facts)) {
    const jump = hook?.chains.get(hook.chain)?.find((rule) => targetOf(rule) === facts.settings.chain);
    if (table.family === family && hook !== undefined && jump !== undefined) return { hook, jump };
  }
  return undefined;
}

/** The rule that leads a packet past our chain. */
export function pastOurs(
  facts: Facts,
  family: Family,
  { passed, possible }: Trace,
): RuleReference | undefined {
  const own = ownJump(facts, family);
  if (own === undefined || passed.some((one) => isOurs(facts, one))) return undefined;
  const { hook, jump } = own;
  const { place } = hook;
  const ending = passed.filter((one) => one.place === place && isEnd(hook, one)).at(-1);
  if (ending !== undefined) return ending;
  // Of several that may, the tracer says on which it depends.
  const texts = possible.flatMap(({ conditions }) => conditions).filter((text) => text.startsWith("not ("));
  const isOpen = ({ conditions }: TraceRule) =>
    conditions.some(({ kind, text }) => kind === "chance" || texts.some((one) => one.includes(text)));
  const ends = [...reachableChains(hook)].flatMap((chain) =>
    (hook.chains.get(chain) ?? [])
      .map((rule) => ({ rule, by: { place, chain, number: rule.number, text: rule.text } }))
      .filter(({ by }) => isEnd(hook, by) && (entranceOf(hook, by)?.number ?? jump.number) < jump.number),
  );
  return (ends.find(({ rule }) => isOpen(rule)) ?? ends[0])?.by;
}

/** Whether a rule ends a base chain for what it matches: `return` does so only there, not in a chain that was jumped to. */
function isEnd(hook: Hook, by: RuleReference): boolean {
  const action = ruleOf(hook, by)?.action.kind;
  return action === "accept" || (action === "return" && by.chain === hook.chain);
}

export function ruleOf({ chains }: Hook, { chain, number }: RuleReference): TraceRule | undefined {
  const rules = chains.get(chain) ?? [];
  const rule = rules[number - 1];
  // Several ways through one rule have its number.
  return rule?.number === number ? rule : rules.find((one) => one.number === number);
}

const entrances = new WeakMap<Hook, ReadonlyMap<string, TraceRule>>();

/** The first rule of a base chain by which a packet may come to a rule. */
export function entranceOf(hook: Hook, by: RuleReference): TraceRule | undefined {
  if (by.chain === hook.chain) return ruleOf(hook, by);
  const known = entrances.get(hook) ?? findEntrances(hook);
  entrances.set(hook, known);
  return known.get(by.chain);
}

function findEntrances(hook: Hook): ReadonlyMap<string, TraceRule> {
  const found = new Map<string, TraceRule>();
  for (const rule of hook.chains.get(hook.chain) ?? []) {
    if (!("chain" in rule.action) || found.has(rule.action.chain)) continue;
    for (const chain of reachableChains({ ...hook, chain: rule.action.chain }))
      if (!found.has(chain)) found.set(chain, rule);
  }
  return found;
}

const takers = new WeakMap<Hook, Map<Family, RuleReference | undefined>>();

/** The rule of a base chain that takes every packet without asking for anything, if our chain takes none. */
export function takerOf(facts: Facts, family: Family, hook: Hook): RuleReference | undefined {
  const known = takers.get(hook) ?? new Map<Family, RuleReference | undefined>();
  takers.set(hook, known);
  if (!known.has(family)) known.set(family, findTaker(facts, family, hook));
  return known.get(family);
}

function findTaker(facts: Facts, family: Family, hook: Hook): RuleReference | undefined {
  const local = known(facts.trace)?.local ?? { IPv4: [], IPv6: [] };
  const alone = { ...hook, chains: new Map(hook.chains).set(facts.settings.chain, []) };
  const kept = known(facts.config)?.kept?.get(family) ?? [];
  let taker: RuleReference | undefined;
  for (const { first } of packetSpace(facts, family, [alone], kept).destinations) {
    const { possible, otherwise, passed } = tracePacket(
      [alone],
      { family, destination: first, mark: 0 },
      local,
    );
    const by = otherwise.by ?? passed.filter((one) => isEnd(alone, one)).at(-1);
    if (possible.length > 0 || by === undefined || otherwise.verdict === "unknown") return undefined;
    if (![ruleOf(hook, by), entranceOf(hook, by)].every(isUnconditional)) return undefined;
    if (taker !== undefined && ruleKey(taker) !== ruleKey(by)) return undefined;
    taker = by;
  }
  return taker;
}

/** Whether a rule takes every packet, as far as our jump cares, which leaves out what is for the node itself. */
function isUnconditional(rule: TraceRule | undefined): boolean {
  const asked = rule?.conditions.filter(
    ({ kind, negated }) => kind !== "family" && !(kind === "local" && negated),
  );
  return asked?.length === 0;
}
