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
  /** Of conntrack, in small letters; nat chains see the first packet of a flow only. */
  | { readonly kind: "state"; readonly states: readonly string[] }
  | { readonly kind: "unknown" }
);

export type Action =
  | { readonly kind: "accept" | "drop" | "return" | "continue" }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  /** `masquerade` and whatever else gives the packet another source. */
  | { readonly kind: "masquerade" | "translate" }
  /** `mark = (mark & and) ^ xor`; nothing is known of the mark after `unknown`. */
  | { readonly kind: "mark"; readonly change: { readonly and: number; readonly xor: number } | "unknown" }
  /** May decide, may not. */
  | { readonly kind: "unknown" };

export interface TraceRule {
  /** From 1, as it stands in its chain. */
  readonly number: number;
  readonly text: string;
  readonly conditions: readonly Condition[];
  readonly action: Action;
}

/** A base chain at hook postrouting that can translate, with the chains that it may lead to. */
export interface Hook {
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
}

/** The priority at which iptables' nat table stands (NF_IP_PRI_NAT_SRC). */
export const SRCNAT = 100;
