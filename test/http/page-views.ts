/** What the page is tried with: a healthy node, one in trouble, one that has just started, and hostile names everywhere. */

import { isCidr, parseCidr } from "../../src/core/cidr.ts";
import { type Interval, longestPrefixIntervals } from "../../src/core/intervals.ts";
import type { PageView } from "../../src/observe/page/view.ts";
import { initialStatus, type PassStatus } from "../../src/observe/status.ts";

const NFTABLES = { name: "nftables", why: "kube-proxy uses nftables, and its table stands" };
const REFUSED_HASH = "49a3b084af307624";
const HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/** The addresses of some CIDRs, as the agent's own rules have them. */
export function intervalsOf(...texts: string[]): Interval[] {
  const choices = texts.map((text) => {
    const cidr = parseCidr(text);
    if (!isCidr(cidr)) throw new Error(`${text} is no CIDR`);
    return { cidr, included: true };
  });
  return longestPrefixIntervals(choices);
}

function pass(second: number, more: Partial<PassStatus> = {}): PassStatus {
  const at = `2026-11-25T01:${String(59 - second).padStart(2, "0")}:07.${String(100 + second)}Z`;
  return { at, durationMs: 1.9 + second / 10, reason: "resync", drift: 0, applied: 0, errors: [], ...more };
}

const PASSES: readonly PassStatus[] = [
  pass(0),
  pass(1, { reason: "ruleset", drift: 2, applied: 1, durationMs: 4.2 }),
  pass(2),
  pass(3, { reason: "config", drift: 3, applied: 2, durationMs: 7.81 }),
  pass(4, { reason: "start", drift: 14, applied: 4, durationMs: 31.4 }),
];

export const HEALTHY: PageView = {
  at: "2026-11-25T02:00:00.000Z",
  host: "node-17.example.internal",
  nodeVersion: "v24.1.0",
  status: {
    version: "0.1.0",
    startedAt: "2026-11-25T01:55:07.000Z",
    backend: NFTABLES,
    config: {
      source: "/etc/config/ip-masq-agent",
      hash: HASH,
      state: "accepted",
      valid: true,
      problems: [],
      loadedAt: "2026-11-25T01:56:07.103Z",
      inForce: { source: "/etc/config/ip-masq-agent", hash: HASH, families: ["IPv4", "IPv6"] },
    },
    rules: { "IPv4 and IPv6": { inForce: true, cidrs: 9, lastChangeAt: "2026-11-25T01:58:07.101Z" } },
    lastPass: PASSES[0] ?? null,
    healed: { total: 3, byProcess: { iptables: 2, firewalld: 1 } },
  },
  counters: [
    { family: "IPv4", verdict: "keep", packets: 1_284_551, bytes: 98_533_120 },
    { family: "IPv4", verdict: "masquerade", packets: 73_210, bytes: 4_921_400 },
    { family: "IPv4", verdict: "local", packets: 9_120, bytes: 547_200 },
    { family: "IPv6", verdict: "keep", packets: 12_004, bytes: 1_040_320 },
    { family: "IPv6", verdict: "masquerade", packets: 0, bytes: 0 },
  ],
  kept: {
    IPv4: intervalsOf(
      "10.0.0.0/8",
      "100.64.0.0/10",
      "169.254.0.0/16",
      "172.16.0.0/12",
      "192.168.0.0/16",
      "198.18.0.0/15",
      "203.0.113.0/24",
      "240.0.0.0/4",
    ),
    IPv6: intervalsOf("fe80::/10", "fd00::/8", "2001:db8:17::/48"),
  },
  passes: PASSES,
  healed: [
    {
      at: "2026-11-25T01:58:07.101Z",
      where: "rule 2 of IP-MASQ-AGENT",
      kind: "missing",
      culprit: { process: "iptables", pid: 41_207 },
    },
    {
      at: "2026-11-25T01:58:07.101Z",
      where: "set kept-ipv4",
      kind: "changed",
      culprit: { process: "firewalld", pid: 812 },
    },
    { at: "2026-11-25T01:57:07.000Z", where: "chain IP-MASQ-AGENT", kind: "missing", culprit: null },
  ],
  pressure: {
    conntrack: { entries: 41_230, limit: 262_144 },
    conntrackCounters: { insertFailed: 0, drop: 0, earlyDrop: 0, invalid: 0 },
    snatPortShare: 0.1834,
    busiest: { address: "203.0.113.7", port: 443, protocol: "tcp", nodeAddress: "192.0.2.17" },
  },
};

const REFUSED =
  "iptables-restore v1.8.9 (nf_tables): line 14: CHAIN_ADD failed (Device or resource busy): chain IP-MASQ-AGENT; another process holds the lock, see what does with `fuser /run/xtables.lock`";

export const IN_TROUBLE: PageView = {
  ...HEALTHY,
  status: {
    ...HEALTHY.status,
    backend: { name: "iptables", why: "iptables v1.8.9 (nf_tables) works" },
    config: {
      ...HEALTHY.status.config,
      hash: REFUSED_HASH,
      state: "refused",
      valid: false,
      problems: [
        '/etc/config/ip-masq-agent:3:5: nonMasqueradeCIDRs[1]: "10.1.2.3/8" is not aligned (did you mean 10.0.0.0/8?)',
      ],
      inForce: { source: "/etc/config/ip-masq-agent", hash: HASH, families: ["IPv4"] },
    },
    rules: {
      IPv4: { inForce: true, cidrs: 6, lastChangeAt: "2026-11-25T01:58:07.101Z" },
      IPv6: { inForce: false, cidrs: 3, lastChangeAt: null },
    },
    lastPass: { ...pass(0), errors: [REFUSED] },
  },
  kept: { ...HEALTHY.kept, IPv6: null },
  passes: [pass(0, { errors: [REFUSED], reason: "retry" }), ...PASSES.slice(1)],
  pressure: {
    conntrack: { entries: 257_100, limit: 262_144 },
    conntrackCounters: { insertFailed: 18_220, drop: 3, earlyDrop: 91, invalid: 7 },
    snatPortShare: 0.961,
    busiest: { address: "2001:db8::1428:57ab", port: 443, protocol: "tcp", nodeAddress: "192.0.2.17" },
  },
};

export const JUST_STARTED: PageView = {
  at: "2026-11-25T02:00:00.000Z",
  host: "node-1",
  nodeVersion: "v20.19.0",
  status: initialStatus("0.1.0", NFTABLES, Date.UTC(2026, 10, 25, 2)),
  kept: { IPv4: null },
  passes: [],
  healed: [],
};

/** As a process may call itself, and a config may say. */
export const HOSTILE = `<script>alert(1)</script><img src="http://192.0.2.1/x" onerror='x'>&amp;\u0000\u202e"`;
const LONG = "x".repeat(300);

/** Everything that others can name is `HOSTILE` or long, and every list is long. */
export function hostile(length: number): PageView {
  const times = <T>(value: (i: number) => T) => Array.from({ length }, (_, i) => value(i));
  const { status } = HEALTHY;
  const errors = times(() => HOSTILE + LONG);
  return {
    ...HEALTHY,
    host: HOSTILE,
    nodeVersion: HOSTILE,
    status: {
      ...status,
      version: HOSTILE,
      startedAt: HOSTILE,
      backend: { name: HOSTILE, why: HOSTILE },
      config: {
        source: HOSTILE + LONG,
        hash: HOSTILE,
        state: "refused",
        inForce: { source: HOSTILE, hash: HOSTILE, families: [HOSTILE] },
        valid: false,
        problems: errors,
        loadedAt: HOSTILE,
      },
      rules: { [HOSTILE]: { inForce: false, cidrs: 1_000_000, lastChangeAt: HOSTILE } },
      lastPass: pass(0, { errors }),
      healed: { total: length, byProcess: Object.fromEntries(times((i) => [HOSTILE + i, 1])) },
    },
    counters: times((i) => ({
      family: "IPv4",
      verdict: HOSTILE,
      rule: HOSTILE + LONG,
      packets: Number.MAX_SAFE_INTEGER - i,
      bytes: Number.MAX_SAFE_INTEGER,
    })),
    kept: {
      IPv4: times((i) => ({ first: BigInt(i * 5), last: BigInt(i * 5 + 2) })),
      IPv6: times((i) => ({ first: 2n ** 127n + BigInt(i * 5), last: 2n ** 127n + BigInt(i * 5 + 2) })),
    },
    passes: times((i) => pass(i % 60, { reason: HOSTILE, errors })),
    healed: times((i) => ({
      at: HOSTILE,
      where: HOSTILE + LONG,
      kind: "extra",
      culprit: { process: HOSTILE, pid: i },
    })),
    pressure: {
      conntrack: { entries: 1e9, limit: 1e9 },
      conntrackCounters: { insertFailed: 1e12, drop: 1e12, earlyDrop: 1e12, invalid: 1e12 },
      snatPortShare: 1.5,
      busiest: { address: HOSTILE, port: 65_535, protocol: HOSTILE, nodeAddress: HOSTILE },
    },
  };
}
