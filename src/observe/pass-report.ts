/** The result of a pass, as the status and the series take it. */
import type { Healing } from "../agent/group.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import type { Reason } from "../agent/triggers.ts";
import { countDrift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { keptIntervals } from "../nftables/sets.ts";
import type { PassReport, RulesStatus, Status } from "./status.ts";

/** The report about a pass that ended at `at`, in milliseconds since 1970. */
export function describePass(
  outcome: PassOutcome,
  reason: Reason,
  at: number,
  backend: Status["backend"],
): PassReport {
  const { config, current, groups, durationMs, drift, applied, errors, failures, healed } = outcome;
  return {
    at,
    durationMs,
    reason,
    drift: countDrift(drift),
    applied,
    errors,
    failures,
    backend,
    config: { ...config, state: readState(config) },
    current: current === undefined ? null : { hash: current.hash, source: current.source },
    // The outcome of work under way is not known yet.
    rules: groups
      .filter(({ isUnderWay }) => !isUnderWay)
      .map(({ label, rulesets, inForce, changed }) => ({
        label,
        inForce,
        cidrs: rulesets.reduce((sum, { entries }) => sum + entries.length, 0),
        ...scopeOf(rulesets),
        changed,
      })),
    families: groups.flatMap(({ rulesets, inForce }) =>
      rulesets.map((ruleset) => ({ family: ruleset.family, inForce, ...sizeOf(ruleset) })),
    ),
    healed: healed.flatMap(describeHealing),
    leaving: outcome.leaving,
  };
}

function scopeOf(rulesets: readonly Ruleset[]): Pick<RulesStatus, "scope"> {
  const scopes = rulesets.flatMap(({ scope }) => scope ?? []);
  const [first] = scopes;
  if (first === undefined) return {};
  const sources = scopes.reduce((sum, scope) => sum + scope.sources.length, 0);
  return { scope: { sources, interfaces: first.interfaces } };
}

function readState({ failed, problems }: PassOutcome["config"]): PassReport["config"]["state"] {
  if (failed) return "unreadable";
  return problems.length === 0 ? "accepted" : "refused";
}

interface Size {
  readonly cidrs: number;
  readonly intervals: number;
}

const sizes = new WeakMap<Ruleset, Size>();

/** The size of a ruleset; computed once, since a list may be long and passes many. */
function sizeOf(ruleset: Ruleset): Size {
  const known = sizes.get(ruleset);
  if (known !== undefined) return known;
  const cidrs = ruleset.entries.filter(({ verdict }) => verdict === "return").length;
  const size = { cidrs, intervals: keptIntervals(ruleset).length };
  sizes.set(ruleset, size);
  return size;
}

/** The last committer of the processes that may have done it. */
function describeHealing({ drift, attribution }: Healing): PassReport["healed"] {
  const process = attribution?.commits.at(-1)?.process ?? "unknown";
  return drift.map(({ kind, count = 1 }) => ({ kind, process, count }));
}
