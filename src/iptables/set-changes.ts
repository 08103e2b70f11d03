/**
 * The sets' part of a plan. Sets change before the rules that look them up, and go after them.
 *
 * One set alone changes in one instant. As soon as the rules or the other set change as well, a flow that keeps its address before and
 * after could be masqueraded in between: it may see either's old state beside the other's new one. So less is masqueraded first,
 * and then more: a set that rules look up gets what both its lists agree to masquerade, then the rules change, then the set gets
 * what is wanted. A killed agent leaves that, and the next pass finds it as drift.
 */

import type { Drift } from "../core/drift.ts";
import { sweepPrefixes, type WeighedPrefix } from "../core/intervals.ts";
import type { Script } from "../system/script.ts";
import { counted } from "../text/plural.ts";
import { type OwnSet, ownSets, type SetRole, sameElements, setElements, weighedElements } from "./ipset.ts";
import { destroySets, fillSet } from "./ipset-scripts.ts";
import type { Layout } from "./layout.ts";
import type { Observed, Target } from "./planner.ts";
import { looksUp } from "./rule.ts";

/** The changes of sets before the rules change, and after. */
export interface SetChanges {
  readonly before: readonly Script[];
  readonly after: readonly Script[];
  readonly drift: readonly Drift[];
}

/** A set with the elements that it has and should have. */
interface Change {
  readonly set: OwnSet;
  readonly found: readonly string[] | undefined;
  readonly wanted: readonly string[];
  /** Whether rules look it up now. */
  readonly isInUse: boolean;
}

/** Fills sets before the chain looks them up, and removes them once no rule of the chain does. `isRewritten`: the chain's rules change. */
export function changeSets(
  target: Target,
  { sets }: Pick<Layout, "sets">,
  { rules = [], sets: observed = {} }: Observed,
  isRewritten: boolean,
): SetChanges {
  const all = ownSets(target);
  const changes = all.flatMap((set): Change[] => {
    const [wanted, found] = [sets[set.role]?.elements, observed[set.role]];
    if (wanted === undefined || (found !== undefined && sameElements(wanted, found))) return [];
    const isInUse = found !== undefined && rules.some((rule) => looksUp(rule, set.name));
    return [{ set, found, wanted, isInUse }];
  });
  const places = changes.filter(({ isInUse }) => isInUse).length + (isRewritten ? 1 : 0);
  const scripts = changes.map((change) => (change.isInUse && places > 1 ? viaMeet(change) : atOnce(change)));
  const left = all.filter(({ role }) => sets[role] === undefined && observed[role] !== undefined);
  return {
    before: scripts.flatMap(({ before }) => before),
    after: [...scripts.flatMap(({ after }) => after), ...left.flatMap(destroySets)],
    drift: changes.map(driftOf),
  };
}

function atOnce({ set, found, wanted }: Change) {
  return { before: fillSet(set, wanted, found !== undefined), after: [] };
}

function viaMeet({ set, found = [], wanted }: Change) {
  const meet = meetElements(set, found, wanted);
  return {
    before: sameElements(meet, found) ? [] : fillSet(set, meet, true),
    after: sameElements(meet, wanted) ? [] : fillSet(set, wanted, true),
  };
}

function driftOf({ set, found, wanted }: Change): Drift {
  const where = `set ${set.name}`;
  if (found === undefined) return { kind: "missing", where };
  return { kind: "changed", where, expected: counted(wanted.length, "element"), actual: `${found.length}` };
}

/** A set that masquerades no more than either list: destinations of any of the two, sources of both. */
const MEETS: Readonly<Record<SetRole, (before: boolean, after: boolean) => boolean>> = {
  destinations: (before, after) => before || after,
  sources: (before, after) => before && after,
};

/** A prefix of either list, and what the longest match in each says of its addresses. */
interface Compared {
  readonly cidr: WeighedPrefix["cidr"];
  before: boolean;
  after: boolean;
}

/**
 * The elements of the meet of two sets. Of an address that the longest prefix of both lists together decides about, each list by
 * itself says the same as of the whole prefix: so no arithmetic is needed, and the meet is no longer than both lists.
 */
export function meetElements(
  { role, family }: Pick<OwnSet, "role" | "family">,
  before: readonly string[],
  after: readonly string[],
): readonly string[] {
  const compared = new Map<string, Compared>();
  type Side = WeighedPrefix & { readonly side: "before" | "after" };
  const sided = (side: Side["side"], elements: readonly string[]): Side[] =>
    weighedElements(family, elements).map((prefix) => ({ ...prefix, side }));
  const key = ({ cidr }: Side) => `${cidr.base}/${cidr.bits}`;
  sweepPrefixes([...sided("before", before), ...sided("after", after)], {
    enter(prefix, around) {
      const parent = around.at(-1);
      const known = compared.get(key(prefix));
      const outer = parent === undefined ? { before: false, after: false } : compared.get(key(parent));
      const one = known ?? {
        before: outer?.before ?? false,
        after: outer?.after ?? false,
        cidr: prefix.cidr,
      };
      one[prefix.side] = prefix.included;
      compared.set(key(prefix), one);
      return known === undefined;
    },
  });
  return setElements(
    [...compared.values()].map((one) => ({ cidr: one.cidr, included: MEETS[role](one.before, one.after) })),
  );
}
