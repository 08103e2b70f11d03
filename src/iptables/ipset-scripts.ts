/** The ipset tool's part of the iptables backend, as scripts. */

import type { Answer, Script } from "../system/script.ts";
import { type OwnSet, renderSet } from "./ipset.ts";

/** The tool. It does not commit to nf_tables' ruleset. */
export const IPSET = "ipset";

/** ipset's exit code for a set that does not exist. */
const ANSWER_NO = [1];
const DEADLINE_MS = 30_000;
const DEADLINE_PER_ELEMENT_MS = 1;
/** For more sets than these, one call reads all sets. */
const FEW_SETS = 8;

/** Checks that the tool is installed. */
export const IPSET_VERSION: Script = ipset(["--version"], "asking ipset for its version", {
  deadlineMs: 5_000,
});

/** Lists the names of all sets. */
export const LIST_SETS: Script = ipset(["list", "-n"], "listing ipsets");

/** Shows the sets of these names with their elements. */
export function saveSets(names: readonly string[]): readonly Script[] {
  if (names.length > FEW_SETS) return [ipset(["save"], "reading all sets", { deadlineMs: 60_000 })];
  return names.map((name) => ipset(["save", name], `reading the set ${name}`, { deadlineMs: 60_000 }));
}

/** The names in the answer to `LIST_SETS`. */
export function parseSetNames({ stdout }: Pick<Answer, "stdout">): readonly string[] {
  return stdout.split("\n").filter((name) => name !== "");
}

function ipset(args: readonly string[], purpose: string, more: Partial<Script> = {}): Script {
  return { file: IPSET, args, purpose, deadlineMs: DEADLINE_MS, ...more };
}

/** Gives a set these elements in one instant, if it `exists`; otherwise makes it. */
export function fillSet(set: OwnSet, elements: readonly string[], exists: boolean): Script[] {
  const stdin = renderSet(set, elements, exists);
  const deadlineMs = DEADLINE_MS + elements.length * DEADLINE_PER_ELEMENT_MS;
  return [destroySet(set.fresh), ipset(["restore"], `filling set ${set.name}`, { stdin, deadlineMs })];
}

/** A missing set is success: exit code 1 means that, and also "in use", which the next pass sees again. */
function destroySet(name: string): Script {
  return ipset(["destroy", name], `removing set ${name}`, { accept: ANSWER_NO });
}

/** Removes both names of a set; the one that passes look for goes last, so that they see an interrupted removal. */
export function destroySets({ name, fresh }: OwnSet): Script[] {
  return [destroySet(fresh), destroySet(name)];
}

/** Shows the elements; exit code 1 means that there is no such set. */
export function saveSet({ name }: OwnSet): Script {
  return ipset(["save", name], `listing set ${name}`, { accept: ANSWER_NO });
}

/** Shows how many rules look the set up, which `ipset save` does not. */
export function countSetUses({ name }: OwnSet): Script {
  return ipset(["list", "-t", name], `counting the uses of set ${name}`, { accept: ANSWER_NO });
}

/** The number in the answer. */
export function parseSetUses({ stdout }: Pick<Answer, "stdout">): number {
  return Number(/^References: (\d+)$/m.exec(stdout)?.[1] ?? 0);
}
