/** Reads the elements of an ipset from its listing. */
import { ADDRESS_BITS, type Family, parseBlock } from "../core/cidr.ts";
import { type Interval, longestPrefixIntervals, type WeighedPrefix } from "../core/intervals.ts";
import type { PortRange } from "./model.ts";
import { protocolName } from "./protocols.ts";

/** A part of an element; undefined for parts that we do not know of packets, such as links and marks. */
export type SetPart = Interval | { readonly protocol: string; readonly ports: PortRange } | undefined;

/** The content of an ipset. */
export interface SetContent {
  /** Undefined: of packets of both, as for a set of ports. */
  readonly family?: Family;
  /** The addresses at each place of its elements, `IP,PORT,IP`; undefined where no addresses are, but ports, links or marks. */
  readonly places: readonly (readonly Interval[] | undefined)[];
  /** Its elements, part by part. One more part that is not known says that it may not match. */
  readonly elements: readonly (readonly SetPart[])[];
  /** Whether elements expire. */
  readonly isExpiring?: boolean;
}

interface Element {
  readonly parts: readonly SetPart[];
  /** With their prefixes, at the places of addresses. */
  readonly choices: readonly (WeighedPrefix | undefined)[];
  readonly included: boolean;
  readonly isExpiring: boolean;
}

/** The head of a set's listing: its type, with the kinds at its elements' places. */
interface Head {
  readonly kinds: readonly string[];
  readonly family?: Family;
  /** Of the addresses of its elements, which match whole blocks. */
  readonly netmask?: number;
}

const HEAD = /^create \S+ (?:hash|bitmap):([a-z,]+)(?: family (inet6?))?(?:.* netmask (\d+))?/m;

/** Undefined for types that are not known; a `bitmask` may leave gaps. */
function readHead(listing: string): Head | undefined {
  const [line, type, words, netmask] = HEAD.exec(listing) ?? [];
  if (line === undefined || type === undefined || /^create .* bitmask /m.test(listing)) return undefined;
  const kinds = type.split(",");
  if (type === "port") return { kinds };
  if (!kinds.some(isAddress)) return undefined;
  const family = words === "inet6" ? "IPv6" : "IPv4";
  return { kinds, family, ...(netmask === undefined ? {} : { netmask: Number(netmask) }) };
}

/** Reads the output of `ipset save NAME`; undefined for a type of set whose elements are not known of packets. */
export function readSet(listing: string): SetContent | undefined {
  const head = readHead(listing);
  if (head === undefined) return undefined;
  const { kinds, family } = head;
  if (family === undefined) return readPorts(listing);
  const elements: Element[] = [];
  for (const line of listing.split("\n")) {
    if (!line.startsWith("add ")) continue;
    const element = readElement(line, { ...head, family });
    if (element === undefined) return undefined;
    elements.push(element);
  }
  const isExpiring = elements.some((one) => one.isExpiring);
  // `nomatch` ends the search with no. Of several places, each may still occur in another element.
  const hasExceptions = elements.some(({ included }) => !included);
  const positive = elements.filter(({ included }) => included);
  const places = kinds.map((kind, at) =>
    isAddress(kind)
      ? longestPrefixIntervals(
          (kinds.length > 1 ? positive : elements).flatMap(({ choices }) => choices[at] ?? []),
        )
      : undefined,
  );
  return {
    family,
    places,
    elements: positive.map((one) =>
      hasExceptions || one.isExpiring ? [...one.parts, undefined] : one.parts,
    ),
    ...(isExpiring ? { isExpiring } : {}),
  };
}

/** A bitmap of ports, which only packets of TCP and UDP have for it. */
function readPorts(listing: string): SetContent {
  const lines = [...listing.matchAll(/^add \S+ (\d+)(?: timeout (\d+))?/gm)];
  const isExpiring = lines.some(([, , timeout = "0"]) => timeout !== "0");
  const ports = lines.map(([, port]) => ({ first: Number(port), last: Number(port) }));
  const elements = ["tcp", "udp"].flatMap((protocol) =>
    ports.map((one): readonly SetPart[] => [{ protocol, ports: one }, ...(isExpiring ? [undefined] : [])]),
  );
  return { places: [undefined], elements, ...(isExpiring ? { isExpiring } : {}) };
}

/** A list of sets: a packet is in it if it is in a member. */
export interface SetList {
  readonly members: readonly SetContent[];
}

/** Reads the output of `ipset save` for several sets. A list is known if its members are. */
export function readSets(listing: string): ReadonlyMap<string, SetContent | SetList> {
  const listings = splitSets(listing);
  const sets = new Map<string, SetContent>();
  for (const [name, text] of listings) {
    const set = readSet(text);
    if (set !== undefined) sets.set(name, set);
  }
  const lists = [...listings].flatMap(([name, text]): [string, SetList][] => {
    const members = LIST.test(text) ? membersOf(text).map((member) => sets.get(member)) : [undefined];
    return members.every((one) => one !== undefined) ? [[name, { members }]] : [];
  });
  return new Map<string, SetContent | SetList>([...sets, ...lists]);
}

const LIST = /^create \S+ list:set /m;

/** The names of the members of the lists among these sets. */
export function membersOf(listing: string): readonly string[] {
  const lists = [...splitSets(listing).values()].filter((text) => LIST.test(text));
  const names = lists.flatMap((text) => [...text.matchAll(/^add \S+ (\S+)/gm)].map(([, name = ""]) => name));
  return [...new Set(names)];
}

function readElement(
  line: string,
  { kinds, family, netmask }: Head & { readonly family: Family },
): Element | undefined {
  const [, , text = "", ...options] = line.split(" ");
  const texts = text.split(",");
  const included = !options.includes("nomatch");
  const parts: SetPart[] = [];
  const choices: (WeighedPrefix | undefined)[] = [];
  for (const [at, kind] of kinds.entries()) {
    const part = texts[at] ?? "";
    if (!isAddress(kind)) {
      parts.push(kind === "port" ? readPort(part) : undefined);
      choices.push(undefined);
      continue;
    }
    const [address = "", length = String(netmask ?? ADDRESS_BITS[family])] = part.split("/");
    const block = parseBlock(`${address}/${length}`, family);
    if (block === undefined) return undefined;
    parts.push(block);
    choices.push({ cidr: { family, base: block.first, bits: Number(length), text: part }, included });
  }
  return { parts, choices, included, isExpiring: /(?:^| )timeout [1-9]/.test(options.join(" ")) };
}

/** `tcp:80`; for ICMP it has types, which we do not know. */
function readPort(text: string): SetPart {
  const [, protocol = "", port] = /^(tcp|udp|sctp|udplite):(\d+)$/.exec(text) ?? [];
  if (port === undefined) return undefined;
  return { protocol: protocolName(protocol), ports: { first: Number(port), last: Number(port) } };
}

function isAddress(kind: string): boolean {
  return kind === "ip" || kind === "net";
}

/** The parts of a listing of several sets, by the sets' names. */
function splitSets(listing: string): ReadonlyMap<string, string> {
  const lines = new Map<string, string[]>();
  for (const line of listing.split("\n")) {
    const name = line.split(" ")[1];
    if (name === undefined) continue;
    const own = lines.get(name) ?? [];
    own.push(line);
    lines.set(name, own);
  }
  return new Map([...lines].map(([name, own]) => [name, own.join("\n")]));
}
