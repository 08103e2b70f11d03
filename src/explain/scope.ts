/** Whose packets the configuration's answer is about, and with which addresses they leave. */
import type { Family } from "../core/cidr.ts";
import { lastAddress } from "../core/cidr.ts";
import type { Masquerade, Ruleset, Scope, SourceEntry } from "../core/ruleset.ts";
import { addressOf } from "../core/slots.ts";
import { decidingSource, isOursByDefault, leavesThroughOurs, sourceIntervals } from "../core/sources.ts";

/** The known details of a packet that a scope is about. */
export interface PacketDetails {
  readonly source?: bigint | undefined;
  /** The link that it leaves through. */
  readonly out?: string | undefined;
}

/** Whether a packet is ours, and why. */
export interface ScopeAnswer {
  /** Undefined: it depends on its source or its link, which are not known. */
  readonly isOurs: boolean | undefined;
  /** The conditions of the answer, or the entry that decides where the packet is not ours. */
  readonly sources: SourcesAnswer;
  readonly links: { readonly isListed: boolean | undefined; readonly names: readonly string[] };
}

/** The answer of the lists of sources. */
export type SourcesAnswer =
  /** The packet's source is not known, or there are no lists. */
  | { readonly isOurs: boolean | undefined; readonly entries: readonly SourceEntry[] }
  /** The entry that decides, if any does, and the others that contain the source. */
  | {
      readonly isOurs: boolean;
      readonly by: SourceEntry | undefined;
      readonly lost: readonly SourceEntry[];
    };

/** Whether a packet is ours; `scope` as in a ruleset of the family. */
export function answerScope(family: Family, scope: Scope, { source, out }: PacketDetails): ScopeAnswer {
  const sources = answerSources(family, scope, source);
  const isListed =
    out === undefined && scope.interfaces.length > 0 ? undefined : leavesThroughOurs(scope, out ?? "");
  return { isOurs: both(sources.isOurs, isListed), sources, links: { isListed, names: scope.interfaces } };
}

function answerSources(family: Family, scope: Scope, source: bigint | undefined): SourcesAnswer {
  const { sources: entries } = scope;
  if (source === undefined || entries.length === 0) {
    const ours = sourceIntervals(family, scope);
    return { isOurs: ours === undefined ? true : ours.length === 0 ? false : undefined, entries };
  }
  const by = decidingSource(entries, source);
  const lost = entries.filter(
    (entry) => entry !== by && entry.cidr.base <= source && source <= lastAddress(entry.cidr),
  );
  return { isOurs: by?.isOurs ?? isOursByDefault(entries), by, lost };
}

function both(a: boolean | undefined, b: boolean | undefined): boolean | undefined {
  if (a === false || b === false) return false;
  return a === true && b === true ? true : undefined;
}

/** Whether the configuration wants a packet masqueraded if the list of destinations does. */
export function isWanted(
  ruleset: Pick<Ruleset, "family" | "scope">,
  details: PacketDetails,
): boolean | undefined {
  const { family, scope } = ruleset;
  return scope === undefined ? true : answerScope(family, scope, details).isOurs;
}

/** The addresses that a packet of a source may leave with; undefined if the kernel chooses. */
export function addressesOf(
  { pool }: Pick<Masquerade, "pool">,
  source: bigint | undefined,
): readonly bigint[] | undefined {
  if (pool === undefined) return undefined;
  const address = source === undefined ? undefined : addressOf(pool, source);
  return address === undefined ? pool.addresses : [address];
}
