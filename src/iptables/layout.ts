/** The layout of a ruleset for iptables: rules of a chain, and elements of sets for long lists. */
import { MAX_MASQUERADE_RULES, multiplyingLists } from "../backend/masquerade-rules.ts";
import { type Cidr, formatCidr, isPassedOn } from "../core/cidr.ts";
import { decompose, everything, longestPrefixIntervals, type WeighedPrefix } from "../core/intervals.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";
import { isOursByDefault, sourceBlocks } from "../core/sources.ts";
import { counted } from "../text/plural.ts";
import { type SetRole, setElements, setName } from "./ipset.ts";
import { countMasqueradeRules } from "./masquerade-rules.ts";

/** The entries and blocks in the chain, rule by rule, and those in sets that its rules look up. */
export interface Layout {
  readonly entries: readonly Entry[];
  /** Sources that are not ours, of those in `ours`; none where a set has the sources. */
  readonly excepted: readonly Cidr[];
  /** Blocks of sources, each with masquerade rules of its own; every address where a set has the sources. */
  readonly ours: readonly Cidr[];
  readonly sets: Readonly<Partial<Record<SetRole, SetContent>>>;
  readonly refusal?: string;
}

/** A set, and its elements as `ipset save` prints them. */
export interface SetContent {
  readonly name: string;
  readonly elements: readonly string[];
}

/** More blocks of sources than these go into a set: each costs a new flow a rule. */
const MAX_BLOCKS = 8;

/** The number of entries that a user has written, without link-local. */
export function configuredEntries({ entries }: Ruleset): number {
  return entries.filter(({ reason }) => reason !== "link-local").length;
}

/** The sets that a ruleset is long enough for: destinations beyond the threshold, sources beyond a few blocks. With 0, none. */
export function wantedSets(ruleset: Ruleset, ipsetThreshold: number): readonly SetRole[] {
  if (ipsetThreshold === 0) return [];
  return [
    ...(configuredEntries(ruleset) > ipsetThreshold ? (["destinations"] as const) : []),
    ...(hasManySources(ruleset) ? (["sources"] as const) : []),
  ];
}

/** The layout with these sets. */
export function layoutOf(ruleset: Ruleset, roles: readonly SetRole[]): Layout {
  const { destinations, entries, refusal } = roles.includes("destinations")
    ? destinationSet(ruleset)
    : { ...destinationRules(ruleset), destinations: undefined, refusal: undefined };
  const blocks = roles.includes("sources") ? anySource(ruleset) : sourceBlocks(ruleset.family, ruleset.scope);
  const sources = roles.includes("sources") ? sourceSet(ruleset) : undefined;
  const why = refusal ?? whyTooMany(ruleset, blocks.ours, sources !== undefined);
  return {
    entries,
    ...blocks,
    sets: { ...(destinations && { destinations }), ...(sources && { sources }) },
    ...(why === undefined ? {} : { refusal: why }),
  };
}

/** Whether some packets are not ours, or leave with addresses that the configuration chooses. */
export function isScoped({ scope, masquerade }: Ruleset): boolean {
  return scope !== undefined || masquerade.pool !== undefined;
}

function hasManySources(ruleset: Ruleset): boolean {
  const { family, scope } = ruleset;
  if (scope === undefined || scope.sources.length === 0) return false;
  const { ours, excepted } = sourceBlocks(family, scope);
  return (
    ours.length + excepted.length > MAX_BLOCKS || countMasqueradeRules(ruleset, ours) > MAX_MASQUERADE_RULES
  );
}

/**
 * An exception masquerades at once, from any source, while the rules at the end ask for ports, sources, links and
 * addresses. So where they do, an exception is only left out of the destinations that return, and the rules at the end masquerade it
 * like everything else. The chain then has the rest after subtraction, in address order.
 */
function destinationRules(ruleset: Ruleset): Pick<Layout, "entries"> {
  const { family, entries, masquerade } = ruleset;
  const isPlain = masquerade.toPorts.length === 0 && !isScoped(ruleset);
  if (isPlain || entries.every(({ verdict }) => verdict === "return")) return { entries };
  const cidrs = longestPrefixIntervals(weighed(entries)).flatMap((interval) => decompose(family, interval));
  return { entries: cidrs.map((cidr) => ({ cidr, verdict: "return", reason: "configured" })) };
}

/**
 * Link-local stays a rule of its own, as in the Go program, unless there are exceptions, which may lie within it. The
 * set has it as well: the set changes before the chain does, and in between no entry may be missing from both.
 */
function destinationSet(ruleset: Ruleset) {
  const { entries } = ruleset;
  const hasExceptions = entries.some(({ verdict }) => verdict === "masquerade");
  const inChain = hasExceptions ? [] : entries.filter(({ reason }) => reason === "link-local");
  const bad = entries.find(({ cidr }) => isPassedOn(cidr))?.cidr;
  const refusal =
    bad === undefined
      ? undefined
      : `write ${formatCidr(bad)} instead of ${bad.text}, which ipset reads differently`;
  const destinations = { name: setName(ruleset, "destinations"), elements: setElements(weighed(entries)) };
  return { entries: inChain, destinations, refusal };
}

/** The sources as written. Without any that are ours, all others are. */
function sourceSet(ruleset: Ruleset): SetContent {
  const sources = ruleset.scope?.sources ?? [];
  const prefixes = sources.map(({ cidr, isOurs }) => ({ cidr, included: isOurs }));
  const others = isOursByDefault(sources) ? anySource(ruleset).ours : [];
  const all = [...prefixes, ...others.map((cidr) => ({ cidr, included: true }))];
  return { name: setName(ruleset, "sources"), elements: setElements(all) };
}

function anySource({ family }: Ruleset): Pick<Layout, "ours" | "excepted"> {
  return { ours: decompose(family, everything(family)), excepted: [] };
}

function weighed(entries: readonly Entry[]): WeighedPrefix[] {
  return entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" }));
}

/** Why a chain of that many masquerade rules is not written; the keys that it has them from. */
function whyTooMany(ruleset: Ruleset, ours: readonly Cidr[], isSourceSet: boolean): string | undefined {
  if (!isScoped(ruleset)) return undefined;
  const count = countMasqueradeRules(ruleset, ours);
  if (count <= MAX_MASQUERADE_RULES) return undefined;
  const sources = ruleset.scope?.sources ?? [];
  const keys = [
    ...(ours.length > 1 ? [`masqueradeSourceCIDRs (${counted(ours.length, "block")})`] : []),
    ...multiplyingLists(ruleset),
  ];
  const set =
    sources.length > 0 && !isSourceSet
      ? ", or let a set have the sources (--ipset-threshold, with ipset)"
      : "";
  return `${keys.join(", ")} would take ${count} masquerade rules, and a chain has at most ${MAX_MASQUERADE_RULES} of them: shorten these lists${set}, or use --backend=nftables`;
}
