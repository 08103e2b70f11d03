/** Connections that exist keep the decision that was taken at their first packet: which of them a change would have otherwise. */

import { type Family, parseAddress } from "../core/cidr.ts";
import type { LocalAddresses } from "../core/intervals.ts";
import { includes } from "../core/intervals.ts";
import type { VerdictChange } from "../core/verdicts.ts";

/** A connection that goes on as before, though new ones to its destination will not. */
export interface StaleConnection {
  readonly family: Family;
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  /** What it has now, and keeps. */
  readonly keeps: "pod" | "node";
}

/** The connections of others than the node itself among a list's lines that were decided otherwise than they would be after the change. */
export function staleConnections(
  lines: readonly string[],
  changes: readonly VerdictChange[],
  local: LocalAddresses,
): StaleConnection[] {
  return lines.flatMap((line) => {
    // The original direction stands first, then the reply's, whose destination is the source as the outside sees it.
    const [source, reply] = [...line.matchAll(/\bsrc=(\S+) dst=(\S+)/g)];
    const address = parseAddress(source?.[2] ?? "");
    const change = changes.find(({ family }) => family === address?.family);
    if (source === undefined || reply === undefined || address === undefined || change === undefined)
      return [];
    const from = parseAddress(source[1] ?? "");
    if (from === undefined || includes(local[from.family], from.value)) return [];
    const isTranslated = source[1] !== reply[2];
    const isStale = includes(isTranslated ? change.kept : change.masqueraded, address.value);
    if (!isStale) return [];
    const protocol = /\b(tcp|udp|sctp|icmpv6|icmp|dccp|gre|udplite)\b/.exec(line)?.[1] ?? "unknown";
    return [
      {
        family: change.family,
        protocol,
        source: source[1] ?? "",
        destination: source[2] ?? "",
        keeps: isTranslated ? "node" : "pod",
      },
    ];
  });
}
