/**
 * CIDRs as Go's `net.ParseCIDR` takes them: no leading zeros in an octet, no zones, no short forms, but leading zeros
 * in the prefix length (`10.0.0.0/08`). An IPv4-mapped address (`::ffff:10.0.0.0/104`) belongs to IPv4, as Go's `To4`
 * says, and keeps its text, since the Go program passes it to iptables unchanged.
 *
 * Both families share one code path: an address is a bigint of `ADDRESS_BITS[family]` bits.
 */

export type Family = "IPv4" | "IPv6";

export const FAMILIES: readonly Family[] = ["IPv4", "IPv6"];

/** The families' names in nf_tables. */
export const NFT_FAMILIES = { IPv4: "ip", IPv6: "ip6" } as const satisfies Readonly<Record<Family, string>>;

/** The families by their names in nf_tables, and in nft's `meta nfproto`. */
export const FAMILY_NAMES: Readonly<Record<"ip" | "ip6" | "ipv4" | "ipv6", Family>> = {
  ...{ ip: "IPv4", ip6: "IPv6" },
  ...{ ipv4: "IPv4", ipv6: "IPv6" },
};

/** The family of such a name; undefined for a different one. */
export function familyNamed(name: string): Family | undefined {
  return (FAMILY_NAMES as Readonly<Record<string, Family>>)[name];
}

/** The families' tools of iptables. */
export const IPTABLES: Readonly<Record<Family, string>> = { IPv4: "iptables", IPv6: "ip6tables" };

export const ADDRESS_BITS: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

/** An aligned block of addresses: `base` has no bit set below `bits`. */
export interface Cidr {
  readonly family: Family;
  readonly base: bigint;
  /** The prefix length, 0 to 32 or 128. */
  readonly bits: number;
  /** The text as written. iptables gets it unchanged, and may read it differently (`/08`, `/010`). */
  readonly text: string;
}

/** Why a text is not a valid CIDR; `network` is the block that its address lies in. */
export type CidrFailure =
  | { readonly reason: "syntax" }
  | { readonly reason: "unaligned"; readonly address: string; readonly network: string };

interface Address {
  readonly family: Family;
  readonly value: bigint;
  /** Bits of the text's own form: 128 for an IPv4-mapped address. */
  readonly width: number;
}

const MAPPED_PREFIX = 0xffffn;
const DOT = 46;
const ZERO = 48;
const NINE = 57;

/** Parses `text` as the Go program does: `net.ParseCIDR`, then its alignment test. */
export function parseCidr(text: string): Cidr | CidrFailure {
  const slash = text.indexOf("/");
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const length = slash < 0 ? undefined : parsePrefixLength(text, slash + 1);
  if (address === undefined || length === undefined || length > address.width) return { reason: "syntax" };
  const { family, value, width } = address;
  const bits = length - (width - ADDRESS_BITS[family]);
  // A mapped address in a block wider than the IPv4 space cannot be aligned: its 0xffff bits lie below the prefix.
  if (bits < 0 || BigInt.asUintN(width - length, value) !== 0n) {
    return { reason: "unaligned", ...describeUnaligned(address, length) };
  }
  return { family, base: value, bits, text };
}

/** A constant CIDR of the program. */
export function constantCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!isCidr(cidr)) throw new Error(`${text} is not a CIDR`);
  return cidr;
}

/** Whether two CIDRs of one family have the same addresses. */
export function isSamePrefix(a: Cidr | undefined, b: Cidr): boolean {
  return a?.base === b.base && a.bits === b.bits;
}

/** Narrows the result of `parseCidr`. */
export function isCidr(result: Cidr | CidrFailure): result is Cidr {
  return "base" in result;
}

/** Whether iptables may read the text differently from Go: an IPv4-mapped address, or zeros before the prefix length. */
export function isPassedOn(cidr: Cidr): boolean {
  return (cidr.family === "IPv4" && cidr.text.includes(":")) || /\/0./.test(cidr.text);
}

/** The bits that a prefix of each length leaves to hosts. A table, since a list of 100,000 needs one for each entry. */
const HOST_BITS: Readonly<Record<Family, readonly bigint[]>> = {
  IPv4: hostBits(ADDRESS_BITS.IPv4),
  IPv6: hostBits(ADDRESS_BITS.IPv6),
};

function hostBits(width: number): bigint[] {
  return Array.from({ length: width + 1 }, (_, bits) => (1n << BigInt(width - bits)) - 1n);
}

/** The highest address of the block. */
export function lastAddress({ family, base, bits }: Cidr): bigint {
  return bits === ADDRESS_BITS[family] ? base : base | (HOST_BITS[family][bits] ?? 0n);
}

/** `cidr` written canonically (RFC 5952 for IPv6). */
export function formatCidr(cidr: Pick<Cidr, "family" | "base" | "bits">): string {
  return `${formatAddress(cidr.family, cidr.base)}/${cidr.bits}`;
}

/** Dotted decimals, or RFC 5952 text as Go prints it (a dotted tail only for mapped addresses). */
export function formatAddress(family: Family, value: bigint): string {
  if (family === "IPv4") return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/** The value of an address, or undefined if Go's `netip.ParseAddr` rejects it or it has a zone. */
export function parseAddress(text: string): Address | undefined {
  if (text.indexOf(":") >= 0) return parseIpv6(text);
  const value = parseIpv4(text, 0, text.length);
  return value === undefined ? undefined : { family: "IPv4", value: BigInt(value), width: 32 };
}

/** The addresses of an address or a prefix as tools of the kernel print them; those of IPv6 may be IPv4-mapped. */
export function parseBlock(text: string, family: Family): { first: bigint; last: bigint } | undefined {
  const width = ADDRESS_BITS[family];
  const [address = "", length = String(width), ...more] = text.split("/");
  const parsed = parseAddress(address);
  const bits = parsePrefixLength(length, 0);
  if (parsed?.width !== width || bits === undefined || bits > width || more.length > 0) return undefined;
  const value = parsed.family === family ? parsed.value : (MAPPED_PREFIX << 32n) | parsed.value;
  const rest = (1n << BigInt(width - bits)) - 1n;
  return { first: value & ~rest, last: value | rest };
}

function describeUnaligned(address: Address, length: number): { address: string; network: string } {
  const mapped = address.width > ADDRESS_BITS[address.family];
  const whole = mapped ? (MAPPED_PREFIX << 32n) | address.value : address.value;
  const hostBits = BigInt(address.width - length);
  const network = (whole >> hostBits) << hostBits;
  const stillMapped = mapped && length >= 96;
  return {
    address: formatAddress(address.family, address.value),
    network: stillMapped
      ? `${formatAddress("IPv4", network & 0xffffffffn)}/${length - 96}`
      : `${formatAddress(address.width === 32 ? "IPv4" : "IPv6", network)}/${length}`,
  };
}

/**
 * Digits only, as Go's `dtoi` reads them; undefined for no digits, other characters, or a number too large for a prefix
 * length.
 */
function parsePrefixLength(text: string, from: number): number | undefined {
  if (from >= text.length) return undefined;
  let length = 0;
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < ZERO || code > NINE) return undefined;
    length = length * 10 + code - ZERO;
    if (length > 128) return undefined;
  }
  return length;
}

/** Four decimal octets in `text[from, to)` without leading zeros, as a number below 2^32. */
function parseIpv4(text: string, from: number, to: number): number | undefined {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (octet < 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = -1;
    } else {
      if (code < ZERO || code > NINE || octet === 0) return undefined;
      octet = (octet < 0 ? 0 : octet * 10) + code - ZERO;
      if (octet > 255) return undefined;
    }
  }
  return octet < 0 || dots !== 3 ? undefined : value * 256 + octet;
}

/** RFC 4291 text: groups of up to four hex digits, one `::` for at least one group, an optional dotted tail. */
function parseIpv6(text: string): Address | undefined {
  const gap = text.indexOf("::");
  const head = parseGroups(gap < 0 ? text : text.slice(0, gap), gap < 0);
  const tail = gap < 0 ? [] : parseGroups(text.slice(gap + 2), true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail])
    value = (value << 16n) | BigInt(group);
  if (value >> 32n === MAPPED_PREFIX) return { family: "IPv4", value: value & 0xffffffffn, width: 128 };
  return { family: "IPv6", value, width: 128 };
}

/** The 16-bit groups of `a:b:c`, none for the empty text; with `dottedTail` the last may be a dotted address. */
function parseGroups(text: string, dottedTail: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (dottedTail && index === parts.length - 1 && part.indexOf(".") >= 0) {
      const value = parseIpv4(part, 0, part.length);
      if (value === undefined) return undefined;
      groups.push(Math.floor(value / 65536), value % 65536);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
