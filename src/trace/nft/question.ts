/** Translates a comparison of registers into a condition, in the words of nft. */
import { ADDRESS_BITS, type Family, formatAddress, NFT_FAMILIES } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import { PAYLOAD_NETWORK_HEADER } from "../../netlink/constants.ts";
import { asksSocket, type Condition, constant, type Side } from "../model.ts";
import { readCt } from "./ct.ts";
import {
  bigEndian,
  FIELDS,
  type Loaded,
  littleEndian,
  type Payload,
  type Range,
  readQuestion,
  type Source,
} from "./register.ts";

/** The condition that the loaded value is in one of `ranges`; `listed` is their text if they are a set with a name. */
export function isOneOf(
  loaded: Loaded,
  ranges: readonly Range[],
  negated: boolean,
  listed?: string,
): Condition {
  const text = `${sourceText(loaded)} ${negated ? "!= " : ""}${listed ?? rangesText(loaded, ranges)}`;
  if (asksSocket(text)) return constant(text, false);
  const condition = readCondition({ text, negated }, loaded, ranges);
  if (condition?.kind === "bits") return { ...condition, text: bitsText(condition) };
  return condition ?? { kind: "unknown", text, negated: false };
}

function bitsText({ side, family, mask, value, negated }: Extract<Condition, { kind: "bits" }>): string {
  const [bits, wanted] = [mask, value].map((one) => formatAddress(family, one));
  return `${NFT_FAMILIES[family]} ${FIELD_NAMES[side]} & ${bits} ${negated ? "!=" : "=="} ${wanted}`;
}

function readCondition(
  head: Pick<Condition, "text" | "negated">,
  loaded: Loaded,
  ranges: readonly Range[],
): Condition | undefined {
  const { source, xor } = loaded;
  if (source.kind !== "ct") return readQuestion(head, loaded, ranges);
  return xor?.some(Boolean) === true ? undefined : readCt(head, source, loaded, ranges);
}

const META_NAMES: Readonly<Record<number, string>> = {
  1: "meta protocol",
  3: "meta mark",
  4: "iif",
  5: "oif",
  6: "iifname",
  7: "oifname",
  10: "meta skuid",
  11: "meta skgid",
  15: "meta nfproto",
  16: "meta l4proto",
  23: "meta cgroup",
};
const CT_NAMES: Readonly<Record<number, string>> = {
  0: "ct state",
  1: "ct direction",
  2: "ct status",
  3: "ct mark",
};
const PORTS: Readonly<Record<number, string>> = { 0: "th sport", 2: "th dport" };

/** The loaded value, in the words of nft. */
export function sourceText({ source, length, mask }: Loaded): string {
  const masked =
    mask === undefined || source.kind === "payload" ? "" : ` & 0x${littleEndian(mask).toString(16)}`;
  return `${nameOf(source, length)}${masked}`;
}

function nameOf(source: Source, length: number): string {
  switch (source.kind) {
    case "meta":
      return META_NAMES[source.key] ?? `meta ${source.key}`;
    case "ct":
      return CT_NAMES[source.key] ?? `ct ${source.key}`;
    case "fib":
      return `fib ${source.side === "source" ? "saddr" : "daddr"} type`;
    case "other":
    case "map":
      return `(${source.name})`;
    case "way back":
      return "fib saddr . iif oif";
    case "chance":
      return `numgen mod ${source.modulus}`;
    case "value":
      return "(value)";
    case "payload":
      return fieldText(source, length);
  }
}

function fieldText(source: Payload, length: number): string {
  const { base, offset, family } = source;
  const port = base === PAYLOAD_NETWORK_HEADER ? undefined : PORTS[offset];
  if (port !== undefined && length === 2) return port;
  const field = fieldAt(source, length);
  if (field === undefined || family === undefined) return `@${base},${offset * 8},${length * 8}`;
  return `${NFT_FAMILIES[family]} ${FIELD_NAMES[field]}`;
}

const FIELD_NAMES = { source: "saddr", destination: "daddr", protocol: "protocol" } as const;

function fieldAt({ base, offset, family }: Payload, length: number): Side | "protocol" | undefined {
  if (base !== PAYLOAD_NETWORK_HEADER || family === undefined) return undefined;
  return FIELDS[family].find((one) => one.offset === offset && length <= one.bytes)?.name;
}

/** As many of a set are shown. */
const SHOWN = 4;

function rangesText(loaded: Loaded, ranges: readonly Range[]): string {
  const shown = ranges.slice(0, SHOWN).map((range) => rangeText(loaded, range));
  if (ranges.length === 1) return shown[0] ?? "";
  return `{ ${[...shown, ...(ranges.length > SHOWN ? ["…"] : [])].join(", ")} }`;
}

function rangeText(loaded: Loaded, { from, to }: Range): string {
  const { source } = loaded;
  const condition = readCondition({ text: "", negated: false }, loaded, [{ from, to }]);
  if (condition?.kind === "address") return intervalText(condition.family, condition.intervals[0]);
  if (condition?.kind === "protocol") return condition.protocols.join();
  if (condition?.kind === "out" || condition?.kind === "in") return condition.names.join();
  if (condition?.kind === "family") return condition.family === "IPv4" ? "ipv4" : "ipv6";
  if (condition?.kind === "local") return "local";
  if (condition?.kind === "state" && loaded.mask === undefined) return condition.states.join();
  const number = (bytes: Uint8Array) => {
    const value = source.kind === "payload" ? bigEndian(bytes) : BigInt(littleEndian(bytes));
    return value > 0xffffn ? `0x${value.toString(16)}` : String(value);
  };
  return bigEndian(from) === bigEndian(to) ? number(from) : `${number(from)}-${number(to)}`;
}

function intervalText(family: Family, interval: Interval | undefined): string {
  if (interval === undefined) return "";
  const { first, last } = interval;
  const size = last - first + 1n;
  const address = formatAddress(family, first);
  if (size === 1n) return address;
  const isBlock = (size & (size - 1n)) === 0n && first % size === 0n;
  return isBlock
    ? `${address}/${ADDRESS_BITS[family] - (size.toString(2).length - 1)}`
    : `${address}-${formatAddress(family, last)}`;
}
