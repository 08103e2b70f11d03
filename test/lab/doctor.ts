/** A healthy node as doctor sees it, to be made ill in one place. */

import { type Cidr, FAMILIES, type Family, isCidr, parseCidr } from "../../src/core/cidr.ts";
import { type Interval, longestPrefixIntervals } from "../../src/core/intervals.ts";
import { CHECKS, diagnose } from "../../src/doctor/checks.ts";
import type { Facts, HookChain, NatTable, OwnTable, Settings, Variant } from "../../src/doctor/facts.ts";
import { SEVERITIES, type Severity } from "../../src/doctor/finding.ts";
import { parseNatListing } from "../../src/doctor/nat-listing.ts";
import { hookChains } from "../../src/doctor/nft-rules.ts";
import { iptablesSide } from "../../src/doctor/own/iptables.ts";
import { nftablesSide } from "../../src/doctor/own/nftables.ts";
import { localAddresses } from "../../src/system/addresses.ts";
import { parseNftChains } from "../../src/trace/nft/json.ts";

/** Our jump, chain and rules, as `iptables -S` shows them. */
export const JUMP =
  '-A POSTROUTING -m comment --comment "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT';
export const CHAIN_RULES = [
  "-N IP-MASQ-AGENT",
  '-A IP-MASQ-AGENT -d 10.0.0.0/8 -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN',
  '-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully',
];

/** The nat table that a listing shows. */
export function natTable(
  lines: readonly string[],
  { variant = "nft", family = "IPv4" }: { variant?: Variant; family?: NatTable["family"] } = {},
): { readonly value: NatTable } {
  const tool = `${family === "IPv4" ? "iptables" : "ip6tables"}-${variant}`;
  const chains = parseNatListing(["-P POSTROUTING ACCEPT", ...lines].join("\n"), family);
  return { value: { family, variant, tool, chains } };
}

/** Our nftables table as it should be. */
export const OWN_TABLE: { readonly own: OwnTable } = {
  own: { comment: "ip-masq-agent chain=IP-MASQ-AGENT", dormant: false, sets: 1, rules: 2, masquerades: true },
};

/** The CIDR that a text is. */
export function cidr(text: string): Cidr {
  const found = parseCidr(text);
  if (!isCidr(found)) throw new Error(`${text} is not a valid CIDR`);
  return found;
}

/** The destinations that a list keeps. */
export function keeps(...texts: readonly string[]): ReadonlyMap<Family, readonly Interval[]> {
  const choices = texts.map((text) => ({ cidr: cidr(text), included: true }));
  return new Map(
    FAMILIES.map((family) => [
      family,
      longestPrefixIntervals(choices.filter((one) => one.cidr.family === family)),
    ]),
  );
}

/** A base chain of another table, `FAMILY TABLE CHAIN`, with the chains that `nft -j` shows of it. */
export function hook(
  name: string,
  rules: Readonly<Record<string, readonly (readonly unknown[])[]>>,
  { priority = 100, policy = "accept", family = "IPv4" }: Partial<HookChain> = {},
): { readonly value: HookChain } {
  const [nft = "", table = "", chain = ""] = name.split(" ");
  const nftables = Object.entries(rules).flatMap(([one, all]) => [
    { chain: { family: nft, table, name: one } },
    ...all.map((expr) => ({ rule: { family: nft, table, chain: one, expr } })),
  ]);
  const chains = hookChains(parseNftChains(JSON.stringify({ nftables })) ?? new Map(), family);
  return { value: { family, place: `table ${nft} ${table}`, chain, priority, policy, chains } };
}

/** A node on which all is well, but for `changes`. */
export function facts(changes: Partial<Facts> = {}): Facts {
  const settings: Settings = {
    chain: "IP-MASQ-AGENT",
    families: ["IPv4"],
    backend: "iptables",
    variant: "nft",
    toPorts: [],
    ...changes.settings,
  };
  const sides = [iptablesSide, nftablesSide];
  const [own = iptablesSide] = sides.filter(({ name }) => name === settings.backend);
  return {
    settings,
    own,
    others: sides.filter((one) => one !== own),
    versions: [{ value: { name: "kernel", version: "6.1" } }],
    capabilities: { value: (1n << 12n) | (1n << 13n) },
    config: {
      value: {
        path: "/etc/config/ip-masq-agent",
        exists: true,
        problems: [],
        warnings: [],
        resyncMs: 60_000,
        entries: 1,
        kept: keeps("10.0.0.0/8", "169.254.0.0/16", "fd00::/8"),
      },
    },
    nat: [natTable([...CHAIN_RULES, JUMP])],
    incompatible: [],
    nftables: { value: { own: undefined } },
    hooks: [],
    forward: [],
    trace: { value: { hooks: [], local: localAddresses(["192.0.2.1"]) } },
    notTraced: [],
    linkSettings: [],
    seen: undefined,
    memoryLimit: undefined,
    links: {
      value: {
        networks: ["10.244.1.0/24", "fd00:244::/64"].map((text) => ({
          cidr: cidr(text),
          from: "bridge cni0",
          isLocal: true,
          link: "cni0",
        })),
        others: [cidr("172.17.0.0/16")],
        own: [{ family: "IPv4", address: 0xc000_0201n }],
        addresses: [
          { family: "IPv4", address: 0xc000_0201n, network: cidr("192.0.2.0/24"), link: "eth0" },
          { family: "IPv4", address: 0x0af4_0101n, network: cidr("10.244.1.0/24"), link: "cni0" },
        ],
        uplinks: FAMILIES.map((family) => ({ family, name: "eth0" })),
        links: new Map([
          ["eth0", false],
          ["docker0", false],
          ["cni0", true],
        ]),
      },
    },
    podNetworks: [],
    sets: { value: [] },
    ownSets: ["IP-MASQ-AGENT-4", "IP-MASQ-AGENT-6"],
    processes: {
      value: { kubelets: [["kubelet"]], agents: [{ pid: 1, chain: "IP-MASQ-AGENT", isOurs: true }] },
    },
    holders: { value: [] },
    auto: { value: undefined },
    cni: { value: [] },
    lock: { value: { path: "/run/xtables.lock", inContainer: true, exists: true, mounted: true } },
    sysctls: {
      "net.ipv4.ip_forward": { value: "1" },
      "net.ipv6.conf.all.forwarding": { value: "1" },
      "net.ipv4.ip_local_port_range": { value: "32768\t60999" },
      "net.ipv4.ip_local_reserved_ports": { value: "" },
      "net.core.rmem_max": { value: "212992" },
      "net.core.wmem_max": { value: "212992" },
      "net.netfilter.nf_conntrack_tcp_be_liberal": { value: "0" },
    },
    conntrack: { value: { count: 100, max: 1000 } },
    portShare: { value: undefined },
    counters: { value: { before: { drop: 5 }, after: { drop: 5 }, intervalMs: 1000 } },
    inotify: { value: { instances: 3, maxInstances: 128, watches: 20, maxWatches: 1000 } },
    ...changes,
  };
}

/** What doctor says of the node, without remedies and what always is said. */
export function said(changes: Partial<Facts> = {}): readonly string[] {
  const findings = diagnose(facts(changes));
  const weight = (severity: Severity | undefined) =>
    severity === undefined ? 0 : SEVERITIES.indexOf(severity);
  for (const { check, severity } of findings)
    if (weight(severity) < weight(CHECKS.find(({ name }) => name === check)?.severity))
      throw new Error(`${check} says ${severity}, which is graver than it promises`);
  return findings
    .filter(({ check }) => check !== "versions" && check !== "invalid")
    .map(({ check, severity, message }) => `${severity} ${check}: ${message}`);
}
