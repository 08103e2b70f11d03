/**
 * Modules of xtables in rules of nf_tables, as iptables-nft writes them: what their structures say, from the kernel's headers in
 * linux/netfilter and linux/netfilter_ipv4. nft shows only their names; without the tool iptables this is all that is known.
 */
import type { Family } from "../../core/cidr.ts";
import { restoredMark, savedMark } from "../iptables-target.ts";
import { type Action, type Condition, constant, type PortRange, type Target } from "../model.ts";
import { type Branch, readXtMatch, readXtTarget } from "./branch.ts";
import { bigEndian } from "./register.ts";

/** A module in a rule. */
export interface Module {
  readonly name: string;
  readonly revision: number;
  readonly info: Uint8Array;
}

type Part = Pick<Branch, "conditions" | "marks" | "action">;

/** The ways through the rule from its target on, whose family is known in tables of iptables. */
export function readTarget(module: Module, family: Family | undefined): readonly Part[] {
  const action = (action: Action): readonly Part[] => [{ conditions: [], action }];
  const { name, info } = module;
  const known = TARGETS[`${name} ${module.revision}`];
  if (known !== undefined && info.length >= known.bytes) return known.read(viewOf(info), family);
  const kind = NAT[name];
  if (kind === undefined || family === undefined) return action(readXtTarget(name));
  const target = readNat(viewOf(info), family);
  if (target === undefined) return action({ kind });
  const more =
    name === "REDIRECT" ? { isHere: true as const } : name === "NETMAP" ? { isPrefix: true as const } : {};
  return action({ kind, targets: [{ ...target, ...more }] });
}

const NAT: Readonly<Record<string, "redirect" | "translate">> = {
  DNAT: "redirect",
  REDIRECT: "redirect",
  SNAT: "translate",
  NETMAP: "translate",
};

/** NF_NAT_RANGE_* of linux/netfilter/nf_nat.h. */
const FLAGS = { MAP_IPS: 1, PROTO_SPECIFIED: 2, PROTO_OFFSET: 32 } as const;

/**
 * `struct nf_nat_range`, its successor with a base port, or for IPv4 the older `struct nf_nat_ipv4_multi_range_compat`, which is
 * shorter. Undefined: not known.
 */
function readNat(view: DataView, family: Family): Target | undefined {
  const isOld = view.byteLength < 40;
  if (view.byteLength < 20 || (isOld && view.getUint32(0, true) !== 1)) return undefined;
  const at = isOld ? 4 : 0;
  const size = isOld ? 4 : 16;
  const flags = view.getUint32(at, true);
  if ((flags & FLAGS.PROTO_OFFSET) !== 0) return undefined;
  const [first, last] = [at + 4, at + 4 + size].map((from) =>
    bigEndian(bytesOf(view, from, family === "IPv4" ? 4 : 16)),
  ) as [bigint, bigint];
  const [from, to] = [at + 4 + 2 * size, at + 6 + 2 * size].map((one) => view.getUint16(one)) as [
    number,
    number,
  ];
  return {
    ...((flags & FLAGS.MAP_IPS) === 0 ? {} : { addresses: { first, last } }),
    ...((flags & FLAGS.PROTO_SPECIFIED) === 0 ? {} : { ports: { first: from, last: to } }),
  };
}

interface Layout<T> {
  readonly bytes: number;
  readonly read: (view: DataView, family: Family | undefined) => readonly T[];
}

/** By name and revision. */
const TARGETS: Readonly<Record<string, Layout<Part>>> = {
  // struct xt_mark_tginfo2
  "MARK 2": {
    bytes: 8,
    read: (view) => [
      {
        conditions: [],
        action: { kind: "mark", change: { and: ~view.getUint32(4, true), xor: view.getUint32(0, true) } },
      },
    ],
  },
  // struct xt_connmark_tginfo1
  "CONNMARK 1": { bytes: 13, read: (view) => readConnmark(view, view.getUint8(12)) },
  // struct xt_connmark_tginfo2, with a shift before the mode
  "CONNMARK 2": {
    bytes: 15,
    read: (view) => readConnmark(view, view.getUint8(13) === 0 ? view.getUint8(14) : -1),
  },
  "TPROXY 0": { bytes: 16, read: (view) => readProxy(view, 12) },
  "TPROXY 1": { bytes: 28, read: (view) => readProxy(view, 24) },
  // struct xt_ct_target_info and its successor, whose first flag is XT_CT_NOTRACK
  ...Object.fromEntries(
    [0, 1, 2].map((revision) => [
      `CT ${revision}`,
      {
        bytes: 2,
        read: (view: DataView) => [
          { conditions: [], action: { kind: (view.getUint16(0, true) & 1) !== 0 ? "untrack" : "continue" } },
        ],
      } satisfies Layout<Part>,
    ]),
  ),
};

/** XT_CONNMARK_SET, SAVE and RESTORE; any other mode is not known. */
function readConnmark(view: DataView, mode: number): readonly Part[] {
  const [mark, connections, packets] = [0, 4, 8].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
  ];
  const change =
    mode === 0
      ? { and: ~connections, xor: mark, isConnections: true as const }
      : mode === 1
        ? savedMark(packets, connections)
        : mode === 2
          ? restoredMark(packets, connections)
          : undefined;
  return [{ conditions: [], action: change === undefined ? { kind: "unknown" } : { kind: "mark", change } }];
}

/** Without a socket the packet is dropped. */
function readProxy(view: DataView, portAt: number): readonly Part[] {
  const [mask, value, port] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint16(portAt)];
  const text = `a socket listens at port ${port === 0 ? "of the packet" : port}`;
  return [
    {
      conditions: [{ kind: "unknown", text, negated: false }],
      marks: [{ and: ~mask, xor: value, isProxy: true }],
      action: { kind: "accept" },
    },
    { conditions: [], action: { kind: "drop" } },
  ];
}

/** The conditions of a match. */
export function readMatch({ name, revision, info }: Module): readonly Condition[] {
  const known = MATCHES[`${name} ${revision}`];
  return known !== undefined && info.length >= known.bytes
    ? known.read(viewOf(info), undefined)
    : readXtMatch(name);
}

const MATCHES: Readonly<Record<string, Layout<Condition>>> = {
  // struct xt_mark_mtinfo1 and xt_connmark_mtinfo1
  "mark 1": { bytes: 9, read: (view) => [readMark(view, "mark")] },
  "connmark 1": { bytes: 9, read: (view) => [{ ...readMark(view, "connmark"), isConnections: true }] },
  // struct xt_tcp and xt_udp: options and flags that we know the first packet has are left undecided
  "tcp 0": {
    bytes: 12,
    read: (view) => [
      ...readPorts(view, view.getUint8(11)),
      ...readFlags(view.getUint8(9), view.getUint8(10), (view.getUint8(11) & 4) !== 0),
      ...(view.getUint8(8) === 0 ? [] : readXtMatch("tcp")),
    ],
  },
  "udp 0": { bytes: 9, read: (view) => readPorts(view, view.getUint8(8)) },
  // struct xt_addrtype_info_v1
  "addrtype 1": { bytes: 8, read: readAddrtype },
  "statistic 0": {
    bytes: 2,
    read: () => [{ kind: "chance", text: "-m statistic", negated: false }],
  },
  "conntrack 3": { bytes: 154, read: readConntrack },
};

function readMark(view: DataView, module: string): Extract<Condition, { kind: "mark" }> {
  const [value, mask] = [view.getUint32(0, true), view.getUint32(4, true)];
  const negated = view.getUint8(8) !== 0;
  const hex = (number: number) => `0x${number.toString(16)}`;
  const text = `-m ${module} ${negated ? "! " : ""}--mark ${hex(value)}/${hex(mask)}`;
  return { kind: "mark", value, mask, negated, text };
}

function readPorts(view: DataView, inverted: number): Condition[] {
  return (["source", "destination"] as const).flatMap((side, i): Condition[] => {
    const range: PortRange = { first: view.getUint16(4 * i, true), last: view.getUint16(4 * i + 2, true) };
    if (range.first === 0 && range.last === 65535) return [];
    const negated = (inverted & (1 << i)) !== 0;
    const ports = range.first === range.last ? `${range.first}` : `${range.first}:${range.last}`;
    const text = `${negated ? "! " : ""}--${side === "source" ? "sport" : "dport"} ${ports}`;
    return [{ kind: "port", side, ranges: [range], negated, text }];
  });
}

/** Of the flags of TCP: the first packet has SYN, and none of the others that are looked at. */
function readFlags(mask: number, wanted: number, negated: boolean): Condition[] {
  const SYN = 2;
  if (mask === 0) return [];
  return [{ ...constant("--tcp-flags", (SYN & mask) === wanted), negated }];
}

/** Only what is certain: one of the node's own addresses, whatever the interface. */
function readAddrtype(view: DataView): Condition[] {
  const RTN_LOCAL = 1 << 2;
  const flags = view.getUint32(4, true);
  if ((flags & ~3) !== 0) return readXtMatch("addrtype");
  return (["source", "destination"] as const).flatMap((side, i): Condition[] => {
    const types = view.getUint16(2 * i, true);
    if (types === 0) return [];
    if (types !== RTN_LOCAL) return readXtMatch("addrtype");
    const negated = (flags & (1 << i)) !== 0;
    const option = side === "source" ? "--src-type" : "--dst-type";
    return [{ kind: "local", side, negated, text: `-m addrtype ${negated ? "! " : ""}${option} LOCAL` }];
  });
}

/** XT_CONNTRACK_STATE_* as bits of `struct xt_conntrack_mtinfo3`. */
const STATES: Readonly<Record<string, number>> = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  snat: 64,
  dnat: 128,
  untracked: 256,
};

/** Of all that this match can ask, the state. */
function readConntrack(view: DataView): readonly Condition[] {
  const [asked, inverted, bits] = [146, 148, 150].map((at) => view.getUint16(at, true)) as [
    number,
    number,
    number,
  ];
  if (asked !== 1) return readXtMatch("conntrack");
  const states = Object.entries(STATES).flatMap(([state, bit]) => ((bits & bit) === 0 ? [] : [state]));
  const negated = (inverted & 1) !== 0;
  const text = `-m conntrack ${negated ? "! " : ""}--ctstate ${states.join().toUpperCase()}`;
  return [{ kind: "state", states, negated, text }];
}

/** Whether all of a module is known. */
export function isKnownMatch(module: Module): boolean {
  return readMatch(module).every(({ kind }) => kind !== "unknown");
}

/** Whether the action of a module is known. */
export function isKnownTarget(module: Module, family: Family | undefined): boolean {
  return readTarget(module, family).every(
    ({ action }) =>
      action.kind !== "unknown" && !(action.kind === "mark" && action.change.unknown !== undefined),
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bytesOf(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}
