/** Comparisons with what conntrack knows of the packet's connection. */
import type { Condition, Side } from "../model.ts";
import {
  addressesOf,
  type Loaded,
  littleEndian,
  markOf,
  portsOf,
  type Range,
  type Source,
  singles,
} from "./register.ts";

/** `NFT_CT_*` of linux/netfilter/nf_tables.h. */
export const CT_KEYS = { STATE: 0, DIRECTION: 1, STATUS: 2, MARK: 3 } as const;

/** The addresses and ports among these keys, with their sides. */
const ADDRESSES: Readonly<Record<number, Side>> = {
  8: "source",
  9: "destination",
  19: "source",
  20: "destination",
  21: "source",
  22: "destination",
};
const PORTS: Readonly<Record<number, Side>> = { 11: "source", 12: "destination" };

/** enum ip_conntrack_info as nf_tables has it, and of enum ip_conntrack_status those that we know. */
const STATES: Readonly<Record<string, number>> = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  untracked: 64,
};
const STATUSES: Readonly<Record<string, number>> = { snat: 16, dnat: 32 };

type Head = Pick<Condition, "text" | "negated">;
type Ct = Extract<Source, { kind: "ct" }>;

/** A rule tests a bit by a mask and a comparison with 0, or compares all bits at once. */
export function readCt(
  { text, negated }: Head,
  source: Ct,
  { mask, length }: Loaded,
  ranges: readonly Range[],
): Condition | undefined {
  if (source.isOriginal === true) return readOriginal({ text, negated }, source, { mask, length }, ranges);
  const { key } = source;
  const [first] = singles(ranges) ?? [];
  if (first !== undefined && ranges.length === 1 && key === CT_KEYS.MARK)
    return { text, negated, kind: "mark", ...markOf(first, mask), isConnections: true };
  if (first !== undefined && ranges.length === 1 && key === CT_KEYS.DIRECTION && mask === undefined)
    return { text, negated, kind: "connection", holds: littleEndian(first) === 0 };
  const names = key === CT_KEYS.STATE ? STATES : key === CT_KEYS.STATUS ? STATUSES : undefined;
  const values = singles(ranges)?.map(littleEndian);
  if (names === undefined || values === undefined) return undefined;
  if (mask === undefined)
    return key === CT_KEYS.STATE ? stateCondition({ text, negated }, values, names) : undefined;
  const bits = littleEndian(mask);
  const [value, ...more] = values;
  if (more.length > 0 || (value !== 0 && value !== bits)) return undefined;
  // Several bits compared with themselves test all of them at once.
  if (value === bits && (bits & (bits - 1)) !== 0) return undefined;
  return stateCondition({ text, negated: value === 0 ? !negated : negated }, [bits], names);
}

function stateCondition(
  head: Head,
  values: readonly number[],
  names: Readonly<Record<string, number>>,
): Condition | undefined {
  const bits = values.reduce((all, value) => all | value, 0);
  const states = Object.entries(names).flatMap(([name, bit]) => ((bits & bit) === 0 ? [] : [name]));
  const known = Object.values(names).reduce((all, bit) => all | bit, 0);
  return (bits & ~known) !== 0 ? undefined : { ...head, kind: "state", states };
}

/** The address or port of the connection as it began. */
function readOriginal(
  head: Head,
  { key, family }: Ct,
  { mask, length }: Pick<Loaded, "mask" | "length">,
  ranges: readonly Range[],
): Condition | undefined {
  const port = PORTS[key];
  if (port !== undefined && mask === undefined)
    return { ...head, kind: "port", side: port, ranges: portsOf(ranges), isOriginal: true };
  const side = ADDRESSES[key];
  if (side === undefined || family === undefined) return undefined;
  const intervals = addressesOf({ length, mask }, family === "IPv4" ? 4 : 16, ranges);
  return intervals && { ...head, kind: "address", side, family, intervals, isOriginal: true };
}
