/** What one node has to say to the whole cluster after a pass: whether it follows the configuration, and if not, why. */

import { printableLine } from "../../text/printable.ts";
import type { PassOutcome } from "../reconcile.ts";

/**
 * - `ok`: the configuration read last is in force.
 * - `refused`: it cannot be used, so that the last good one stays.
 * - `failing`: its rules are not in force, or a pass had an error.
 * - `fighting`: another process keeps changing the rules.
 */
export type StateName = "ok" | "refused" | "failing" | "fighting";

export interface NodeState {
  readonly state: StateName;
  /** The digest of the configuration in force; empty: none is. */
  readonly config: string;
  /** Empty with `ok`. */
  readonly why: string;
}

/** A state, and when the last fight was seen, in milliseconds of the pass's clock. */
export interface SeenState {
  readonly said: NodeState;
  readonly foughtAt: number;
  /** The last fight's sentence. */
  readonly fight: string;
}

/** The parts of a pass that matter. */
type Pass = Pick<PassOutcome, "startedAt" | "config" | "current" | "errors" | "groups" | "healed">;

/** A fight whose repairs become rarer is still one. */
const FIGHT_MS = 300_000;

/** Kubernetes allows more, but a table has a line for it. */
const WHY_CHARACTERS = 200;

/** The state after a pass; `fightMs` is the pause that repairs have to make because of a fight. */
export function stateAfter(before: SeenState | undefined, pass: Pass, fightMs: number): SeenState {
  const isFight = fightMs > 0 && pass.healed.length > 0;
  const foughtAt = isFight ? pass.startedAt : (before?.foughtAt ?? Number.NEGATIVE_INFINITY);
  const fight = isFight ? describeFighter(pass) : (before?.fight ?? "");
  // While tools are at work nobody knows.
  if (before !== undefined && pass.groups.some(({ isUnderWay }) => isUnderWay))
    return { ...before, foughtAt, fight };
  const isFighting = pass.startedAt - foughtAt < FIGHT_MS;
  const [state, why] = judge(pass, isFighting ? fight : undefined);
  return { said: { state, config: inForce(pass, before), why: brief(why) }, foughtAt, fight };
}

function judge(
  { config, errors, groups }: Pass,
  fight: string | undefined,
): readonly [state: StateName, why: string] {
  const [problem] = config.problems;
  if (problem !== undefined) return ["refused", problem];
  const [error] = errors;
  if (error !== undefined) return ["failing", error];
  if (fight !== undefined) return ["fighting", fight];
  return groups.every((group) => group.inForce) ? ["ok", ""] : ["failing", "rules are not in force"];
}

/** Without --watch a pass with a bad configuration checks no rules: they stay. */
function inForce({ current, groups }: Pass, before: SeenState | undefined): string {
  if (groups.length === 0) return before?.said.config ?? "";
  return groups.some((group) => group.inForce) ? (current?.hash ?? "") : "";
}

function describeFighter({ healed }: Pass): string {
  const last = healed.at(-1)?.attribution?.commits.at(-1);
  return `another process keeps changing the agent's rules: ${last?.process ?? "it is not known which"}`;
}

/** Letters and digits as in tokens and keys, which a text may quote where something else was mounted by mistake. */
const SECRET = /(?=(?:\w*\d){3})(?=\w*[A-Za-z])[\w+=]{16,}/g;

/** One line for people who may list Leases, but not read the configuration. Exported for its test. */
export function brief(text: string): string {
  const line = printableLine(text.trim().replaceAll(/\s+/g, " ")).replaceAll(SECRET, "[hidden]");
  if (line.length <= WHY_CHARACTERS) return line;
  const end = /[\ud800-\udbff]/.test(line.charAt(WHY_CHARACTERS - 4)) ? 4 : 3;
  return `${line.slice(0, WHY_CHARACTERS - end)}...`;
}
