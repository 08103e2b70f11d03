/** The counters of our chain: reads them over netlink, and tells which entries of the list they are of. */

import type { EntryReading } from "../backend/asked-entries.ts";
import { countOf, sumVerdicts, type VerdictCount } from "../backend/verdict-counters.ts";
import {
  ADDRESS_BITS,
  type Cidr,
  type Family,
  formatCidr,
  isCidr,
  NFT_FAMILIES,
  parseCidr,
} from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

/** A rule of our chain, as the kernel counts it. */
export interface RuleCount {
  readonly handle: number;
  readonly packets: number;
}

/** One reading of a chain. */
export interface ChainCounts {
  readonly verdicts: readonly VerdictCount[];
  /** Rule by rule. */
  readonly rules: readonly RuleCount[];
}

/** The counters of our iptables-nft chain. */
export async function countChain(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<ChainCounts> {
  const nat = { family: NFT_FAMILIES[family], table: "nat" };
  const all = await nftables.read(rules({ ...nat, chain }), signal);
  const counts = all.map((rule) => countOf(rule, family));
  return {
    verdicts: sumVerdicts(counts),
    rules: all.map(({ handle }, i) => ({ handle, packets: counts[i]?.packets ?? 0 })),
  };
}

/** A reading must not hold up the loop; lists that are longer than this are in a set, where there is ipset. */
const MAX_RULES = 2_000;

/**
 * The entries that are rules of the chain; `listed` has its rules in canonical text, `counts` their counters in the same order.
 * Undefined if the chain has other rules by now; none of a chain that is too long.
 *
 * A packet counts for the first rule that has its destination. So an entry is also taken for asked if an earlier rule that
 * shares addresses with it has counted.
 */
export function entriesAsked(
  { entries, family }: Ruleset,
  listed: readonly string[] | undefined,
  counts: readonly RuleCount[],
): readonly EntryReading[] | undefined {
  if (listed?.length !== counts.length) return undefined;
  // The rule of such an entry has no destination, and leaves nothing to those after it.
  if (counts.length > MAX_RULES || entries.some(({ cidr }) => cidr.bits === 0)) return [];
  const texts = new Map(
    entries
      .filter(({ verdict, reason }) => verdict === "return" && reason !== "link-local")
      .map(({ cidr }) => [formatCidr(cidr), cidr.text]),
  );
  const destinations = listed.map(destinationOf);
  const lengths = [...new Set(destinations.flatMap((one) => one?.bits ?? []))];
  /** Prefixes that have counted, and those around one. */
  const counted = new Set<string>();
  const around = new Set<string>();
  const found = new Map<string, EntryReading>();
  for (const [i, cidr] of destinations.entries()) {
    const count = counts[i];
    if (cidr === undefined || count === undefined) continue;
    const { handle, packets } = count;
    const self = prefixOf(cidr, cidr.bits);
    const wider = lengths.filter((bits) => bits <= cidr.bits).map((bits) => prefixOf(cidr, bits));
    const isAsked = packets > 0 || around.has(self) || wider.some((one) => counted.has(one));
    if (packets > 0) {
      counted.add(self);
      for (const one of wider) around.add(one);
    }
    const text = texts.get(cidr.text);
    // A list may have an entry twice.
    if (text !== undefined && !found.has(text)) found.set(text, { cidr: text, handle, isAsked });
  }
  return [...found.values()];

  function prefixOf({ base }: Cidr, bits: number): string {
    return `${bits} ${base >> BigInt(ADDRESS_BITS[family] - bits)}`;
  }
}

/** The destination of a canonical rule. */
function destinationOf(rule: string): Cidr | undefined {
  const text = /(?<= -d )\S+/.exec(rule)?.[0];
  const cidr = text === undefined ? undefined : parseCidr(text);
  return cidr !== undefined && isCidr(cidr) ? cidr : undefined;
}
