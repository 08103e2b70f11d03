/**
 * Random configurations, and what the documentation says becomes of a packet under each: by looking at every entry
 * for every address. It shares no code with the agent, so that both must agree with the kernel rather than with each other.
 */
import type { Sender } from "./equivalence-probe.ts";
import type { Family } from "./iptables.ts";

interface Prefix {
  readonly family: Family;
  readonly base: bigint;
  readonly bits: number;
}

interface Entry extends Prefix {
  readonly sender: Sender;
}

export interface Case {
  /** The fields of the configuration. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Addresses at the borders of the entries, and others. */
  readonly probes: readonly string[];
  /** Whose address a receiver must see, by the longest prefix; an exempt entry wins where lists are not weighed. */
  readonly expected: (address: string) => Sender;
  /** The same if exceptions were ignored: what would not notice that they are missing. */
  readonly withoutExceptions: (address: string) => Sender;
}

/** Numbers from [0, 1), the same for the same seed (mulberry32). */
export type Random = () => number;
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const WIDTH: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };
const FAMILIES: readonly Family[] = ["IPv4", "IPv6"];

/** Where entries are likely to be, so that they meet. */
const REGIONS: Readonly<Record<Family, readonly string[]>> = {
  IPv4: [
    "10.0.0.0",
    "10.10.0.0",
    "172.16.0.0",
    "192.168.0.0",
    "100.64.0.0",
    "203.0.113.0",
    "8.8.8.0",
    "240.0.0.0",
  ],
  IPv6: ["fd00:10:0:0:0:0:0:0", "2001:db8:1:0:0:0:0:0", "2600:0:0:0:0:0:0:0", "fec0:0:0:0:0:0:0:0"],
};
const LINK_LOCAL: readonly string[] = [
  "169.254.0.0/16",
  "169.254.169.254/32",
  "169.254.0.0/17",
  "168.0.0.0/7",
  "fe80:0:0:0:0:0:0:0/10",
];
const DEFAULTS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
const RESERVED = [
  ...DEFAULTS,
  "100.64.0.0/10",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
];

/** Kept by every other configuration and masqueraded by the rest, so that each differs from the one before in both families. */
const MARKERS = ["45.77.1.9/32", "2a0a:77:0:0:0:0:0:9/128"].map(parsePrefix);

/** What cannot be sent through the node, or is the lab's own. */
const UNREACHABLE = [
  ...["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "10.244.1.0/24", "192.0.2.0/24"],
  ...["0:0:0:0:0:0:0:0/8", "fe80:0:0:0:0:0:0:0/10", "ff00:0:0:0:0:0:0:0/8"],
  ...["fd00:244:0:0:0:0:0:0/64", "2001:db8:ffff:0:0:0:0:0/64"],
].map(parsePrefix);

/** The configuration number `index`; `reserved` is whether the agent's defaults are all reserved ranges. */
export function createCase(index: number, random: Random, reserved: boolean): Case {
  const keep = index % 2 === 0;
  const pool: Prefix[] = [];
  const list = (most: number) =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, () => addPrefix(pool, random));
  // Defaults have no marker, so they occur only where it is masqueraded.
  const defaults = !keep && random() < 0.2;
  const exempt = list(12);
  const exceptions = random() < 0.4 ? [] : list(8);
  if (exceptions.length > 0 && !keep) exceptions.push(...MARKERS);
  const kept = defaults
    ? (reserved ? RESERVED : DEFAULTS).map(parsePrefix)
    : keepMarkers(exempt, keep, exceptions.length > 0);
  const masqueraded = exceptions.filter((one) => !kept.some((other) => same(one, other)));
  const masqLinkLocal = random() < 0.3;
  const masqLinkLocalIPv6 = random() < 0.3;
  const entries = [
    ...kept.map((prefix): Entry => ({ ...prefix, sender: "pod" })),
    ...masqueraded.map((prefix): Entry => ({ ...prefix, sender: "node" })),
  ];
  if (!masqLinkLocal) entries.push({ ...parsePrefix("169.254.0.0/16"), sender: "pod" });
  if (!masqLinkLocalIPv6) entries.push({ ...parsePrefix("fe80:0:0:0:0:0:0:0/10"), sender: "pod" });
  const write = (prefixes: readonly Prefix[]) =>
    shuffle(prefixes, random).map((one) => writePrefix(one, random));
  return {
    fields: {
      ...(defaults ? {} : { nonMasqueradeCIDRs: write(kept) }),
      ...(masqueraded.length === 0 ? {} : { masqueradeCIDRs: write(masqueraded) }),
      masqLinkLocal,
      masqLinkLocalIPv6,
      cidrLimit: 1_000,
    },
    probes: probesOf(entries, random),
    expected: (address) => decide(entries, address),
    withoutExceptions: (address) =>
      decide(
        entries.filter(({ sender }) => sender === "pod"),
        address,
      ),
  };
}

/** Every entry is looked at; of those that contain the address the longest decides, and of two the first. */
function decide(entries: readonly Entry[], address: string): Sender {
  let best: Entry | undefined;
  for (const entry of entries)
    if (contains(entry, address) && (best === undefined || entry.bits > best.bits)) best = entry;
  return best?.sender ?? "node";
}

/** Without a list of exceptions a marker can only be masqueraded if no entry covers it. */
function keepMarkers(prefixes: readonly Prefix[], keep: boolean, weighed: boolean): Prefix[] {
  if (keep) return [...prefixes, ...MARKERS];
  if (weighed) return prefixes.filter((one) => !MARKERS.some((marker) => same(one, marker)));
  return prefixes.filter((one) => !MARKERS.some((marker) => covers(one, marker)));
}

/** One more prefix, often beside, around or inside of another. */
function addPrefix(pool: Prefix[], random: Random): Prefix {
  const near = pool[Math.floor(random() * pool.length)];
  const prefix = near !== undefined && random() < 0.6 ? relative(near, random) : fresh(random);
  pool.push(prefix);
  return prefix;
}

function fresh(random: Random): Prefix {
  if (random() < 0.1) return parsePrefix(pick(LINK_LOCAL, random));
  const family = pick(FAMILIES, random);
  const width = WIDTH[family];
  const region = parseAddress(pick(REGIONS[family], random));
  const scatter = randomBits(width, random) >> BigInt(Math.floor(random() * width));
  const bits = random() < 0.05 ? 0 : random() < 0.2 ? width : 1 + Math.floor(random() * width);
  return prefixOf(family, region ^ scatter, bits);
}

function relative(near: Prefix, random: Random): Prefix {
  const { family, base, bits } = near;
  const width = WIDTH[family];
  const size = sizeOf(near);
  const choice = random();
  if (choice < 0.25) return prefixOf(family, base, Math.max(0, bits - 1 - Math.floor(random() * 8)));
  if (choice < 0.5) return prefixOf(family, (base ^ size) & (2n ** BigInt(width) - 1n), bits);
  const inside = pick([base, base + size - 1n, base + (randomBits(width, random) % size)], random);
  return prefixOf(family, inside, bits + Math.floor(random() * (width - bits + 1)));
}

/** First and last address of each entry, their neighbours, and addresses anywhere. */
function probesOf(entries: readonly Entry[], random: Random): string[] {
  const anywhere = (family: Family): Prefix =>
    prefixOf(family, randomBits(WIDTH[family], random), WIDTH[family]);
  const borders = [...entries, ...MARKERS].flatMap((entry) => {
    const { family, base } = entry;
    const size = sizeOf(entry);
    const inside = base + (randomBits(WIDTH[family], random) % size);
    return [base - 1n, base, inside, base + size - 1n, base + size].map((address) => ({ family, address }));
  });
  const others = [0, 1, 2, 3]
    .flatMap(() => FAMILIES.map(anywhere))
    .map(({ family, base }) => ({ family, address: base }));
  const texts = [...borders, ...others]
    .filter(({ family, address }) => address >= 0n && address < 2n ** BigInt(WIDTH[family]))
    .map(({ family, address }) => writeAddress(family, address));
  return [...new Set(texts)].filter((text) => !UNREACHABLE.some((prefix) => contains(prefix, text)));
}

function contains(prefix: Prefix, address: string): boolean {
  const family = address.includes(":") ? "IPv6" : "IPv4";
  return covers(prefix, { family, base: parseAddress(address), bits: WIDTH[family] });
}

function covers(outer: Prefix, inner: Prefix): boolean {
  const shift = BigInt(WIDTH[outer.family] - outer.bits);
  return (
    outer.family === inner.family && outer.bits <= inner.bits && outer.base >> shift === inner.base >> shift
  );
}

function same(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.bits === b.bits && a.base === b.base;
}

function sizeOf({ family, bits }: Prefix): bigint {
  return 1n << BigInt(WIDTH[family] - bits);
}

function prefixOf(family: Family, address: bigint, bits: number): Prefix {
  const shift = BigInt(WIDTH[family] - bits);
  return { family, base: (address >> shift) << shift, bits };
}

/** Addresses in full, without `::`. */
function parseAddress(text: string): bigint {
  const [separator, radix, bits] = text.includes(":") ? ([":", 16, 16n] as const) : ([".", 10, 8n] as const);
  return text
    .split(separator)
    .reduce((sum, part) => (sum << bits) | BigInt(Number.parseInt(part, radix)), 0n);
}

function writeAddress(family: Family, address: bigint): string {
  const [parts, bits, radix, separator] =
    family === "IPv4" ? ([4, 8n, 10, "."] as const) : ([8, 16n, 16, ":"] as const);
  const numbers = Array.from(
    { length: parts },
    (_, i) => (address >> (bits * BigInt(parts - 1 - i))) % (1n << bits),
  );
  return numbers.map((number) => number.toString(radix)).join(separator);
}

function parsePrefix(text: string): Prefix {
  const [address = "", bits = ""] = text.split("/");
  return { family: address.includes(":") ? "IPv6" : "IPv4", base: parseAddress(address), bits: Number(bits) };
}

/** As people write them: with `::` or in full. */
function writePrefix({ family, base, bits }: Prefix, random: Random): string {
  const text = writeAddress(family, base);
  const short =
    family === "IPv6" && random() < 0.5 ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text;
  return `${short}/${bits}`;
}

function randomBits(width: number, random: Random): bigint {
  let bits = 0n;
  for (let i = 0; i < width; i += 16) bits = (bits << 16n) | BigInt(Math.floor(random() * 65_536));
  return bits;
}

function pick<T>(all: readonly T[], random: Random): T {
  return all[Math.floor(random() * all.length)] as T;
}

function shuffle<T>(all: readonly T[], random: Random): T[] {
  const keyed = all.map((value) => ({ value, key: random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value);
}
