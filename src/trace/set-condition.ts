/** Translates the lookups of an iptables rule in ipsets into conditions. */
import type { Family } from "../core/cidr.ts";
import type { SetContent, SetList } from "./ipset.ts";
import type { Condition, Side } from "./model.ts";

/** `--match-set NAME src,dst`; undefined if the set is not known. */
export function matchSet(
  head: Pick<Condition, "text" | "negated">,
  [name = "", directions = ""]: readonly string[],
  family: Family,
  sets: ReadonlyMap<string, SetContent | SetList>,
): Condition[] | undefined {
  const set = sets.get(name);
  const sides = directions.split(",").map((one): Side => (one === "src" ? "source" : "destination"));
  if (set === undefined) return undefined;
  if (!("members" in set)) return matchContent(head, set, sides, family);
  // The kernel passes over members that have more places than the rule asks for.
  const asked = set.members.filter(({ places }) => places.length <= sides.length);
  const lists = asked.map((one) => matchContent({ ...head, negated: false }, one, sides, family));
  return lists.every((one) => one !== undefined) ? [{ ...head, kind: "either", lists }] : undefined;
}

function matchContent(
  head: Pick<Condition, "text" | "negated">,
  set: SetContent,
  sides: readonly Side[],
  family: Family,
): Condition[] | undefined {
  if (sides.length !== set.places.length) return undefined;
  const own = set.family === undefined || set.family === family;
  const [intervals] = set.places;
  const [side] = sides;
  if (sides.length === 1 && intervals !== undefined && side !== undefined && set.isExpiring !== true)
    // A set of the other family has no address of this one.
    return [{ ...head, kind: "address", side, family, intervals: own ? intervals : [] }];
  return [
    {
      ...head,
      kind: "either",
      lists: own ? set.elements.map((parts) => elementConditions(parts, sides, family, head.text)) : [],
    },
  ];
}

/** The conditions for an element, one for each part. */
function elementConditions(
  parts: SetContent["elements"][number],
  sides: readonly Side[],
  family: Family,
  text: string,
): Condition[] {
  const head = { text, negated: false };
  return parts.flatMap((part, at): Condition[] => {
    const side = sides[at] ?? "destination";
    if (part === undefined) return [{ ...head, kind: "unknown" }];
    if ("first" in part) return [{ ...head, kind: "address", side, family, intervals: [part] }];
    const { protocol, ports } = part;
    return [
      { ...head, kind: "protocol", protocols: [protocol] },
      { ...head, kind: "port", side, ranges: [ports] },
    ];
  });
}
