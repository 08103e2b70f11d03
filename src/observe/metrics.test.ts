import { describe, expect, test } from "vitest";
import { createMetrics, type Readings } from "./metrics.ts";
import { SERIES } from "./series.ts";
import type { PassReport } from "./status.ts";

const PASS: PassReport = {
  at: 1_000_000,
  durationMs: 3,
  reason: "start",
  drift: 0,
  applied: 1,
  errors: [],
  failures: [],
  backend: { name: "nftables", why: "--backend" },
  config: { source: "/c", hash: "ab", state: "accepted", problems: [], isNew: true },
  current: { source: "/c", hash: "ab" },
  rules: [],
  families: [{ family: "IPv4", inForce: true, cidrs: 4, intervals: 3 }],
  healed: [],
  leaving: [{ family: "IPv4", by: "pod", addresses: [{ address: "192.0.2.10", link: "eth0" }] }],
};
const PROCESS = { cpuSeconds: 1.5, residentBytes: 50e6, startedAtSeconds: 7, openFds: 20 };
const READINGS: Readings = {
  verdicts: [
    { family: "IPv4", verdict: "keep", packets: 5, bytes: 300 },
    { family: "IPv4", verdict: "masquerade", packets: 2, bytes: 120 },
  ],
  forgotten: [{ family: "IPv4", why: "unanswered", count: 12 }],
  conntrack: { entries: 10, limit: 100 },
  conntrackCounters: { insertFailed: 1, drop: 2, earlyDrop: 3, invalid: 4 },
  snatPortShare: 0.25,
  snatPortShareOpen: 0.125,
  podNetworksUncovered: [{ family: "IPv4", networks: 1 }],
  process: PROCESS,
};

const metrics = (follows = false, reports = false) =>
  createMetrics({ version: "v1", node_version: "v24", backend: "nftables" }, ["IPv4"], { follows, reports });
const SOURCES = {
  source: "cache",
  up: true,
  sessions: { ended: 3, dropped: 2, refused: 1, failed: 0 },
} as const satisfies Readings["sources"];

/** The samples that are exposed, without comments. */
async function samples(of: ReturnType<typeof metrics>, readings: Readings = READINGS): Promise<string[]> {
  const { body } = await of.render(readings);
  return body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("a pass and what is read, but for the histogram", async () => {
  const of = metrics();
  of.observe(PASS);
  of.queued(12);
  expect((await samples(of)).filter((line) => !line.includes("duration_seconds_"))).toMatchInlineSnapshot(`
    [
      "ip_masq_agent_sync_rules_last_timestamp_seconds 1000.003",
      "ip_masq_agent_sync_rules_last_queued_timestamp_seconds 12",
      "ip_masq_agent_sync_failures_total{reason="config"} 0",
      "ip_masq_agent_sync_failures_total{reason="source"} 0",
      "ip_masq_agent_sync_failures_total{reason="tool"} 0",
      "ip_masq_agent_sync_failures_total{reason="nftables"} 0",
      "ip_masq_agent_sync_failures_total{reason="netlink"} 0",
      "ip_masq_agent_sync_failures_total{reason="refused"} 0",
      "ip_masq_agent_config_valid 1",
      "ip_masq_agent_config_info{ip_family="IPv4",source="/c",hash="ab"} 1",
      "ip_masq_agent_config_read_last_info{hash="ab",source="/c",state="accepted"} 1",
      "ip_masq_agent_config_reloads_total{result="success"} 1",
      "ip_masq_agent_config_reloads_total{result="failure"} 0",
      "ip_masq_agent_rules_in_force{ip_family="IPv4"} 1",
      "ip_masq_agent_exempt_cidrs{ip_family="IPv4"} 4",
      "ip_masq_agent_cidr_set_intervals{ip_family="IPv4"} 3",
      "ip_masq_agent_output_addresses{ip_family="IPv4"} 1",
      "ip_masq_agent_build_info{version="v1",node_version="v24",backend="nftables"} 1",
      "ip_masq_agent_verdict_packets_total{ip_family="IPv4",verdict="keep"} 5",
      "ip_masq_agent_verdict_packets_total{ip_family="IPv4",verdict="masquerade"} 2",
      "ip_masq_agent_verdict_bytes_total{ip_family="IPv4",verdict="keep"} 300",
      "ip_masq_agent_verdict_bytes_total{ip_family="IPv4",verdict="masquerade"} 120",
      "ip_masq_agent_flows_forgotten_total{ip_family="IPv4",why="unanswered"} 12",
      "ip_masq_agent_conntrack_entries 10",
      "ip_masq_agent_conntrack_limit 100",
      "ip_masq_agent_snat_port_share 0.25",
      "ip_masq_agent_snat_port_share_open 0.125",
      "ip_masq_agent_pod_networks_uncovered{ip_family="IPv4"} 1",
      "ip_masq_agent_conntrack_insert_failed_total 1",
      "ip_masq_agent_conntrack_drop_total 2",
      "ip_masq_agent_conntrack_early_drop_total 3",
      "ip_masq_agent_conntrack_invalid_total 4",
      "process_cpu_seconds_total 1.5",
      "process_resident_memory_bytes 50000000",
      "process_start_time_seconds 7",
      "process_open_fds 20",
    ]
  `);
});

test("every series of the table is exposed, in the text format", async () => {
  const of = metrics(true, true);
  of.observe({ ...PASS, failures: ["tool"], healed: [{ kind: "missing", process: "nft", count: 1 }] });
  const labels = { pod_ip: "", remote: "8.8.8.8", port: "443", protocol: "tcp", node_address: "192.0.2.1" };
  const { type, body } = await of.render({
    ...READINGS,
    sources: SOURCES,
    snatPortsUsed: [{ labels, ports: 9 }],
  });
  expect(type).toContain("text/plain");
  const exposed = [...body.matchAll(/^# TYPE ip_masq_agent_(\S+)/gm)].map(([, name]) => name);
  expect(exposed.sort()).toEqual(Object.keys(SERIES).sort());
  for (const name of exposed) expect(body).toMatch(new RegExp(`^ip_masq_agent_${name}(_bucket)?[{ ]`, "m"));
});

test("only an agent that reports has series about that", async () => {
  const ofReports = async (reports: boolean) =>
    (
      await samples(metrics(false, reports), { ...READINGS, reports: { written: 3, refused: 2, failed: 1 } })
    ).filter((line) => line.includes("_reports_"));
  expect(await ofReports(false)).toEqual([]);
  expect(await ofReports(true)).toMatchInlineSnapshot(`
    [
      "ip_masq_agent_reports_total{result="written"} 3",
      "ip_masq_agent_reports_total{result="refused"} 2",
      "ip_masq_agent_reports_total{result="failed"} 1",
    ]
  `);
});

test("only an agent that follows the API server has series about it", async () => {
  const ofApi = async (follows: boolean) =>
    (await samples(metrics(follows), { ...READINGS, sources: SOURCES })).filter((line) =>
      /api_|config_source/.test(line),
    );
  expect(await ofApi(true)).toMatchInlineSnapshot(`
    [
      "ip_masq_agent_config_source{source="api"} 0",
      "ip_masq_agent_config_source{source="file"} 0",
      "ip_masq_agent_config_source{source="cache"} 1",
      "ip_masq_agent_api_up 1",
      "ip_masq_agent_api_sessions_total{result="ended"} 3",
      "ip_masq_agent_api_sessions_total{result="dropped"} 2",
      "ip_masq_agent_api_sessions_total{result="refused"} 1",
      "ip_masq_agent_api_sessions_total{result="failed"} 0",
    ]
  `);
  expect((await metrics().render(READINGS)).body).not.toMatch(/api_|config_source/);
});

test("a family without a known network of pods has no sample, also when it had one", async () => {
  const of = metrics();
  const lines = async (podNetworksUncovered: NonNullable<Readings["podNetworksUncovered"]>) =>
    (await samples(of, { ...READINGS, podNetworksUncovered })).filter((line) => line.includes("uncovered"));
  const IPv4 = { family: "IPv4", networks: 0 };
  expect(await lines([IPv4, { family: "IPv6", networks: 2 }])).toEqual([
    'ip_masq_agent_pod_networks_uncovered{ip_family="IPv4"} 0',
    'ip_masq_agent_pod_networks_uncovered{ip_family="IPv6"} 2',
  ]);
  expect(await lines([IPv4])).toEqual(['ip_masq_agent_pod_networks_uncovered{ip_family="IPv4"} 0']);
  expect(await lines([])).toEqual([]);
});

test("what the kernel does not tell has no sample", async () => {
  const lines = await samples(metrics(), { verdicts: [], forgotten: [], process: PROCESS });
  expect(lines.filter((line) => /verdict_|conntrack_|snat_/.test(line))).toEqual([]);
});

test("counters that are kept elsewhere are shown as they are, again and again", async () => {
  const of = metrics();
  await samples(of);
  const lines = await samples(of, {
    ...READINGS,
    conntrackCounters: { insertFailed: 9, drop: 2, earlyDrop: 3, invalid: 4 },
  });
  expect(lines).toContain("ip_masq_agent_conntrack_insert_failed_total 9");
  expect(lines).toContain('ip_masq_agent_verdict_packets_total{ip_family="IPv4",verdict="keep"} 5');
  expect(lines).toContain("process_cpu_seconds_total 1.5");
});

test("those who hold most ports have series for as long as they do", async () => {
  const of = metrics();
  const labels = {
    pod_ip: "10.1.0.2",
    remote: "8.8.8.8",
    port: "443",
    protocol: "tcp",
    node_address: "192.0.2.1",
  };
  const own = { ...labels, pod_ip: "" };
  const used = async (snatPortsUsed: Readings["snatPortsUsed"]) => {
    const lines = await samples(of, { ...READINGS, ...(snatPortsUsed && { snatPortsUsed }) });
    return lines.filter((line) => line.includes("snat_ports_used"));
  };
  expect(
    await used([
      { labels, ports: 40_000 },
      { labels: own, ports: 7 },
    ]),
  ).toEqual([
    'ip_masq_agent_snat_ports_used{pod_ip="10.1.0.2",remote="8.8.8.8",port="443",protocol="tcp",node_address="192.0.2.1"} 40000',
    'ip_masq_agent_snat_ports_used{pod_ip="",remote="8.8.8.8",port="443",protocol="tcp",node_address="192.0.2.1"} 7',
  ]);
  expect(await used([{ labels: own, ports: 8 }])).toHaveLength(1);
  expect(await used(undefined)).toEqual([]);
});

describe("the configuration", () => {
  test("a bad one is counted, and the good one's digest stays", async () => {
    const of = metrics();
    of.observe(PASS);
    of.observe({
      ...PASS,
      errors: ["bad"],
      failures: ["config"],
      config: { source: "/c", hash: "cd", state: "refused", problems: ["bad"], isNew: true },
    });
    const lines = await samples(of);
    expect(lines).toContain("ip_masq_agent_config_valid 0");
    expect(lines).toContain('ip_masq_agent_config_info{ip_family="IPv4",source="/c",hash="ab"} 1');
    expect(lines).toContain('ip_masq_agent_config_read_last_info{hash="cd",source="/c",state="refused"} 1');
    expect(lines).toContain('ip_masq_agent_config_reloads_total{result="success"} 1');
    expect(lines).toContain('ip_masq_agent_config_reloads_total{result="failure"} 1');
    expect(lines).toContain('ip_masq_agent_sync_failures_total{reason="config"} 1');
  });

  test("another one has one sample only", async () => {
    const of = metrics();
    of.observe(PASS);
    of.observe({
      ...PASS,
      config: { ...PASS.config, hash: "cd" },
      current: { source: "/c", hash: "cd" },
    });
    expect((await samples(of)).filter((line) => line.includes("_info{"))).toEqual([
      'ip_masq_agent_config_info{ip_family="IPv4",source="/c",hash="cd"} 1',
      'ip_masq_agent_config_read_last_info{hash="cd",source="/c",state="accepted"} 1',
      'ip_masq_agent_build_info{version="v1",node_version="v24",backend="nftables"} 1',
    ]);
  });
});

test("a backend that changes has one sample, too", async () => {
  const of = metrics();
  of.observe({ ...PASS, backend: { name: "iptables", why: "" } });
  expect((await samples(of)).filter((line) => line.includes("build_info"))).toEqual([
    'ip_masq_agent_build_info{version="v1",node_version="v24",backend="iptables"} 1',
  ]);
});

test("there are never more than so many processes", async () => {
  const of = metrics();
  for (let i = 0; i < 500; i++)
    of.observe({ ...PASS, healed: [{ kind: "missing", process: `p${i}`, count: 1 }] });
  const lines = (await samples(of)).filter((line) => line.includes("drift_healed_total"));
  expect(lines).toHaveLength(21);
  expect(lines).toContain('ip_masq_agent_drift_healed_total{kind="missing",process="others"} 480');
});

test("a name cannot break out of its label", async () => {
  const of = metrics();
  of.observe({ ...PASS, healed: [{ kind: "missing", process: 'a"} 1\nevil', count: 1 }] });
  expect((await samples(of)).filter((line) => line.startsWith("evil"))).toEqual([]);
});
