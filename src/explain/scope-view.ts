/** Whose packets an answer is about, and what they leave with, as JSON. */
import { type Family, formatAddress } from "../core/cidr.ts";
import type { Desired } from "../core/desired.ts";
import { renderPlace } from "../core/problem.ts";
import type { SourceEntry } from "../core/ruleset.ts";
import type { ConfigAnswer } from "./answer.ts";
import type { ScopeAnswer } from "./scope.ts";

/** An entry of the lists of sources. */
export interface SourceView {
  readonly cidr: string;
  /** Whether packets from it are masqueraded. */
  readonly isOurs: boolean;
  /** File, line and column. */
  readonly place: string;
  readonly key?: string;
}

/** Fields that are there only with the keys about sources, links and addresses. */
export interface ScopeView {
  /** The addresses that masqueraded packets leave with. */
  readonly as?: readonly string[];
  /** Which of several each packet leaves with. */
  readonly asBy?: "pod" | "flow";
  /** The entries of `outputAddresses`, where it is not known which of the addresses the node has. */
  readonly outputAddresses?: readonly string[];
  /** The entries that decide whose packets the verdict is about, where the packet's source is not known. */
  readonly sources?: readonly SourceView[];
  /** The entry that decides about the packet's source, and those that do not. */
  readonly bySource?: SourceView & { readonly lost: readonly SourceView[] };
  /** Names, of which one must match the link that the packet leaves through, where that is not known. */
  readonly interfaces?: readonly string[];
}

/** Why a packet to a destination that is masqueraded is not ours. */
export function whyNotOurs({ sources, links }: ScopeAnswer): string {
  if (sources.isOurs !== false)
    return `outputInterfaces does not list its interface, but only ${links.names.join(", ")}`;
  return "by" in sources && sources.by === undefined
    ? "its source is not in masqueradeSourceCIDRs"
    : "packets from its source are not masqueraded";
}

/** The conditions of the answer, and the entries that decided. */
export function viewScope({ sources, links }: ScopeAnswer, desired: Desired): ScopeView {
  const view = (entry: SourceEntry) => viewSource(entry, desired);
  const interfaces = links.isListed === undefined ? { interfaces: links.names } : {};
  if (!("by" in sources))
    return { ...(sources.isOurs === undefined ? { sources: sources.entries.map(view) } : {}), ...interfaces };
  const { by, lost } = sources;
  return { ...(by === undefined ? {} : { bySource: { ...view(by), lost: lost.map(view) } }), ...interfaces };
}

function viewSource({ cidr, isOurs }: SourceEntry, { placeOf }: Desired): SourceView {
  const { key, ...place } = placeOf(cidr) ?? { path: "" };
  return { cidr: cidr.text, isOurs, place: renderPlace(place), ...(key === undefined ? {} : { key }) };
}

/** The addresses that masqueraded packets leave with. */
export function viewAddresses(
  { as }: Pick<ConfigAnswer, "as">,
  { config, own }: Desired,
  family: Family,
): ScopeView {
  if (as !== undefined) {
    const by = as.length > 1 ? { asBy: config.outputAddressBy } : {};
    return { as: as.map((address) => formatAddress(family, address)), ...by };
  }
  const blocks = config.outputAddresses.filter((block) => block.family === family).map(({ text }) => text);
  return own === undefined && blocks.length > 0 ? { outputAddresses: blocks } : {};
}
