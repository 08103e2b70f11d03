/** A healthy node as doctor sees it, to be made ill in one place. */
import { parseNatListing } from "../../src/backend/nat-listing.ts";
import { diagnose } from "../../src/core/doctor.ts";
import type { Facts, NatTable, NftChain, Variant } from "../../src/core/doctor-facts.ts";

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
  const chains = parseNatListing(["-P POSTROUTING ACCEPT", ...lines].join("\n"));
  return { value: { family, variant, tool, chains } };
}

/** Our nftables table as it should be. */
export const OWN_TABLE = {
  own: { comment: "ip-masq-agent chain=IP-MASQ-AGENT", dormant: false, sets: 1 },
  chains: [
    nftChain("inet ip-masq-agent postrouting", 101, [
      { action: { kind: "other" }, unconditional: false },
      { action: { kind: "masquerade" }, unconditional: true },
    ]),
  ],
};

export function nftChain(name: string, priority: number | undefined, rules: NftChain["rules"]): NftChain {
  const [family = "", table = "", chain = ""] = name.split(" ");
  return { family, table, chain, priority, rules };
}

/** A node on which all is well, but for `changes`. */
export function facts(changes: Partial<Facts> = {}): Facts {
  return {
    settings: {
      chain: "IP-MASQ-AGENT",
      families: ["IPv4"],
      backend: "iptables",
      variant: "nft",
      toPorts: [],
    },
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
      },
    },
    nat: [natTable([...CHAIN_RULES, JUMP])],
    nftables: { value: { chains: [], own: undefined } },
    sets: { value: [] },
    ownSets: ["IP-MASQ-AGENT-4", "IP-MASQ-AGENT-6"],
    processes: { value: { kubelets: [["kubelet"]], agents: [{ pid: 1, chain: "IP-MASQ-AGENT" }] } },
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
    },
    conntrack: { value: { count: 100, max: 1000 } },
    counters: { value: { before: { drop: 5 }, after: { drop: 5 }, intervalMs: 1000 } },
    inotify: { value: { instances: 3, maxInstances: 128, watches: 20, maxWatches: 1000 } },
    ...changes,
  };
}

/** What doctor says of the node, without remedies and what always is said. */
export function said(changes: Partial<Facts> = {}): readonly string[] {
  return diagnose(facts(changes))
    .filter(({ check }) => check !== "versions")
    .map(({ check, severity, message }) => `${severity} ${check}: ${message}`);
}
