/** Ways through a rule of nf_tables, and what is known of modules of xtables in it, whose options nobody shows but iptables. */
import { type Action, type Condition, type MarkChange, unknownMark } from "../model.ts";

/** One way through a rule: a verdict map makes several of one rule. */
export interface Branch {
  readonly conditions: readonly Condition[];
  /** What becomes of the mark before the action is taken. */
  readonly marks?: readonly MarkChange[];
  readonly action: Action;
}

/** Adds ways to those that a rule has so far. */
export function addBranches(branches: Branch[], made: readonly Branch[]): void {
  const last = branches.at(-1);
  const [one, ...more] = made;
  // What only changes the mark is a part of what comes behind it, unless that asks something more.
  const isSame = more.length === 0 && one?.conditions.length === last?.conditions.length;
  if (one !== undefined && last?.action.kind === "mark" && isSame) {
    const marks = [...(last.marks ?? []), last.action.change];
    branches.splice(-1, 1, { ...one, marks });
    return;
  }
  const hasMark = branches.some(({ action, marks }) => action.kind === "mark" || marks !== undefined);
  branches.push(...(hasMark ? made.map(forgetMark) : made));
}

/** The rule was met before it changed the mark; what it asked of the mark is not asked again. */
function forgetMark({ conditions, ...branch }: Branch): Branch {
  const rest = conditions.map(
    (one): Condition => (one.kind === "mark" ? { ...one, negated: false, kind: "unknown" } : one),
  );
  return { ...branch, conditions: rest };
}

/** A comment asks nothing. */
export function readXtMatch(name: string | undefined): Condition[] {
  if (name === "comment") return [];
  return [{ kind: "unknown", text: `-m ${name} (of iptables, not shown by nft)`, negated: false }];
}

const TARGETS: Readonly<Record<string, Action>> = {
  MASQUERADE: { kind: "masquerade" },
  SNAT: { kind: "translate" },
  NETMAP: { kind: "translate" },
  DNAT: { kind: "redirect" },
  REDIRECT: { kind: "redirect" },
  TPROXY: { kind: "redirect" },
  NOTRACK: { kind: "untrack" },
  REJECT: { kind: "drop" },
  LOG: { kind: "continue" },
  NFLOG: { kind: "continue" },
  MARK: { kind: "mark", change: unknownMark() },
};

export function readXtTarget(name: string | undefined): Action {
  return TARGETS[name ?? ""] ?? { kind: "unknown" };
}

/** Whether only iptables shows what a module asks or does. */
export function isHiddenXt(kind: "match" | "target", name: string | undefined): boolean {
  const action = TARGETS[name ?? ""];
  return kind === "match" ? name !== "comment" : action === undefined || action.kind === "mark";
}
