/** The ipset tool's part of the iptables backend, as scripts. */

import type { Drift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Answer, Script } from "../system/script.ts";
import { counted } from "../text/plural.ts";
import { freshSetName, renderSet, sameElements, setName } from "./ipset.ts";
import type { Layout } from "./layout.ts";

/** The exit code with which ipset says that a set is not there. */
const ANSWER_NO = [1];
const DEADLINE_MS = 30_000;
const DEADLINE_PER_ELEMENT_MS = 1;

/** A set is filled before the chain looks it up, and goes once the chain does not any more. */
export function planSet(
  ruleset: Ruleset,
  { set }: Layout,
  observed: readonly string[] | undefined,
): { before: Script[]; after: Script[]; drift: Drift[] } {
  const name = setName(ruleset);
  if (set === undefined)
    return { before: [], after: observed === undefined ? [] : destroySets(name), drift: [] };
  if (observed !== undefined && sameElements(set.elements, observed))
    return { before: [], after: [], drift: [] };
  const exists = observed !== undefined;
  const stdin = renderSet(ruleset, set.elements, exists);
  const deadlineMs = DEADLINE_MS + set.elements.length * DEADLINE_PER_ELEMENT_MS;
  const fill: Script = {
    file: "ipset",
    args: ["restore"],
    stdin,
    purpose: `filling set ${name}`,
    deadlineMs,
  };
  const where = `set ${name}`;
  return {
    before: [destroySet(freshSetName(name)), fill],
    after: [],
    drift: [
      exists
        ? {
            kind: "changed",
            where,
            expected: counted(set.elements.length, "element"),
            actual: `${observed.length}`,
          }
        : { kind: "missing", where },
    ],
  };
}

/** "Not there" is success: exit code 1 says that, and also "in use", which the next pass sees again. */
function destroySet(name: string): Script {
  return {
    file: "ipset",
    args: ["destroy", name],
    purpose: `removing set ${name}`,
    accept: ANSWER_NO,
    deadlineMs: DEADLINE_MS,
  };
}

/** Both names of a set; the one that is looked for goes last, so that a removal that was cut short is seen again. */
export function destroySets(name: string): Script[] {
  return [destroySet(freshSetName(name)), destroySet(name)];
}

/** Shows the elements; exit code 1 says that there is no such set. */
export function saveSet(ruleset: Pick<Ruleset, "chain" | "family">): Script {
  const name = setName(ruleset);
  return {
    file: "ipset",
    args: ["save", name],
    purpose: `listing set ${name}`,
    accept: ANSWER_NO,
    deadlineMs: DEADLINE_MS,
  };
}

/** Shows how many rules look the set up, which `ipset save` does not. */
export function countSetUses(ruleset: Pick<Ruleset, "chain" | "family">): Script {
  const name = setName(ruleset);
  return {
    file: "ipset",
    args: ["list", "-t", name],
    purpose: `asking who uses set ${name}`,
    accept: ANSWER_NO,
    deadlineMs: DEADLINE_MS,
  };
}

/** The number in the answer. */
export function parseSetUses({ stdout }: Pick<Answer, "stdout">): number {
  return Number(/^References: (\d+)$/m.exec(stdout)?.[1] ?? 0);
}
