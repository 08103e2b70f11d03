/** Ways through a rule of nf_tables, and the known parts of modules of xtables in it, whose options only iptables shows. */
import { type Action, type Condition, type MarkChange, unknownMark } from "../model.ts";

/** One way through a rule: a verdict map makes several of one rule. */
export interface Branch {
  readonly conditions: readonly Condition[];
  /** The changes of the mark before the action. */
  readonly marks?: readonly MarkChange[];
  readonly action: Action;
}

/** Adds ways to those that a rule has so far. */
export function addBranches(branches: Branch[], made: readonly Branch[]): void {
  const last = branches.at(-1);
  const [one, ...more] = made;
  // A way that only changes the mark is part of the way after it, unless that has more conditions.
  const isSame = more.length === 0 && one?.conditions.length === last?.conditions.length;
  if (one !== undefined && last?.action.kind === "mark" && isSame) {
    const marks = [...(last.marks ?? []), last.action.change];
    branches.splice(-1, 1, { ...one, marks });
    return;
  }
  const hasMark = branches.some(({ action, marks }) => action.kind === "mark" || marks !== undefined);
  branches.push(...(hasMark ? made.map(forgetMark) : made));
}

/** The rule matched before it changed the mark; do not evaluate its conditions on the mark again. */
function forgetMark({ conditions, ...branch }: Branch): Branch {
  const rest = conditions.map(
    (one): Condition => (one.kind === "mark" ? { ...one, negated: false, kind: "unknown" } : one),
  );
  return { ...branch, conditions: rest };
}

/** A comment has no condition. */
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

/** Whether only iptables shows the conditions or the action of a module. */
export function isHiddenXt(kind: "match" | "target", name: string | undefined): boolean {
  const action = TARGETS[name ?? ""];
  return kind === "match" ? name !== "comment" : action === undefined || action.kind === "mark";
}
