/**
 * kube-proxy's mode ipvs: the kernel's IPVS translates the virtual services of `/proc/net/ip_vs`; neither iptables nor nft
 * shows them. For the tracer, its virtual services are rules that give packets another destination.
 */
import { FAMILIES, type Family, formatAddress, parseAddress } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { Condition, Hook, Target, TraceRule } from "./model.ts";

/** IPVS takes packets after all rules of prerouting. */
const AFTER_ALL = 2 ** 31 - 1;

interface Service {
  readonly text: string;
  readonly servers: Server[];
  readonly families: readonly Family[];
  readonly conditions: readonly Condition[];
}

/** The virtual services in the listing as base chains, one for each family that has some. */
export function ipvsHooks(listing: string): Hook[] {
  const services: Service[] = [];
  for (const line of listing.split("\n")) {
    const service = readService(line);
    if (service !== undefined) services.push(service);
    services.at(-1)?.servers.push(...readServer(line));
  }
  return FAMILIES.flatMap((family) => {
    const own = services.filter(({ families }) => families.includes(family));
    if (own.length === 0) return [];
    const rules = own.map(({ text, conditions, servers }, i): TraceRule => {
      const targets = targetsOf(servers.filter((one) => one.family === family));
      const known = targets === undefined ? {} : { targets };
      return { number: i + 1, text, conditions, action: { kind: "redirect", isIpvs: true, ...known } };
    });
    const chain = "virtual services";
    const order = { hook: "prerouting", isNat: false, priority: AFTER_ALL, policy: "accept" } as const;
    return { ...order, place: "IPVS", families: [family], chain, chains: new Map([[chain, rules]]) };
  });
}

function portCondition(number: number): Condition {
  const ranges = [{ first: number, last: number }];
  return { text: `port ${number}`, negated: false, kind: "port", side: "destination", ranges };
}

/** A real server; without a target, it gets packets with the address of the Service. */
interface Server {
  readonly family: Family;
  readonly weight: number;
  readonly target: Target | undefined;
}

/** `  -> 0AF40002:0035      Masq    1      0          0`. */
function readServer(line: string): Server[] {
  const [, short, long = "", port = "", method, weight] =
    /^ +-> (?:([0-9A-F]{8})|\[([0-9a-f:]+)\]):([0-9A-F]{4}) +(\w+) +(\d+)/.exec(line) ?? [];
  const value = short === undefined ? parseAddress(long)?.value : BigInt(`0x${short}`);
  if (value === undefined) return [];
  const number = Number.parseInt(port, 16);
  const target = { addresses: { first: value, last: value }, ports: { first: number, last: number } };
  const family = short === undefined ? "IPv6" : "IPv4";
  return [{ family, weight: Number(weight), target: method === "Masq" ? target : undefined }];
}

/** Where packets go; undefined if that is not known, for example without servers. Servers without weight get no new ones. */
function targetsOf(servers: readonly Server[]): readonly Target[] | undefined {
  const targets = servers.filter(({ weight }) => weight > 0).map(({ target }) => target);
  return targets.length === 0 || targets.includes(undefined) ? undefined : (targets as Target[]);
}

/** `TCP  0A60000A:0035 rr`, `UDP  [fd00:...:000a]:0035 rr`, `FWM  00000001 rr`; undefined for other lines. */
function readService(line: string): Service | undefined {
  const mark = /^FWM +([0-9A-F]{8})\b/.exec(line)?.[1];
  if (mark !== undefined) {
    const text = `mark 0x${Number.parseInt(mark, 16).toString(16)}`;
    const value = Number.parseInt(mark, 16);
    return {
      text,
      servers: [],
      families: FAMILIES,
      conditions: [{ text, negated: false, kind: "mark", value, mask: 0xffffffff }],
    };
  }
  const [, name = "", short, long, port = ""] =
    /^(TCP|UDP|SCTP) +(?:([0-9A-F]{8})|\[([0-9a-f:]+)\]):([0-9A-F]{4})\b/.exec(line) ?? [];
  const family = short === undefined ? "IPv6" : "IPv4";
  const value = short === undefined ? parseAddress(long ?? "")?.value : BigInt(`0x${short}`);
  if (value === undefined) return undefined;
  const protocol = name.toLowerCase();
  const address = formatAddress(family, value);
  const number = Number.parseInt(port, 16);
  const interval: Interval = { first: value, last: value };
  const conditions: Condition[] = [
    {
      text: `to ${address}`,
      negated: false,
      kind: "address",
      side: "destination",
      family,
      intervals: [interval],
    },
    { text: protocol, negated: false, kind: "protocol", protocols: [protocol] },
    // Port 0 takes all.
    ...(number === 0 ? [] : [portCondition(number)]),
  ];
  return {
    servers: [],
    text: `${protocol} to ${family === "IPv6" ? `[${address}]` : address}:${number}`,
    families: [family],
    conditions,
  };
}
