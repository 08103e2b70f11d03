/**
 * A packet filter as far as it decides where a new flow goes and which source address it shows: the readers of all dump
 * formats produce it, and the tracer walks through it. Anything that this model cannot express becomes `unknown`, never a guess.
 */
import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { NamedVariant } from "../iptables/tools.ts";

/** The first packet of a flow, on its way through the node. Undefined parts are not known. */
export interface Packet {
  readonly family: Family;
  readonly destination: bigint;
  /** Of the destination, for protocols that have ports. */
  readonly port?: number;
  readonly source?: bigint;
  /** Where the source is not known: it is one of these. */
  readonly sources?: readonly Interval[];
  /** `tcp`, `udp`, ... */
  readonly protocol?: string;
  readonly mark?: number;
  /** The bits of `mark` of which it is not known whether a rule has changed them. */
  readonly unknownMark?: number;
  /** The interface that it comes in through. */
  readonly in?: string;
  /** The interface that it leaves through. */
  readonly out?: string;
  /**
   * Conntrack has not seen it yet, a rule keeps conntrack away from it, or it belongs to no connection; undefined: it has an entry,
   * as new.
   */
  readonly tracking?: "not yet" | "untracked" | "invalid";
  /** Whether NAT has given it another destination. */
  readonly isTranslated?: boolean;
  /** NAT has sent it to the interface that it came in through, whose address is not known: `destination` is the one before. */
  readonly isHere?: true;
  /** The mark of its connection, and the bits of it that are not known; absent: 0, as of each new connection. */
  readonly connection?: { readonly mark: number; readonly unknown: number };
  /** As it was when its connection began, where NAT has changed it. */
  readonly original?: {
    readonly source: bigint | undefined;
    readonly destination: bigint;
    readonly port: number | undefined;
  };
}

/** Numbers from `first` to `last`, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** The destination to which NAT sends a packet, or the source that it takes; undefined parts stay as they are. */
export interface Target {
  readonly addresses?: Interval;
  /** Only the prefix that the addresses share is replaced; the rest of the packet's address stays. */
  readonly isPrefix?: true;
  /** The address of the interface that the packet came in through; one without an address drops the packet. */
  readonly isHere?: true;
  readonly ports?: PortRange;
}

export type Side = "source" | "destination";

/** One condition of a rule on a packet. `text` is the rule's own text. */
export type Condition = { readonly text: string; readonly negated: boolean } & (
  | {
      readonly kind: "address";
      readonly side: Side;
      readonly family: Family;
      readonly intervals: readonly Interval[];
      /** As the connection began, which only a packet with a connection has. */
      readonly isOriginal?: true;
    }
  /** Some bits of an address, such as the last ones, which choose among several addresses. */
  | {
      readonly kind: "bits";
      readonly side: Side;
      readonly family: Family;
      readonly mask: bigint;
      readonly value: bigint;
    }
  /** One of the node's own addresses. */
  | { readonly kind: "local"; readonly side: Side }
  | { readonly kind: "family"; readonly family: Family }
  | { readonly kind: "protocol"; readonly protocols: readonly string[] }
  /** Of packets that have ports; nothing else has one. */
  | {
      readonly kind: "port";
      readonly side: Side;
      readonly ranges: readonly PortRange[];
      readonly isOriginal?: true;
    }
  /** `*` at the end matches anything. */
  | { readonly kind: "in" | "out"; readonly names: readonly string[] }
  /** Of the packet, or of its connection, which only a packet with one has. */
  | { readonly kind: "mark"; readonly value: number; readonly mask: number; readonly isConnections?: true }
  /** A property of connections that the first packet's has, or not; a packet without a connection never matches. */
  | { readonly kind: "connection"; readonly holds: boolean }
  /** Of conntrack, in small letters; the packet is the first of its flow. */
  | { readonly kind: "state"; readonly states: readonly string[] }
  /** Any of these matches: all conditions of one of the lists hold. */
  | { readonly kind: "either"; readonly lists: readonly (readonly Condition[])[] }
  /** A part of all flows, chosen at random or by a hash. */
  | { readonly kind: "chance" }
  | { readonly kind: "unknown" }
);

export type Action =
  | { readonly kind: "accept" | "return" | "continue" }
  | { readonly kind: "drop" }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  | { readonly kind: "masquerade" }
  /** Gives the packet another source; one of `targets`, if they are known. */
  | { readonly kind: "translate"; readonly targets?: readonly Target[] }
  /** Gives the packet another destination; one of `targets`, if they are known. IPVS sends it on by itself, past the hook forward. */
  | { readonly kind: "redirect"; readonly targets?: readonly Target[]; readonly isIpvs?: true }
  /** Keeps conntrack, and so all NAT, away from the packet. */
  | { readonly kind: "untrack" }
  | { readonly kind: "mark"; readonly change: MarkChange }
  /** May decide, may not. `rewrite` changes an address by itself, without NAT. */
  | { readonly kind: "unknown" | "rewrite" };

/**
 * `mark = (mark & and) ^ (other & take) ^ xor`; its bits in `unknown` are not known afterwards. The mark is the packet's, and
 * the other its connection's, or the other way round. Without a connection nothing changes.
 */
export interface MarkChange {
  readonly and: number;
  readonly xor: number;
  readonly unknown?: number;
  readonly take?: number;
  readonly isConnections?: true;
  /** Hands the packet to a socket of this node, if the route for its mark leads to the node itself (TPROXY). */
  readonly isProxy?: true;
}

/** An unknown change of these bits. */
export function unknownMark(bits = 0xffffffff): MarkChange {
  return { and: ~bits, xor: 0, unknown: bits };
}

export interface TraceRule {
  /** From 1, its position in its chain. Of several with one number, the ways through one rule, at most one leads to another chain. */
  readonly number: number;
  readonly text: string;
  readonly conditions: readonly Condition[];
  /** The changes of the mark before the action. */
  readonly marks?: readonly MarkChange[];
  readonly action: Action;
}

/** Where a packet that leaves the node, or that is for the node itself, passes; `egress` and `ingress` are a device's. */
export const HOOKS = ["ingress", "prerouting", "input", "forward", "postrouting", "egress"] as const;

/** A base chain on a packet's way, with the chains that it may lead to. */
export interface Hook {
  readonly hook: (typeof HOOKS)[number];
  /** Only chains of type nat translate, and only the first packet of a flow passes them. */
  readonly isNat: boolean;
  /** Its place, as an operator would look for it: `iptables nat`, `table inet filter`. */
  readonly place: string;
  /** The variant of iptables that shows it; undefined: not known, or none. */
  readonly variant?: NamedVariant;
  readonly families: readonly Family[];
  /** Lower ones come first. */
  readonly priority: number;
  /** Whether it is not known when this was registered, compared with others of the same priority. */
  readonly isOrderUnknown?: boolean;
  readonly policy: "accept" | "drop";
  /** The name of the base chain among `chains`. */
  readonly chain: string;
  readonly chains: ReadonlyMap<string, readonly TraceRule[]>;
  /** Whether the tool has hidden some conditions of its rules. */
  readonly isHidden?: boolean;
  /** The devices whose packets it sees, of a table of family netdev. */
  readonly devices?: readonly string[];
  /** Whether it only sees what passes a bridge, or devices that are not known. */
  readonly isElsewhere?: true;
}

/** Whether nftables asks this of the socket that sends a packet: one that is passed on has none, and matches never, negated or not. */
export function asksSocket(text: string): boolean {
  return /\bmeta (sk[ug]id|cgroup)\b/.test(text);
}

/** A condition that any packet meets, or none. */
export function constant(text: string, holds: boolean): Condition {
  return { kind: "either", text, negated: false, lists: holds ? [[]] : [] };
}

/** The hook's name if packets of pods pass it. */
export function hookNamed(name: unknown): Hook["hook"] | undefined {
  return HOOKS.find((hook) => hook === name);
}

/** Which families a table of nf_tables sees; undefined: none that matters. */
export const TABLE_FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ip: ["IPv4"],
  ip6: ["IPv6"],
  inet: ["IPv4", "IPv6"],
  netdev: ["IPv4", "IPv6"],
  bridge: ["IPv4", "IPv6"],
};
