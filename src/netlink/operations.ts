/**
 * Changes of nf_tables as values: the commands of `nft` as plain data. They can be compared, printed
 * (text.ts), encoded (encode.ts) and split (split.ts); only transport.ts sends them. Rules are lists of
 * statements as nft's language has them, not of the kernel's smaller expressions.
 *
 * Reading gives the same values, and adds what only the kernel knows (handles, names of other programs' objects).
 */

export type Family = "inet" | "ip" | "ip6";

/** All addresses from `first` to `last`, both included. */
export interface ElementInterval {
  readonly first: bigint;
  readonly last: bigint;
}

export interface TableName {
  readonly family: Family;
  readonly table: string;
}
export interface ChainName extends TableName {
  readonly chain: string;
}
export interface SetName extends TableName {
  readonly set: string;
}

/** Where the kernel calls a base chain; `priority` is a number, such as 100 for srcnat. */
export interface BaseChain {
  readonly type: "filter" | "nat" | "route";
  readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
  readonly priority: number;
  readonly policy: "accept" | "drop";
}

export type SetKey = "ipv4_addr" | "ipv6_addr";
export type Protocol = "tcp" | "udp" | "sctp";
export type NatFlag = "random" | "fully-random" | "persistent";

/** `meta nfproto ipv4`: in an `inet` table, for rules that match no address. */
export interface NfprotoStatement {
  readonly kind: "nfproto";
  readonly family: "ip" | "ip6";
}
/** `meta l4proto tcp` */
export interface L4protoStatement {
  readonly kind: "l4proto";
  readonly protocol: Protocol;
}
/** `ip daddr @set`, `ip6 saddr != @set` */
export interface AddressStatement {
  readonly kind: "daddr" | "saddr";
  readonly family: "ip" | "ip6";
  readonly set: string;
  readonly negated: boolean;
}
/** `ip saddr & 0.0.0.3 == 0.0.0.1`: the bits of `mask` in the source. */
export interface SourceBitsStatement {
  readonly kind: "saddr bits";
  readonly family: "ip" | "ip6";
  readonly mask: bigint;
  readonly value: bigint;
}
/** `oifname "eth0"`; with `isPrefix`, `oifname "eth*"`: every name that begins so. */
export interface OifnameStatement {
  readonly kind: "oifname";
  readonly name: string;
  readonly isPrefix: boolean;
}
/** `fib daddr type local` */
export interface FibStatement {
  readonly kind: "fib daddr type";
  readonly type: "local";
}
/** `numgen random mod 3 < 1` */
export interface NumgenStatement {
  readonly kind: "numgen random";
  readonly modulus: number;
  readonly below: number;
}
/** `counter packets 0 bytes 0` */
export interface CounterStatement {
  readonly kind: "counter";
  readonly packets: bigint;
  readonly bytes: bigint;
}
/** `return`, `jump chain` */
export type VerdictStatement =
  | { readonly kind: "verdict"; readonly verdict: "accept" | "drop" | "return" }
  | { readonly kind: "verdict"; readonly verdict: "jump" | "goto"; readonly chain: string };
/** Ports from `first` to `last`, both included. */
export interface Ports {
  readonly first: number;
  readonly last: number;
}
/** `masquerade to :1024-65535 random`; the flags in the order of their type. */
export interface MasqueradeStatement {
  readonly kind: "masquerade";
  readonly ports?: Ports;
  readonly flags: readonly NatFlag[];
}
/** `snat ip to 192.0.2.1:1024-65535 random`, always to one address: the kernel's own choice of several is no pool. */
export interface SnatStatement {
  readonly kind: "snat";
  readonly family: "ip" | "ip6";
  readonly address: bigint;
  readonly ports?: Ports;
  readonly flags: readonly NatFlag[];
}
export type Statement =
  | NfprotoStatement
  | L4protoStatement
  | AddressStatement
  | SourceBitsStatement
  | OifnameStatement
  | FibStatement
  | NumgenStatement
  | CounterStatement
  | VerdictStatement
  | MasqueradeStatement
  | SnatStatement;

/** A counter that starts at zero. */
export const COUNTER: CounterStatement = { kind: "counter", packets: 0n, bytes: 0n };

export interface AddTable extends TableName {
  readonly op: "add table";
  readonly comment?: string;
}
export interface AddChain extends ChainName {
  readonly op: "add chain";
  /** Without it, a chain that other chains jump to. */
  readonly base?: BaseChain;
}
/** A set of intervals (`flags interval`). `size` limits it; the kernel counts both ends of an interval. */
export interface AddSet extends SetName {
  readonly op: "add set";
  readonly key: SetKey;
  readonly size?: number;
  readonly comment?: string;
}
/** The intervals are sorted and disjoint. */
export interface ChangeElements extends SetName {
  readonly op: "add elements" | "delete elements";
  readonly key: SetKey;
  readonly elements: readonly ElementInterval[];
}
/** Appends the rule. */
export interface AddRule extends ChainName {
  readonly op: "add rule";
  readonly statements: readonly Statement[];
  readonly comment?: string;
}
export interface DeleteRule extends ChainName {
  readonly op: "delete rule";
  readonly handle: number;
}
/** `flush table` deletes the rules of all its chains. */
export interface EmptyTable extends TableName {
  readonly op: "flush table" | "delete table";
}
/** `flush chain` deletes its rules. */
export interface EmptyChain extends ChainName {
  readonly op: "flush chain" | "delete chain";
}
export interface DeleteSet extends SetName {
  readonly op: "delete set";
}
/** `chain` is the old name, `name` the new one. */
export interface RenameChain extends ChainName {
  readonly op: "rename chain";
  readonly handle: number;
  readonly name: string;
}
/**
 * Deletes what has this handle, whatever its name: the kernel allows names that nft's language does not. A chain's own
 * rules go with it. For a stateful object, `type` is the kernel's number for its kind.
 */
export interface DeleteByHandle extends TableName {
  readonly op: "delete by handle";
  readonly kind: "chain" | "set" | "object" | "flowtable";
  readonly handle: number;
  readonly type?: number;
}

export type Operation =
  | AddTable
  | EmptyTable
  | AddChain
  | EmptyChain
  | AddSet
  | DeleteSet
  | ChangeElements
  | AddRule
  | DeleteRule
  | RenameChain
  | DeleteByHandle;

/** An expression that this library does not write, by the kernel's name for it, such as `ct` or `match`. */
export interface UnknownStatement {
  readonly kind: "unknown";
  readonly name: string;
}
export type ObservedStatement = Statement | UnknownStatement;

/** A table as the kernel describes it, with families and flags that this library never writes. */
export interface ObservedTable {
  readonly family: string;
  readonly table: string;
  readonly handle: number;
  readonly dormant: boolean;
  /** The netlink port of the process that alone may change it, if there is one. */
  readonly owner?: number;
  readonly comment?: string;
}
export interface ObservedChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  /** Whether it is part of a rule, as in `jump { accept; }`, and goes with that rule. */
  readonly bound?: boolean;
  readonly base?: { readonly [K in keyof BaseChain]: BaseChain[K] extends string ? string : BaseChain[K] };
}
export interface ObservedSet {
  readonly family: string;
  readonly table: string;
  readonly set: string;
  readonly handle: number;
  /** A `SetKey`, or `type 13`. */
  readonly key: string;
  /** `interval` alone for a set that this library made. */
  readonly flags: readonly string[];
  /** How many elements it has, as the kernel counts them; absent before Linux 6.16. */
  readonly count?: number;
  readonly size?: number;
  readonly comment?: string;
}
/** A counter, quota, limit and so on that has a name (`type` is the kernel's number for its kind), or a flowtable. */
export interface ObservedObject {
  readonly kind: "object" | "flowtable";
  readonly name: string;
  readonly handle: number;
  readonly type?: number;
}
export interface ObservedRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly statements: readonly ObservedStatement[];
  readonly comment?: string;
}
