/**
 * The rulesets that the configuration and the flags call for, one per family: which destinations keep the pod's
 * address, and how all others are masqueraded. How to write that in a packet filter is a backend's business.
 */
import { type Cidr, type Family, isSamePrefix } from "./cidr.ts";
import type { MasqConfig } from "./config.ts";
import type { ConfigOptions } from "./config-options.ts";
import type { PortRange } from "./ports.ts";
import { type AddressPool, choosePool } from "./slots.ts";
import { LINK_LOCAL } from "./special-ranges.ts";

export type { AddressPool };

/** The command line's part in the rules. */
export interface Options extends ConfigOptions {
  readonly masqChain: string;
  readonly toPorts: readonly PortRange[];
  readonly randomFully: boolean;
}

/** A destination and its verdict: `return` keeps the pod's address. */
export interface Entry {
  readonly cidr: Cidr;
  readonly verdict: "return" | "masquerade";
  readonly reason: "link-local" | "configured" | "default";
}

/** A source, and whether packets from it are ours. */
export interface SourceEntry {
  readonly cidr: Cidr;
  readonly isOurs: boolean;
}

/** Which packets the agent decides about (sources.ts says how): those of others go on to the rules of others. */
export interface Scope {
  /** As written, in the file's order, all of the ruleset's family; empty: packets from every source are ours. */
  readonly sources: readonly SourceEntry[];
  /** Names as written, of which `+` at the end matches any rest; empty: packets leave through any link. */
  readonly interfaces: readonly string[];
}

/** How packets are masqueraded. */
export interface Masquerade {
  readonly randomFully: boolean;
  readonly toPorts: readonly PortRange[];
  /** Absent: the kernel chooses the address, as MASQUERADE does. */
  readonly pool?: AddressPool;
}

/**
 * Of packets in `scope`, the first entry that contains the destination decides; without one, `masquerade` says how they
 * are masqueraded.
 */
export interface Ruleset {
  readonly family: Family;
  readonly chain: string;
  /** Absent: every packet is ours. */
  readonly scope?: Scope;
  readonly entries: readonly Entry[];
  readonly masquerade: Masquerade;
}

/** The families that the agent handles. */
export function enabledFamilies(options: Pick<Options, "enableIPv6">): readonly Family[] {
  return options.enableIPv6 ? ["IPv4", "IPv6"] : ["IPv4"];
}

/** The addresses of a node that packets may leave with. */
export type NodeAddresses = Readonly<Record<Family, readonly bigint[]>>;

/** The ruleset of one family. Without the node's addresses, the kernel chooses the one that packets leave with. */
export function compileRuleset(
  family: Family,
  config: MasqConfig,
  options: Options,
  own: NodeAddresses = { IPv4: [], IPv6: [] },
): Ruleset {
  const scope = compileScope(family, config);
  const blocks = config.outputAddresses.filter((block) => block.family === family);
  const pool = choosePool(blocks, config.outputAddressBy, own[family]);
  return {
    family,
    chain: options.masqChain,
    ...(scope === undefined ? {} : { scope }),
    entries: compileEntries(family, config),
    masquerade: {
      randomFully: options.randomFully,
      toPorts: options.toPorts,
      ...(pool === undefined ? {} : { pool }),
    },
  };
}

/**
 * Without exceptions the entries are in the Go program's order: link-local first, then the file's order. With
 * exceptions the longest prefix decides, so the longest come first, ties in the file's order, and link-local is one
 * entry among them, which an explicit entry of the same prefix replaces.
 */
export function compileEntries(family: Family, config: MasqConfig): readonly Entry[] {
  const reason = config.nonMasqueradeDefaults ? "default" : "configured";
  const exempt = ofFamily(family, config.nonMasqueradeCIDRs, "return", reason);
  const linkLocal = linkLocalEntries(family, config);
  if (config.masqueradeCIDRs.length === 0) return [...linkLocal, ...exempt];
  const explicit = [...exempt, ...ofFamily(family, config.masqueradeCIDRs, "masquerade", "configured")];
  const implicit = linkLocal.filter((entry) => !explicit.some(({ cidr }) => isSamePrefix(cidr, entry.cidr)));
  return [...implicit, ...explicit].sort((a, b) => b.cidr.bits - a.cidr.bits);
}

/** Whose packets are ours in one family; undefined if all are. */
export function compileScope(
  family: Family,
  {
    masqueradeSourceCIDRs,
    nonMasqueradeSourceCIDRs,
    outputInterfaces,
  }: Pick<MasqConfig, "masqueradeSourceCIDRs" | "nonMasqueradeSourceCIDRs" | "outputInterfaces">,
): Scope | undefined {
  const sources = [
    ...masqueradeSourceCIDRs.map((cidr) => ({ cidr, isOurs: true })),
    ...nonMasqueradeSourceCIDRs.map((cidr) => ({ cidr, isOurs: false })),
  ].filter(({ cidr }) => cidr.family === family);
  const interfaces = [...new Set(outputInterfaces)];
  return sources.length + interfaces.length === 0 ? undefined : { sources, interfaces };
}

function ofFamily(
  family: Family,
  cidrs: readonly Cidr[],
  verdict: Entry["verdict"],
  reason: Entry["reason"],
): Entry[] {
  return cidrs.filter((cidr) => cidr.family === family).map((cidr) => ({ cidr, verdict, reason }));
}

function linkLocalEntries(family: Family, config: MasqConfig): readonly Entry[] {
  if (family === "IPv4" ? config.masqLinkLocal : config.masqLinkLocalIPv6) return [];
  return [{ cidr: LINK_LOCAL[family], verdict: "return", reason: "link-local" }];
}
