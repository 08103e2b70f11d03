/** Reads the elements of an ipset from its listing. */
import { ADDRESS_BITS, type Family, isCidr, lastAddress, parseCidr } from "../core/cidr.ts";
import { type Interval, longestPrefixIntervals, type WeighedPrefix } from "../core/intervals.ts";
import type { PortRange } from "./model.ts";
import { protocolName } from "./protocols.ts";

/** A part of an element; undefined for parts that we do not know of packets, such as links and marks. */
export type SetPart = Interval | { readonly protocol: string; readonly ports: PortRange } | undefined;

/** The content of an ipset. */
export interface SetContent {
  readonly family: Family;
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

/** Reads the output of `ipset save NAME`; undefined for a type of set whose elements have no addresses. */
export function readSet(listing: string): SetContent | undefined {
  const [, type, words] = /^create \S+ hash:([a-z,]+) family (inet6?)/m.exec(listing) ?? [];
  const kinds = type?.split(",") ?? [];
  if (!kinds.some(isAddress)) return undefined;
  const family = words === "inet6" ? "IPv6" : "IPv4";
  const elements: Element[] = [];
  for (const line of listing.split("\n")) {
    if (!line.startsWith("add ")) continue;
    const element = readElement(line, kinds, family);
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

function readElement(line: string, kinds: readonly string[], family: Family): Element | undefined {
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
    const cidr = parseCidr(part.includes("/") ? part : `${part}/${ADDRESS_BITS[family]}`);
    if (!isCidr(cidr) || cidr.family !== family) return undefined;
    parts.push({ first: cidr.base, last: lastAddress(cidr) });
    choices.push({ cidr, included });
  }
  return { parts, choices, included, isExpiring: options.includes("timeout") };
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
export function splitSets(listing: string): ReadonlyMap<string, string> {
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
