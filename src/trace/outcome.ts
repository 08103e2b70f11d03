/** The result of a trace. */
import type { Target } from "./model.ts";
import type { Route } from "./route.ts";
import type { RuleReference } from "./state.ts";
import type { Verdict } from "./verdict.ts";

/** The fate of the packet. */
export interface TraceOutcome {
  readonly verdict: Verdict;
  /** Undefined for `keep`, for a chain's policy, and where there is no route. */
  readonly by?: RuleReference;
  /** The conditions that it depends on, in the words of the rules. */
  readonly conditions: readonly string[];
  /** The base chain whose policy drops the packet. */
  readonly policy?: { readonly place: string; readonly chain: string };
  /** Where it would go. */
  readonly route?: Route;
  /** For `redirect`: one of these; undefined if the endpoints are not known. */
  readonly endpoints?: readonly Endpoint[];
  /** For `translate`, as the rule says it. */
  readonly targets?: readonly Target[];
  /** The packet's mark, where it is known and not 0, as it came to the base chain that decides. */
  readonly mark?: number;
}

/** Where a packet goes on after its destination was translated. */
export interface Endpoint {
  readonly destination: bigint;
  /** The address is the node's, at the interface that the packet came in through: `destination` is the one before. */
  readonly isHere?: true;
  readonly port?: number;
  readonly trace: Trace;
}

/** The known part of a packet's way. */
export interface Trace {
  /** Outcomes that may come before `otherwise`. */
  readonly possible: readonly TraceOutcome[];
  readonly otherwise: TraceOutcome;
  /** Rules of source NAT that let the packet pass, such as our `RETURN`, in order. */
  readonly passed: readonly RuleReference[];
}

/** The outcomes of either of two orders. */
export function either(a: Trace, b: Trace): Trace {
  const known = new Set([...a.possible, a.otherwise].map(outcomeKey));
  const more = [...b.possible, b.otherwise].filter((one) => !known.has(outcomeKey(one)));
  const order = "the order of base chains with the same priority";
  const possible = more.map((one) => ({ ...one, conditions: [...one.conditions, order] }));
  return { ...a, possible: [...a.possible, ...possible] };
}

/** The same for outcomes that are the same, whatever they depend on. */
export function outcomeKey({ verdict, by, policy, route }: TraceOutcome): string {
  const where = by === undefined ? `${policy?.place} ${policy?.chain}` : ruleKey(by);
  const out = route?.kind === "unicast" ? route.out : route?.kind === "none" ? route.why : "";
  return [verdict, where, out].join("\n");
}

/** The same for references to the same rule. */
export function ruleKey({ place, chain, number }: RuleReference): string {
  return [place, chain, number].join("\n");
}

/** The same rule decides in the same way only once, whatever led to it; the last outcome stays last. */
export function distinct(outcomes: readonly TraceOutcome[]): TraceOutcome[] {
  const last = outcomes.at(-1);
  const all = new Map<string, TraceOutcome>();
  for (const outcome of outcomes) {
    const key = outcomeKey(outcome);
    const first = all.get(key);
    all.set(key, first === undefined ? outcome : withTargets(first, outcome));
  }
  if (last === undefined) return [];
  const key = outcomeKey(last);
  const end = withTargets(last, all.get(key) ?? last);
  all.delete(key);
  return [...all.values(), end];
}

/** One of several targets, as of a rule that chooses at random. */
function withTargets(outcome: TraceOutcome, { targets: more }: TraceOutcome): TraceOutcome {
  const { targets, ...rest } = outcome;
  if (targets === undefined || more === undefined) return rest;
  const known = new Set(targets.map(targetKey));
  return { ...rest, targets: [...targets, ...more.filter((one) => !known.has(targetKey(one)))] };
}

function targetKey({ addresses, ports, isPrefix, isHere }: Target): string {
  return [addresses?.first, addresses?.last, ports?.first, ports?.last, isPrefix, isHere].join();
}
