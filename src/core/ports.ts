/**
 * `--to-ports`: comma-separated ports and port ranges, as the Go program reads them with `strconv.Atoi` (which takes a
 * sign; iptables, not we, rejects 70000). The error texts are the Go program's.
 */
import { parseGoInt } from "../go/integer.ts";
import { goQuote } from "../go/quote.ts";

/** An inclusive range of ports. As wide as Go's int: iptables decides in the end which ports are valid. */
export interface PortRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** The default ports of Services of the kind NodePort (kube-apiserver's --service-node-port-range). */
export const NODE_PORTS: PortRange = { first: 30_000n, last: 32_767n };

/**
 * The ports that the kernel chooses from by default (net/netfilter/nf_nat_core.c, for a source port of 1024 and above).
 */
export const KERNEL_PORTS: PortRange = { first: 1_024n, last: 65_535n };

export type ParsedPorts =
  | { readonly ok: true; readonly ranges: readonly PortRange[] }
  | { readonly ok: false; readonly message: string };

/** The ranges of `text`; none for the empty text. */
export function parsePorts(text: string): ParsedPorts {
  const ranges: PortRange[] = [];
  if (text === "") return { ok: true, ranges };
  for (const part of text.split(",")) {
    const range = parseRange(part);
    if (typeof range === "string") return { ok: false, message: range };
    ranges.push(range);
  }
  return { ok: true, ranges };
}

/** How many of the remaining ports a range takes, when the ranges are walked in order. */
export interface Share {
  readonly size: number;
  /** The ports of this range and of all after it. */
  readonly left: number;
}

/** The share of new flows for each range, so that every port is equally likely; the last one takes all that is left. */
export function rangeShares(ranges: readonly PortRange[]): readonly Share[] {
  return sharesOf(ranges.map(rangeSize));
}

/** The number of ports of a range. */
export function rangeSize({ first, last }: PortRange): number {
  return Number(last - first + 1n);
}

/** The same for anything of these sizes. */
export function sharesOf(sizes: readonly number[]): readonly Share[] {
  let left = sizes.reduce((sum, size) => sum + size, 0);
  return sizes.map((size) => {
    const share = { size, left };
    left -= size;
    return share;
  });
}

/** The shares as probabilities, for all but the last. */
export function probabilitiesOf(sizes: readonly number[]): readonly number[] {
  return sharesOf(sizes)
    .slice(0, -1)
    .map(({ size, left }) => size / left);
}

/** The number of ports of the ranges; a port in several counts once. */
export function countPorts(ranges: readonly PortRange[]): number {
  let count = 0n;
  let next = 0n;
  for (const { first, last } of ranges.toSorted((a, b) => Number(a.first - b.first))) {
    const from = first > next ? first : next;
    if (last < from) continue;
    count += last - from + 1n;
    next = last + 1n;
  }
  return Number(count);
}

/**
 * `--to-ports=local`: the ports that the node takes for its own connections, by the texts of net.ipv4.ip_local_port_range and
 * ip_local_reserved_ports, without those reserved and NodePorts.
 */
export function localPorts(range: string, reserved: string): readonly PortRange[] {
  const taken = [...reserved.split(",").flatMap(readRange), NODE_PORTS];
  return taken.reduce((left, one) => left.flatMap((range) => without(range, one)), readRange(range));
}

/** Two numbers, or one; nothing for a text without any. */
function readRange(text: string): readonly PortRange[] {
  const [first, last = first] = (text.match(/\d+/g) ?? []).map(BigInt);
  return first === undefined || last === undefined || last < first ? [] : [{ first, last }];
}

function without({ first, last }: PortRange, taken: PortRange): readonly PortRange[] {
  if (taken.last < first || taken.first > last) return [{ first, last }];
  return [
    { first, last: taken.first - 1n },
    { first: taken.last + 1n, last },
  ].filter((one) => one.first <= one.last);
}

/** `1000-1999`, or `1000` for a single port. */
export function formatRange({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function parseRange(text: string): PortRange | string {
  const ends = text.split("-");
  if (ends.length > 2) return `invalid interval ${goQuote(text)}`;
  const [first, last] = ends.map(parseInteger);
  if (typeof first !== "bigint") return first ?? "";
  if (last === undefined) return { first, last: first };
  if (typeof last !== "bigint") return last;
  return first > last ? `first is greater than last in ${goQuote(text)}` : { first, last };
}

/** Go's `strconv.Atoi` on a 64-bit machine. */
function parseInteger(text: string): bigint | string {
  const parsed = parseGoInt(text, 10, 64);
  return parsed.ok ? parsed.value : `strconv.Atoi: parsing ${goQuote(text)}: ${parsed.fault}`;
}
