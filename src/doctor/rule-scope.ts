/** Whose packets a rule matches, as far as it can be said of a pod's new connection to some destination. */
import type { Family } from "../core/cidr.ts";
import { type Interval, meetIntervals, subtractIntervals } from "../core/intervals.ts";
import type { Certainty } from "../trace/match.ts";
import { intervalOf, isOthersLink, type PodFacts } from "./pod-networks.ts";

/** What a rule's conditions come to; undefined: it does not ask. */
export interface Scope {
  readonly sources?: readonly Interval[];
  readonly destinations?: readonly Interval[];
  /** Links that packets must have come in by; `*` at the end matches anything. */
  readonly inputs?: readonly string[];
  /** Of conntrack's states: whether the first packet of a connection matches, and whether one does that is INVALID. */
  readonly states?: { readonly fresh: Certainty; readonly invalid: boolean };
  /** It can only match what has a mark, or the node's own packets: never what pods send. */
  readonly isNotForPods: boolean;
  /** It asks something else, too, of which nothing is known. */
  readonly isPartial: boolean;
}

/** A rule that asks nothing. */
export const ANY: Scope = { isNotForPods: false, isPartial: false };

/** The packets of pods that come to a rule. */
export interface Senders {
  readonly family: Family;
  /** Undefined if it could not be learnt. */
  readonly pods: PodFacts | undefined;
}

/** Whether a rule is for pods' packets; `maybe`: for some, or it cannot be known. */
export function isForPods(scope: Scope, senders: Senders): Certainty {
  if (scope.isNotForPods) return "no";
  return least([
    sourceAnswer(scope, senders),
    inputAnswer(scope, senders),
    scope.isPartial ? "maybe" : "yes",
    scope.states?.fresh ?? "yes",
  ]);
}

/** All of it is so. */
export function least(answers: readonly Certainty[]): Certainty {
  return answers.includes("no") ? "no" : answers.includes("maybe") ? "maybe" : "yes";
}

/** This node's own pods where those are known, for only their packets come by; else all that are known. */
export function podIntervals({ family, pods }: Senders): readonly Interval[] {
  const known = (pods?.networks ?? []).filter(({ cidr }) => cidr.family === family);
  const local = known.filter(({ isLocal }) => isLocal);
  return (local.length > 0 ? local : known).map(({ cidr }) => intervalOf(cidr));
}

function sourceAnswer({ sources }: Scope, senders: Senders): Certainty {
  if (sources === undefined) return "yes";
  if (sources.length === 0) return "no";
  const pods = podIntervals(senders);
  if (pods.length > 0) {
    const missed = pods.filter((one) => subtractIntervals([one], sources).length > 0);
    if (missed.length === 0) return "yes";
    const isMet = pods.some((one) => meetIntervals([one], sources).length > 0);
    return isMet ? "maybe" : "no";
  }
  const others = (senders.pods?.others ?? [])
    .filter(({ family }) => family === senders.family)
    .map(intervalOf);
  const rest = others.reduce<readonly Interval[]>((left, one) => subtractIntervals(left, [one]), sources);
  return rest.length === 0 ? "no" : "maybe";
}

function inputAnswer({ inputs }: Scope, { pods }: Senders): Certainty {
  if (inputs === undefined) return "yes";
  return inputs.every((name) => isNotPods(name, pods?.links)) ? "no" : "maybe";
}

/** A link that is not there now may be a pod's later, unless its name is known. */
function isNotPods(pattern: string, links: ReadonlyMap<string, boolean> | undefined): boolean {
  const stem = pattern.replace(/\*$/, "");
  const matching = [...(links ?? [])].filter(([name]) =>
    pattern.endsWith("*") ? name.startsWith(stem) : name === pattern,
  );
  if (matching.length > 0) return matching.every(([, isPods]) => !isPods);
  return isOthersLink(pattern) || ["docker", "br-", "virbr"].includes(stem);
}
