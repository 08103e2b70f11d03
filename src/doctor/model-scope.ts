/** What conditions of the tracer's model say of whose packets they match. */
import type { Family } from "../core/cidr.ts";
import { everything, meetIntervals, subtractIntervals } from "../core/intervals.ts";
import type { Certainty } from "../trace/match.ts";
import type { Condition } from "../trace/model.ts";
import { ANY, least, type Scope } from "./rule-scope.ts";

/** Questions for a socket, which packets that are passed on do not have; `!` before iptables' matches those. */
const ASKS_SOCKET =
  /^(--(uid|gid|pid|sid)-owner|--cmd-owner|--socket-exists|\(?meta (sk[ug]id|cgroup)|socket )/;
/** Questions for a connection's mark that only a marked one answers with yes. */
const ASKS_MARK = /^(--mark (?!0(x0)?(\/|$))|ct mark (& \S+ )?((?!0$|!=)\S+|!= 0)$)/;

/** What all conditions of a rule come to, for packets of one family. */
export function scopeOf(conditions: readonly Condition[], family: Family): Scope {
  return conditions.reduce<Scope>((scope, condition) => narrow(scope, condition, family), ANY);
}

function narrow(scope: Scope, condition: Condition, family: Family): Scope {
  const partial = { ...scope, isPartial: true };
  const never = { ...scope, isNotForPods: true };
  switch (condition.kind) {
    case "address": {
      if (condition.family !== family) return never;
      const side = condition.side === "source" ? "sources" : "destinations";
      const all = [everything(family)];
      const asked = condition.negated ? subtractIntervals(all, condition.intervals) : condition.intervals;
      return { ...scope, [side]: meetIntervals(scope[side] ?? all, asked) };
    }
    case "local":
      // The jump to our chain leaves out what is for the node itself, and pods' packets are not from it.
      return condition.negated ? scope : never;
    case "family":
      return (condition.family === family) === condition.negated ? never : scope;
    case "mark":
      // A pod's own packet has none.
      return (condition.value === 0) === condition.negated ? never : scope;
    case "state":
      return narrowState(scope, condition);
    case "in":
      return condition.negated || scope.inputs !== undefined
        ? partial
        : { ...scope, inputs: condition.names };
    case "either": {
      // Every packet of a pod matches, or none does.
      const isAlways = condition.lists.some((list) => list.length === 0);
      if (isAlways) return condition.negated ? never : scope;
      if (condition.lists.length === 0) return condition.negated ? scope : never;
      const isForOthers = condition.lists.every((list) => scopeOf(list, family).isNotForPods);
      return isForOthers && !condition.negated ? never : partial;
    }
    case "unknown":
      return ASKS_SOCKET.test(condition.text) || ASKS_MARK.test(condition.text) ? never : partial;
    default:
      return partial;
  }
}

/** A new connection is neither established nor invalid; of other states it is not known. */
function narrowState(scope: Scope, { states, negated }: Extract<Condition, { kind: "state" }>): Scope {
  const isNever = states.every((state) => ["established", "invalid", "untracked"].includes(state));
  const met: Certainty = states.includes("new") ? "yes" : isNever ? "no" : "maybe";
  const before = scope.states ?? { fresh: "yes", invalid: true };
  return {
    ...scope,
    states: {
      fresh: least([before.fresh, negated ? OPPOSITE[met] : met]),
      invalid: before.invalid && states.includes("invalid") !== negated,
    },
  };
}

const OPPOSITE: Readonly<Record<Certainty, Certainty>> = { yes: "no", maybe: "maybe", no: "yes" };
