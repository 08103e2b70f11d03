/**
 * A packet filter as far as it decides about a new flow's source address: what dumps of any format are read into, and
 * what the tracer walks through. What a dump says and this model does not know becomes `unknown`, never a guess.
 */
import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";

/** The first packet of a flow, as it leaves the node. What is undefined is not known. */
export interface Packet {
  readonly family: Family;
  readonly destination: bigint;
  readonly source?: bigint;
  /** `tcp`, `udp`, ... */
  readonly protocol?: string;
  readonly mark?: number;
  /** The bits of `mark` of which it is not known whether a rule has changed them. */
  readonly unknownMark?: number;
  /** The interface that it leaves through. */
  readonly out?: string;
}

export type Side = "source" | "destination";

/** One thing that a rule asks of a packet. `text` is how the rule says it. */
export type Condition = { readonly text: string; readonly negated: boolean } & (
  | {
      readonly kind: "address";
      readonly side: Side;
      readonly family: Family;
      readonly intervals: readonly Interval[];
    }
  /** One of the node's own addresses. */
  | { readonly kind: "local"; readonly side: Side }
  | { readonly kind: "family"; readonly family: Family }
  | { readonly kind: "protocol"; readonly protocols: readonly string[] }
  /** `*` at the end stands for anything. */
  | { readonly kind: "out"; readonly names: readonly string[] }
  | { readonly kind: "mark"; readonly value: number; readonly mask: number }
  /** Of conntrack, in small letters; the packet is the first of its flow, and its destination has not been translated. */
  | { readonly kind: "state"; readonly states: readonly string[] }
  /** Any of these matches: all conditions of one of the lists hold. */
  | { readonly kind: "either"; readonly lists: readonly (readonly Condition[])[] }
  | { readonly kind: "unknown" }
);

export type Action =
  | { readonly kind: "accept" | "drop" | "return" | "continue" }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  /** `masquerade` and whatever else gives the packet another source. */
  | { readonly kind: "masquerade" | "translate" }
  /** Gives the packet another destination. */
  | { readonly kind: "redirect" }
  /** Keeps conntrack, and so all NAT, away from the packet. */
  | { readonly kind: "untrack" }
  | { readonly kind: "mark"; readonly change: MarkChange }
  /** May decide, may not. `rewrite` changes an address by itself, without NAT. */
  | { readonly kind: "unknown" | "rewrite" };

/** `mark = (mark & and) ^ xor`; nothing is known of its bits in `unknown` afterwards. */
export interface MarkChange {
  readonly and: number;
  readonly xor: number;
  readonly unknown?: number;
}

/** A change of which nothing is known, in these bits. */
export function unknownMark(bits = 0xffffffff): MarkChange {
  return { and: ~bits, xor: 0, unknown: bits };
}

export interface TraceRule {
  /** From 1, as it stands in its chain. */
  readonly number: number;
  readonly text: string;
  readonly conditions: readonly Condition[];
  /** What becomes of the mark before the action is taken. */
  readonly marks?: readonly MarkChange[];
  readonly action: Action;
}

/** Where a packet that leaves the node, or that is for the node itself, comes by; `egress` and `ingress` are a device's. */
export const HOOKS = ["ingress", "prerouting", "input", "forward", "postrouting", "egress"] as const;

/** A base chain on a packet's way, with the chains that it may lead to. */
export interface Hook {
  readonly hook: (typeof HOOKS)[number];
  /** Only chains of type nat translate, and only the first packet of a flow passes them. */
  readonly isNat: boolean;
  /** Where it stands, as an operator would look for it: `iptables nat`, `table inet filter`. */
  readonly place: string;
  readonly families: readonly Family[];
  /** Lower ones come first. */
  readonly priority: number;
  /** Whether it is not known when this was registered, compared with others of the same priority. */
  readonly isOrderUnknown?: boolean;
  readonly policy: "accept" | "drop";
  /** The name of the base chain among `chains`. */
  readonly chain: string;
  readonly chains: ReadonlyMap<string, readonly TraceRule[]>;
  /** Whether some of what its rules ask was not shown by the tool. */
  readonly isHidden?: boolean;
}

/** The hook's name if it is one that packets of pods come by. */
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
