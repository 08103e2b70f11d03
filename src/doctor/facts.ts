/**
 * The facts that `doctor` knows of a node. Whatever could not be learnt is part of it, with the reason, so that a check that
 * could not be made is never taken for one that found nothing.
 */

import type { BackendName } from "../backend/driver.ts";
import type { PortShares } from "../conntrack/port-shares.ts";
import type { Cidr, Family } from "../core/cidr.ts";
import type { Interval, LocalAddresses } from "../core/intervals.ts";
import type { PortRange } from "../core/ports.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { NamedVariant } from "../iptables/tools.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { HeldName } from "../presence/names.ts";
import type { ConntrackCounters } from "../system/conntrack-stats.ts";
import type { Fact } from "../system/fact.ts";
import type { MemoryLimit } from "../system/memory-limit.ts";
import type { InotifyFacts } from "../system/processes.ts";
import type { Hook, TraceRule } from "../trace/model.ts";
import type { FindingText, Severity } from "./finding.ts";
import type { PodFacts, PodNetwork } from "./pod-networks.ts";

export type Variant = NamedVariant;

/** The settings of the agent of this node. */
export interface Settings {
  readonly chain: string;
  readonly families: readonly Family[];
  readonly backend: BackendName;
  /** The variant behind the configured iptables; undefined if it does not run. */
  readonly variant: Variant | undefined;
  readonly toPorts: readonly PortRange[];
}

/** The nat table of a family in one variant; `chains` has all of them, also those without rules. */
export interface NatTable {
  readonly family: Family;
  readonly variant: Variant;
  /** The command that lists it, for remedies. */
  readonly tool: string;
  readonly chains: ReadonlyMap<string, readonly TraceRule[]>;
  /** Undefined if the table does not exist. */
  readonly hook: Hook | undefined;
}

/** `inet ip-masq-agent`: whose it is, and whether it works. */
export interface OwnTable {
  readonly comment: string | undefined;
  readonly dormant: boolean;
  readonly sets: number;
  readonly rules: number;
  /** Whether the last rule of its chain at postrouting masquerades. */
  readonly masquerades: boolean;
}

export interface NftFacts {
  readonly own: OwnTable | undefined;
}

export interface ConfigFacts {
  readonly path: string;
  readonly exists: boolean;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** Undefined if the configuration is bad. */
  readonly resyncMs: number | undefined;
  readonly entries: number;
  /** The destinations that keep the pod's address, of each enabled family; undefined if the configuration is bad. */
  readonly kept: ReadonlyMap<Family, readonly Interval[]> | undefined;
  /** The rulesets that the configuration calls for on this node; absent if it is bad. */
  readonly rulesets?: readonly Ruleset[];
  /** The list of addresses that packets leave with, of which the rulesets have the node's. */
  readonly outputAddresses?: readonly Cidr[];
}

export interface SeenAgent {
  readonly pid: number;
  readonly chain: string;
  /** Whether it is this program, and not the Go program. */
  readonly isOurs: boolean;
}

export interface ProcessFacts {
  /** Command lines of kubelets. */
  readonly kubelets: readonly (readonly string[])[];
  /** Agents in this network namespace. */
  readonly agents: readonly SeenAgent[];
  /** Whether an agent answers at its address, wherever its process is. */
  readonly answers?: boolean;
}

/** A file of the CNI's configuration: what its plugins do, or why it cannot be read. */
export interface CniFile {
  readonly path: string;
  /** The names of the plugins that masquerade. */
  readonly masquerading: readonly string[];
  /** The networks that pods get their addresses of. */
  readonly ranges: readonly string[];
  /** Whether it only calls the plugins of another file. */
  readonly isMeta: boolean;
  readonly fault?: string;
}

export interface LockFacts {
  readonly path: string;
  readonly inContainer: boolean;
  readonly exists: boolean;
  readonly mounted: boolean;
}

/** Two readings. */
export interface ConntrackGrowth {
  readonly before: ConntrackCounters;
  readonly after: ConntrackCounters;
  readonly intervalMs: number;
}

export interface HolderFacts extends HeldName {
  /** As a message names the process. */
  readonly who: string;
  /** Undefined if the process is not seen. */
  readonly isAgent: boolean | undefined;
  /** False if its user cannot run an agent, so that agents ignore it. */
  readonly isTrusted: boolean;
}

/** One thing that `doctor` looks for. */
export interface Check {
  readonly name: string;
  /** The gravest that it says. */
  readonly severity: Severity;
  /** For people; with what makes a finding less grave. */
  readonly looksFor: string;
  /** The remedy in general: a finding says it exactly. */
  readonly remedy: string;
  readonly run: (facts: Facts) => readonly FindingText[];
}

/** Whose rules are counted. */
export interface OwnRules {
  readonly chain: string;
  readonly families: readonly Family[];
  readonly signal: AbortSignal;
}

/** Between two readings: the packets that our rules counted, and those that came in by pods' links. */
export interface SeenFacts {
  readonly counted: number;
  readonly received: number;
  readonly intervalMs: number;
}

/** The questions that checks have for the backend whose rules they look at. */
export interface OwnSide {
  readonly name: BackendName;
  /** For people. */
  readonly label: (settings: Settings) => string;
  /** Whether its rules are in iptables' own nat tables; if not, they are evaluated after all of these. */
  readonly isInNatTable: boolean;
  /** The priority of its rules at the hook postrouting. */
  readonly priority: number;
  /** The tables of iptables in which the agent should have its rules. */
  readonly tables: (facts: Facts) => readonly NatTable[];
  /** Checks of its rules, and of what no other backend depends on. */
  readonly checks: readonly Check[];
  /** Reads how many packets its rules have counted; undefined where they have no counters. Throws where there are no rules. */
  readonly count: (nftables: Nftables, rules: OwnRules) => Promise<number | undefined>;
  /** Its leftovers for an agent with another backend, besides chains. */
  readonly left: (facts: Facts) => readonly FindingText[];
}

export interface AutoFacts {
  readonly backend: BackendName;
  readonly why: string;
}

export interface TraceFacts {
  readonly hooks: readonly Hook[];
  readonly local: LocalAddresses;
}

/** A link's settings below /proc/sys/net, as they are written there; undefined if the kernel does not show them. */
export interface LinkSettings {
  readonly name: string;
  readonly family: Family;
  readonly forwarding: string | undefined;
  /** The greater of the link's and that of all links, as the kernel takes it. */
  readonly rpFilter: string | undefined;
}

export interface Facts {
  readonly settings: Settings;
  /** The backend of the settings, and the others. */
  readonly own: OwnSide;
  readonly others: readonly OwnSide[];
  /** Programs and what they say of themselves. */
  readonly versions: readonly Fact<{ readonly name: string; readonly version: string }>[];
  /** CapEff of /proc/self/status. */
  readonly capabilities: Fact<bigint>;
  readonly config: Fact<ConfigFacts>;
  readonly nat: readonly Fact<NatTable>[];
  /** Families whose nat table iptables-nft cannot show, since another program has put rules of its own into it. */
  readonly incompatible: readonly Family[];
  readonly nftables: Fact<NftFacts>;
  /** All rules on the way of pods' packets, and the node's own addresses. */
  readonly trace: Fact<TraceFacts>;
  /** Those that could not be read. */
  readonly notTraced: readonly Fact<never>[];
  readonly links: Fact<PodFacts>;
  /** Settings of the links that pods' packets pass. */
  readonly linkSettings: readonly LinkSettings[];
  /** Undefined where our rules have no counters, or were not read twice. */
  readonly seen: SeenFacts | undefined;
  /** What the running agent says of entries that nothing has asked for, with times in RFC 3339; empty where none answers. */
  readonly neverAsked: readonly { readonly cidr: string; readonly since: string }[];
  /** The lowest memory limit of this process, which in the agent's pod is the agent's. */
  readonly memoryLimit: MemoryLimit | undefined;
  /** Other sources that name networks of pods. */
  readonly podNetworks: readonly Fact<readonly PodNetwork[]>[];
  /** Names of ipsets. */
  readonly sets: Fact<readonly string[]>;
  /** The names that our sets may have. */
  readonly ownSets: readonly string[];
  readonly processes: Fact<ProcessFacts>;
  /** Who holds the sockets by which agents know of each other. */
  readonly holders: Fact<readonly HolderFacts[]>;
  /** The choice of `--backend=auto` now, and why; undefined where the backend is not left to it. */
  readonly auto: Fact<AutoFacts | undefined>;
  /** Undefined if there is no such directory. */
  readonly cni: Fact<readonly CniFile[] | undefined>;
  readonly lock: Fact<LockFacts>;
  /** Settings of the kernel below /proc/sys by their dotted names. */
  readonly sysctls: Readonly<Record<Sysctl, Fact<string>>>;
  /** Undefined if the kernel tracks no connections. */
  readonly portShare: Fact<(PortShares & { readonly ports: number }) | undefined>;
  readonly conntrack: Fact<{ readonly count: number; readonly max: number } | undefined>;
  readonly counters: Fact<ConntrackGrowth | undefined>;
  readonly inotify: Fact<InotifyFacts>;
}

export const SYSCTLS = [
  "net.ipv4.ip_forward",
  "net.ipv6.conf.all.forwarding",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.core.rmem_max",
  "net.core.wmem_max",
  "net.netfilter.nf_conntrack_tcp_be_liberal",
] as const;

export type Sysctl = (typeof SYSCTLS)[number];
