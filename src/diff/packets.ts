/** Whose packets change sides between two configurations, and what they leave with. */

import type { Family } from "../core/cidr.ts";
import type { MasqConfig } from "../core/config.ts";
import { everything, type Interval, subtractIntervals } from "../core/intervals.ts";
import type { NodeAddresses, Ruleset } from "../core/ruleset.ts";
import { choosePool } from "../core/slots.ts";
import { sourceIntervals } from "../core/sources.ts";
import { countAddresses, type Danger, within, type Zone } from "../core/verdicts.ts";

/** The sources of one family whose packets change sides; both lists are sorted and disjoint. */
export interface SourceChange {
  readonly family: Family;
  /** Not ours before, ours now. */
  readonly ours: readonly Interval[];
  /** The other way round. */
  readonly others: readonly Interval[];
}

/** The parts of a difference that are not about destinations. */
export interface PacketChanges {
  /** Only families in which sources change. */
  readonly sources: readonly SourceChange[];
  readonly interfaces?: Change;
  /** The list, and after several entries `by pod` or `by flow`. */
  readonly addresses?: Change;
}

/** Texts before and after. */
export interface Change {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** One side of the comparison. */
interface Side {
  readonly config: MasqConfig;
  readonly rulesets: readonly Ruleset[];
}

/** The changes besides destinations. */
export function changePackets(before: Side, after: Side): PacketChanges {
  const sources = before.rulesets
    .map((old, i) => changeSources(old, after.rulesets[i] ?? old))
    .filter(({ ours, others }) => ours.length + others.length > 0);
  return {
    sources,
    ...changed("interfaces", before.config.outputInterfaces, after.config.outputInterfaces),
    ...changed("addresses", addressTexts(before.config), addressTexts(after.config)),
  };
}

function changeSources(before: Ruleset, after: Ruleset): SourceChange {
  const { family } = before;
  const [old, fresh] = [before, after].map(
    ({ scope }) => sourceIntervals(family, scope) ?? [everything(family)],
  ) as [readonly Interval[], readonly Interval[]];
  return { family, ours: subtractIntervals(fresh, old), others: subtractIntervals(old, fresh) };
}

function addressTexts({ outputAddresses, outputAddressBy }: MasqConfig): readonly string[] {
  const texts = outputAddresses.map(({ text }) => text);
  return texts.length === 0 ? [] : [...texts, `by ${outputAddressBy}`];
}

/** The order of a list means nothing. */
function changed<Name extends string>(
  name: Name,
  before: readonly string[],
  after: readonly string[],
): { readonly [key in Name]?: Change } {
  const isSame = [...new Set(before)].sort().join() === [...new Set(after)].sort().join();
  return (isSame ? {} : { [name]: { before, after } }) as { readonly [key in Name]?: Change };
}

/** Networks of pods that are no longer masqueraded; `zones` are those of pods. */
export function sourceDangers(changes: readonly SourceChange[], zones: readonly Zone[]): readonly Danger[] {
  return changes.flatMap(({ family, others }) =>
    zones
      .filter(({ cidr }) => cidr.family === family)
      .map(({ what, cidr }) => ({
        family,
        change: "left alone" as const,
        what: `${what} (${cidr.text})`,
        addresses: countAddresses(within(others, cidr)),
      }))
      .filter(({ addresses }) => addresses > 0n),
  );
}

/** Families of which a node has no address that the new list names, although the list has entries of the family. */
export function addressDangers(
  { addresses }: PacketChanges,
  { config, rulesets }: Side,
  own: NodeAddresses,
): readonly Danger[] {
  if (addresses === undefined) return [];
  return rulesets.flatMap(({ family }): Danger[] => {
    const blocks = config.outputAddresses.filter((block) => block.family === family);
    if (blocks.length === 0 || choosePool(blocks, "pod", own[family]) !== undefined) return [];
    const what = "this node has no address in outputAddresses, so that the kernel chooses";
    return [{ family, change: "no address", what, addresses: 0n }];
  });
}
