/**
 * Whose packets are ours: the longest prefix of both source lists that contains a packet's source decides. Without one
 * a packet is ours only if no entry says whose packets are; and then, only if it leaves through a listed link.
 */
import { type Cidr, type Family, lastAddress } from "./cidr.ts";
import {
  decompose,
  everything,
  type Interval,
  longestPrefixIntervals,
  subtractIntervals,
  type WeighedPrefix,
} from "./intervals.ts";
import type { Scope, SourceEntry } from "./ruleset.ts";

/** Blocks that tell whose packets are ours, in address order; each list has the fewest CIDRs. */
export interface SourceBlocks {
  /** All that `masqueradeSourceCIDRs` covers; every address where it has no entry of the family. */
  readonly ours: readonly Cidr[];
  /** Of these, what a longer prefix of `nonMasqueradeSourceCIDRs` takes out. */
  readonly excepted: readonly Cidr[];
}

/** The blocks of sources, for rules that ask for one block each. */
export function sourceBlocks(family: Family, scope: Scope | undefined): SourceBlocks {
  const covered = coveredSources(family, scope?.sources ?? []);
  const ours = sourceIntervals(family, scope) ?? covered;
  return {
    ours: blocksOf(family, covered),
    excepted: blocksOf(family, subtractIntervals(covered, ours)),
  };
}

const known = new WeakMap<Scope, readonly Interval[] | undefined>();

/**
 * The sources whose packets are ours, sorted, disjoint and non-adjacent; undefined if these are all. Computed once for a scope,
 * which is of one family: a long list takes tens of milliseconds.
 */
export function sourceIntervals(family: Family, scope: Scope | undefined): readonly Interval[] | undefined {
  if (scope === undefined || scope.sources.length === 0) return undefined;
  if (!known.has(scope)) known.set(scope, computeIntervals(family, scope));
  return known.get(scope);
}

function computeIntervals(family: Family, scope: Scope): readonly Interval[] | undefined {
  const ours = longestPrefixIntervals(prefixesOf(family, scope.sources));
  const [first] = ours;
  const all = everything(family);
  return first?.first === all.first && first.last === all.last ? undefined : ours;
}

/**
 * Whether the packets of a source that leave through a link are ours; undefined if that depends on the link, which is
 * not given.
 */
export function isOurs(scope: Scope | undefined, source: bigint, outInterface?: string): boolean | undefined {
  if (scope === undefined) return true;
  const by = decidingSource(scope.sources, source);
  if (!(by?.isOurs ?? isOursByDefault(scope.sources))) return false;
  return outInterface === undefined && scope.interfaces.length > 0
    ? undefined
    : leavesThroughOurs(scope, outInterface ?? "");
}

/** The entry that decides about a source: of those that contain it the first with the longest prefix. */
export function decidingSource(sources: readonly SourceEntry[], source: bigint): SourceEntry | undefined {
  return sources
    .filter(({ cidr }) => cidr.base <= source && source <= lastAddress(cidr))
    .reduce<SourceEntry | undefined>(
      (best, entry) => (best !== undefined && best.cidr.bits >= entry.cidr.bits ? best : entry),
      undefined,
    );
}

/** Whether packets are ours whose source no entry contains. */
export function isOursByDefault(sources: readonly SourceEntry[]): boolean {
  return !sources.some((entry) => entry.isOurs);
}

/** Whether packets that leave through the link `name` may be ours. */
export function leavesThroughOurs({ interfaces }: Pick<Scope, "interfaces">, name: string): boolean {
  return interfaces.length === 0 || interfaces.some((pattern) => matchesLink(pattern, name));
}

/** Whether a name of `outputInterfaces` matches a link, as iptables' `-o` does. */
export function matchesLink(pattern: string, name: string): boolean {
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** All that entries of ours cover; every address if there are none. */
function coveredSources(family: Family, sources: readonly SourceEntry[]): readonly Interval[] {
  const ours = sources.filter((entry) => entry.isOurs);
  if (ours.length === 0) return [everything(family)];
  return longestPrefixIntervals(ours.map(({ cidr }) => ({ cidr, included: true })));
}

/** The entries, and before them one for the sources that no entry contains. */
function prefixesOf(family: Family, sources: readonly SourceEntry[]): WeighedPrefix[] {
  const entries = sources.map(({ cidr, isOurs: included }) => ({ cidr, included }));
  return isOursByDefault(sources) ? [...entries, { cidr: anySource(family), included: true }] : entries;
}

function anySource(family: Family): Cidr {
  const [all] = decompose(family, everything(family));
  return all as Cidr;
}

function blocksOf(family: Family, intervals: readonly Interval[]): Cidr[] {
  return intervals.flatMap((interval) => decompose(family, interval));
}
