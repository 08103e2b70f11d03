import { describe, expect, test } from "vitest";
import { facts, keeps, said } from "../../../../test/lab/doctor.ts";
import { parsePorts } from "../../../core/ports.ts";
import { known } from "../../../system/fact.ts";
import { diagnose } from "../../checks.ts";
import type { Facts } from "../../facts.ts";

const { settings, sysctls } = facts();
const ADMIN = 1n << 12n;
const LEGACY = { ...settings, variant: "legacy" } as const;

test("what could not be looked at is said, and is no health", () => {
  const unknown = (what: string) => ({ unknown: what, why: "EPERM" });
  const lines = said({
    nftables: unknown("rules of nftables"),
    nat: [unknown("the IPv4 rules of iptables-nft"), ...facts().nat],
    sysctls: { ...sysctls, "net.ipv4.ip_forward": unknown("net.ipv4.ip_forward") },
    sets: { ...unknown("ipsets"), minor: true },
  });
  expect(lines).toEqual([
    "warning could-not-check: could not check the IPv4 rules of iptables-nft: EPERM",
    "warning could-not-check: could not check rules of nftables: EPERM",
    "warning could-not-check: could not check net.ipv4.ip_forward: EPERM",
    "info could-not-check: could not check ipsets: EPERM",
  ]);
});

test.each<[string, Partial<Exclude<Facts["nftables"], { value: unknown }>>, bigint, string]>([
  ["a permission", { cause: "permission" }, 0n, "run doctor as root"],
  ["a permission, with all of them", { cause: "permission" }, ADMIN | (1n << 13n), "a user namespace"],
  ["a tool that is missing", { cause: "no tool" }, ADMIN, "has the tools"],
  ["anything else", {}, 0n, "the tool or the kernel gave"],
])("what to do about %s", (_name, cause, effective, expected) => {
  const nftables = { unknown: "rules of nftables", why: "no", ...cause };
  const findings = diagnose(facts({ nftables, capabilities: { value: effective } }));
  const { remedy } = findings.find(({ check }) => check === "could-not-check") ?? {};
  expect(remedy).toContain(expected);
  if (cause.cause !== "permission") expect(remedy).not.toContain("as root");
});

test("what is always said", () => {
  const lines = diagnose(facts()).map(({ message }) => message);
  expect(lines).toEqual([
    "nothing drops INVALID packets in forward (IPv4): late RST and FIN of pods leave with their address",
    "backend iptables, chain IP-MASQ-AGENT, IPv4",
    "kernel 6.1",
  ]);
});

test("capabilities", () => {
  expect(said({ capabilities: { value: 0n } })).toEqual([
    "error capabilities: the capability NET_ADMIN is missing: the rules in the kernel's packet filter cannot be checked",
  ]);
  const admin = { value: 1n << 12n };
  expect(said({ capabilities: admin })).toEqual([]);
  const nat = facts().nat.map((fact) =>
    "value" in fact ? { value: { ...fact.value, variant: "legacy" as const } } : fact,
  );
  expect(said({ capabilities: admin, settings: LEGACY, nat })).toEqual([
    "error capabilities: the capability NET_RAW is missing, which iptables-legacy needs",
  ]);
});

test("forwarding, of IPv6 only if that is enabled", () => {
  const off = { ...sysctls, "net.ipv6.conf.all.forwarding": { value: "0" } };
  expect(said({ sysctls: off })).toEqual([]);
  const both = { ...off, "net.ipv4.ip_forward": { value: "0" } };
  const nat: Facts["nat"] = [];
  expect(said({ sysctls: both, nat, settings: { ...settings, families: ["IPv4", "IPv6"] } })).toEqual([
    "error forwarding: net.ipv4.ip_forward is 0: the node drops all pod traffic to other hosts",
    "error forwarding: net.ipv6.conf.all.forwarding is 0: the node drops all pod traffic to other hosts",
  ]);
});

test.each<[string, readonly string[]]>([
  ["9100-29999", []],
  [
    "9100-30000",
    [
      "warning ports: --to-ports 9100-30000 overlaps the NodePort range 30000-32767: connections to NodePorts and masqueraded ones may collide",
    ],
  ],
  [
    "32767",
    [
      "warning ports: --to-ports 32767 overlaps the NodePort range 30000-32767: connections to NodePorts and masqueraded ones may collide",
    ],
  ],
  ["61000-65535", []],
  // As --to-ports=local has them, on purpose.
  ["32768-60999", []],
  [
    "40000-41000",
    [
      "info ports: --to-ports 40000-41000 overlaps net.ipv4.ip_local_port_range (32768-60999): the node's own connections use these ports too",
    ],
  ],
  [
    "8080",
    [
      "info ports: --to-ports 8080 overlaps net.ipv4.ip_local_reserved_ports (8000-8100), which are kept for another program",
    ],
  ],
])("ports %s", (text, expected) => {
  const parsed = parsePorts(text);
  const toPorts = parsed.ok ? parsed.ranges : [];
  const reserved = { ...sysctls, "net.ipv4.ip_local_reserved_ports": { value: "8000-8100,9000" } };
  expect(said({ settings: { ...settings, toPorts }, sysctls: reserved })).toEqual(expected);
});

describe("conntrack", () => {
  test.each<[number, string | undefined]>([
    [750, undefined],
    [751, "warning"],
    [900, "warning"],
    [901, "error"],
  ])("%d of 1000 connections", (count, severity) => {
    const lines = said({ conntrack: { value: { count, max: 1000 } } });
    expect(lines.map((line) => line.split(" ")[0])).toEqual(severity === undefined ? [] : [severity]);
  });

  test("counters that grow", () => {
    const before = { insert_failed: 1, drop: 2, early_drop: 3, found: 4 };
    const grown = { insert_failed: 11, drop: 4, early_drop: 4, found: 9 };
    const of = (after: typeof before) => said({ counters: { value: { before, after, intervalMs: 500 } } });
    expect(of({ ...before, found: 9 })).toEqual([]);
    expect(of(grown).map((line) => line.slice(0, line.lastIndexOf(": ")))).toEqual([
      "warning conntrack-counters: conntrack's insert_failed grew by 10 in 0.5s: the kernel drops connections whose source could not be made unique",
      "warning conntrack-counters: conntrack's drop grew by 2 in 0.5s",
      "warning conntrack-counters: conntrack's early_drop grew by 1 in 0.5s",
    ]);
  });

  test("none in use", () => {
    expect(said({ conntrack: { value: undefined }, counters: { value: undefined } })).toEqual([
      "info not-seen: the kernel tracks no connections yet",
    ]);
  });
});

test("the xtables lock matters to legacy in a container", () => {
  const nat = facts().nat.map((fact) =>
    "value" in fact ? { value: { ...fact.value, variant: "legacy" as const } } : fact,
  );
  const lock = { path: "/run/xtables.lock", inContainer: true, exists: true, mounted: false };
  const of = (change: Partial<typeof lock>, as: Facts["settings"] = LEGACY) =>
    said({ settings: as, nat: as === LEGACY ? nat : facts().nat, lock: { value: { ...lock, ...change } } });
  const remedy = "iptables-legacy in this container and on the host can undo each other's changes";
  expect(of({})).toEqual([`warning lock: /run/xtables.lock is not the host's: ${remedy}`]);
  expect(of({ exists: false })).toEqual([`warning lock: /run/xtables.lock does not exist: ${remedy}`]);
  expect(of({ mounted: true })).toEqual([]);
  expect(of({ inContainer: false })).toEqual([]);
  expect(of({}, settings)).toEqual([]);
});

test("inotify's limits", () => {
  const value = { instances: 115, maxInstances: 128, watches: 900, maxWatches: 1000 };
  expect(said({ inotify: { value } })).toEqual([]);
  expect(said({ inotify: { value: { ...value, instances: 116, watches: 901 } } })).toEqual([
    "warning inotify: 116 of 128 of fs.inotify.max_user_instances are used: when none is left, no process, this agent included, can add another file watch",
    "warning inotify: 901 of 1000 of fs.inotify.max_user_watches are used: when none is left, no process, this agent included, can add another file watch",
  ]);
});

test("the config", () => {
  const good = {
    path: "/c",
    exists: true,
    problems: [],
    warnings: [],
    resyncMs: 60_000,
    entries: 3,
    kept: keeps("10.0.0.0/8"),
  };
  const of = (change: object) => said({ config: { value: { ...good, ...change } } });
  expect(of({})).toEqual([]);
  expect(of({ exists: false })).toEqual(["info config: no configuration at /c: the defaults are in force"]);
  expect(of({ problems: ["/c:1:2: bad"], resyncMs: undefined })).toEqual(["error config: /c:1:2: bad"]);
  expect(of({ problems: Array.from({ length: 7 }, (_, i) => `p${i}`) }).at(-1)).toBe(
    "error config: /c: 2 more problems",
  );
  expect(of({ warnings: ["covers every address"] })).toEqual(["warning config: covers every address"]);
  expect(of({ warnings: Array.from({ length: 6 }, (_, i) => `p${i}`) }).at(-1)).toBe(
    "warning config: /c: 1 more warning",
  );
  expect(of({ resyncMs: 999 })).toEqual([
    "warning config: /c: resyncInterval 0.999s checks too often and wastes CPU",
  ]);
  expect(of({ resyncMs: 1_000 })).toEqual([]);
  expect(of({ resyncMs: 600_001 })).toEqual([
    "warning config: /c: resyncInterval 600.001s: drift that raises no event stays unrepaired for up to 600.001s",
  ]);
});

test("that the last valid configuration stays in force is only said where an agent runs", () => {
  const config = known(facts().config);
  const bad = { value: { ...config, problems: ["/c:1:2: bad"] } } as Facts["config"];
  const remedyOf = (changes: Partial<Facts>) =>
    diagnose(facts({ config: bad, ...changes })).find(({ check }) => check === "config")?.remedy;
  const none = { kubelets: [], agents: [] };
  const holder = { token: "IP-MASQ-AGENT", kind: "held", who: "pid 7", isAgent: true } as never;
  expect(remedyOf({})).toContain("the agent keeps the last valid one");
  expect(remedyOf({ processes: { value: { ...none, answers: true } } })).toContain(
    "keeps the last valid one",
  );
  expect(remedyOf({ processes: { value: none }, holders: { value: [holder] } })).toContain("keeps");
  expect(remedyOf({ processes: { value: none } })).not.toContain("keeps");
});

test("buffers matter to long lists with nftables", () => {
  const { config } = facts();
  const long = "value" in config ? { value: { ...config.value, entries: 20_000 } } : config;
  const of = (backend: "iptables" | "nftables") =>
    said({ config: long, settings: { ...settings, backend } }).filter((line) => line.includes("buffers"));
  expect(of("iptables")).toEqual([]);
  expect(of("nftables")).toEqual(
    ["net.core.wmem_max", "net.core.rmem_max"].map(
      (name) =>
        `info buffers: ${name} is 212992: a change of the whole list (20000 CIDRs) does not fit one transaction, and takes a second set`,
    ),
  );
});
