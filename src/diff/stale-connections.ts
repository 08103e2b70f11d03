/** Existing connections keep the verdict of their first packet: finds those that would have a different one after a change. */

import { type Family, parseAddress } from "../core/cidr.ts";
import { includes, type LocalAddresses } from "../core/intervals.ts";
import type { VerdictChange } from "../core/verdicts.ts";

/** A connection that keeps its verdict, although new ones to its destination will have a different one. */
export interface StaleConnection {
  readonly family: Family;
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  /** The source address that it has and keeps. */
  readonly keeps: "pod" | "node";
}

/** The connections in a list's lines, without the node's own, whose verdict differs from the one after the change. */
export function staleConnections(
  lines: readonly string[],
  changes: readonly VerdictChange[],
  local: LocalAddresses,
): StaleConnection[] {
  return lines.flatMap((line) => {
    // The original direction comes first, then the reply's, whose destination is the source that the outside sees.
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
