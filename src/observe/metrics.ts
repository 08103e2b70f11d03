/**
 * The agent's series, on prom-client. Named after kube-proxy's where they mean the same (pkg/proxy/metrics of
 * k8s.io/kubernetes), so that dashboards only need a different prefix.
 */

import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import type { SourcesView } from "../agent/config/two-sources.ts";
import type { ReportCounts } from "../agent/fleet/report-log.ts";
import type { VerdictCount } from "../backend/verdict-counters.ts";
import { SERIES } from "./series.ts";
import type { PassReport } from "./status.ts";

const PREFIX = "ip_masq_agent_";

/** kube-proxy's buckets: 1 ms, doubled 14 times. */
const BUCKETS = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

type HolderLabel = (typeof SERIES)["snat_ports_used"]["labels"][number];

/** Values read on demand. A value that the kernel does not give is absent. */
export interface Readings {
  readonly verdicts: readonly VerdictCount[];
  readonly forgotten: readonly { readonly family: string; readonly why: string; readonly count: number }[];
  readonly conntrack?: { readonly entries: number; readonly limit: number };
  readonly conntrackCounters?: {
    readonly insertFailed: number;
    readonly drop: number;
    readonly earlyDrop: number;
    readonly invalid: number;
  };
  /** From 0 to 1. */
  readonly snatPortShare?: number;
  readonly snatPortShareOpen?: number;
  /** A few of the largest holders of ports. */
  readonly snatPortsUsed?: readonly {
    readonly labels: Readonly<Record<HolderLabel, string>>;
    readonly ports: number;
  }[];
  /** With --config-map. */
  readonly sources?: Pick<SourcesView, "source" | "up" | "sessions">;
  /** With --report. */
  readonly reports?: ReportCounts;
  /** Of each family of which networks of pods are known. */
  readonly podNetworksUncovered?: readonly { readonly family: string; readonly networks: number }[];
  readonly process: {
    readonly cpuSeconds: number;
    readonly residentBytes: number;
    readonly startedAtSeconds: number;
    readonly openFds: number;
  };
}

export interface Metrics {
  /** Records a pass. */
  readonly observe: (pass: PassReport) => void;
  /** Records the start of a pass, in seconds since 1970. */
  readonly queued: (atSeconds: number) => void;
  /** The exposition, with the readings of this moment. */
  readonly render: (readings: Readings) => Promise<{ readonly type: string; readonly body: string }>;
}

type Name = keyof typeof SERIES;
type NameOf<Type> = { [N in Name]: (typeof SERIES)[N]["type"] extends Type ? N : never }[Name];

interface Build {
  readonly version: string;
  readonly node_version: string;
  readonly backend: string;
}

const REASONS = ["config", "source", "tool", "nftables", "netlink", "refused"];

type CounterMaker = (name: NameOf<"counter">) => Counter<string>;
type GaugeMaker = (name: NameOf<"gauge">) => Gauge<string>;

/** How an agent uses the API server. */
interface ApiUse {
  readonly follows?: boolean;
  readonly reports?: boolean;
}

/** The series of an agent with this build, for these families. */
export function createMetrics(build: Build, families: readonly string[], api: ApiUse = {}): Metrics {
  const registry = new Registry();
  const options = (name: Name) => ({
    name: PREFIX + name,
    help: SERIES[name].help,
    labelNames: [...SERIES[name].labels],
    registers: [registry],
  });
  const counter: CounterMaker = (name) => new Counter(options(name));
  const gauge: GaugeMaker = (name) => new Gauge(options(name));
  const duration = new Histogram({ ...options("sync_rules_duration_seconds"), buckets: BUCKETS });
  const last = gauge("sync_rules_last_timestamp_seconds");
  const lastQueued = gauge("sync_rules_last_queued_timestamp_seconds");
  const observe = createPassSeries(build, families, counter, gauge);
  const renderReadings = createReadings(registry, counter, gauge);
  const renderSources = api.follows ? createSourceSeries(counter, gauge) : () => {};
  const renderReports = api.reports ? createReportSeries(counter) : () => {};
  return {
    observe(pass) {
      duration.observe(pass.durationMs / 1000);
      if (pass.errors.length === 0) last.set((pass.at + pass.durationMs) / 1000);
      observe(pass);
    },
    queued: (at) => lastQueued.set(at),
    async render(readings) {
      renderReadings(readings);
      renderSources(readings.sources);
      renderReports(readings.reports);
      return { type: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** The findings and results of a pass, without its time. */
function createPassSeries(
  build: Build,
  families: readonly string[],
  counter: CounterMaker,
  gauge: GaugeMaker,
): (pass: PassReport) => void {
  const failures = counter("sync_failures_total");
  const configValid = gauge("config_valid");
  const configInfo = gauge("config_info");
  const readLastInfo = gauge("config_read_last_info");
  const reloads = counter("config_reloads_total");
  const inForce = gauge("rules_in_force");
  const healed = counter("drift_healed_total");
  const cidrs = gauge("exempt_cidrs");
  const intervals = gauge("cidr_set_intervals");
  const addresses = gauge("output_addresses");
  const buildInfo = gauge("build_info");
  buildInfo.set({ ...build }, 1);
  // Every label value exists from the start: rate() does not see a series' first sample.
  for (const reason of REASONS) failures.inc({ reason }, 0);
  for (const result of ["success", "failure"]) reloads.inc({ result }, 0);
  for (const family of families) inForce.set({ ip_family: family }, 0);
  const bounded = boundNames();
  return (pass) => {
    for (const reason of pass.failures) failures.inc({ reason });
    buildInfo.reset();
    buildInfo.set({ ...build, backend: pass.backend.name }, 1);
    const { state, hash, source, isNew } = pass.config;
    configValid.set(state === "accepted" ? 1 : 0);
    readLastInfo.reset();
    readLastInfo.set({ hash: hash ?? "", source, state }, 1);
    if (isNew) reloads.inc({ result: state === "accepted" ? "success" : "failure" });
    configInfo.reset();
    for (const family of families) {
      const labels = { ip_family: family };
      const found = pass.families.find((one) => one.family === family && one.inForce);
      inForce.set(labels, found === undefined ? 0 : 1);
      show(cidrs, found?.cidrs, labels);
      show(addresses, pass.leaving.find((one) => one.family === family)?.addresses.length, labels);
      show(intervals, found?.intervals, labels);
      if (found !== undefined && pass.current !== null) configInfo.set({ ...labels, ...pass.current }, 1);
    }
    for (const { kind, process, count } of pass.healed)
      healed.inc({ kind, process: bounded(process) }, count);
  };
}

/** The number of processes with their own series; the rest share one, whatever they call themselves. */
const PROCESSES_AT_MOST = 20;

function boundNames(): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    if (known.size < PROCESSES_AT_MOST) known.add(name);
    return known.has(name) ? name : "others";
  };
}

/** Series whose values are read on demand. */
function createReadings(
  registry: Registry,
  counter: CounterMaker,
  gauge: GaugeMaker,
): (readings: Readings) => void {
  const packets = counter("verdict_packets_total");
  const bytes = counter("verdict_bytes_total");
  const forgottenFlows = counter("flows_forgotten_total");
  const entries = gauge("conntrack_entries");
  const limit = gauge("conntrack_limit");
  const share = gauge("snat_port_share");
  const openShare = gauge("snat_port_share_open");
  const used = gauge("snat_ports_used");
  const uncovered = gauge("pod_networks_uncovered");
  const insertFailed = counter("conntrack_insert_failed_total");
  const drop = counter("conntrack_drop_total");
  const earlyDrop = counter("conntrack_early_drop_total");
  const invalid = counter("conntrack_invalid_total");
  const ofProcess = processSeries(registry);
  return ({
    verdicts,
    forgotten,
    conntrack,
    conntrackCounters,
    podNetworksUncovered = [],
    process,
    ...ports
  }) => {
    for (const one of verdicts) {
      const labels = { ip_family: one.family, verdict: one.verdict };
      raise(packets, one.packets, labels);
      raise(bytes, one.bytes, labels);
    }
    for (const { family, why, count } of forgotten) raise(forgottenFlows, count, { ip_family: family, why });
    show(entries, conntrack?.entries);
    show(limit, conntrack?.limit);
    show(share, ports.snatPortShare);
    show(openShare, ports.snatPortShareOpen);
    used.reset();
    for (const { labels, ports: count } of ports.snatPortsUsed ?? []) used.set(labels, count);
    uncovered.reset();
    for (const { family, networks } of podNetworksUncovered) uncovered.set({ ip_family: family }, networks);
    raise(insertFailed, conntrackCounters?.insertFailed);
    raise(drop, conntrackCounters?.drop);
    raise(earlyDrop, conntrackCounters?.earlyDrop);
    raise(invalid, conntrackCounters?.invalid);
    ofProcess(process);
  };
}

/** Series of the sources of a configuration. */
function createSourceSeries(
  counter: CounterMaker,
  gauge: GaugeMaker,
): (sources: Readings["sources"]) => void {
  const from = gauge("config_source");
  const up = gauge("api_up");
  const sessions = counter("api_sessions_total");
  return (sources) => {
    if (sources === undefined) return;
    for (const source of ["api", "file", "cache"]) from.set({ source }, source === sources.source ? 1 : 0);
    up.set(sources.up ? 1 : 0);
    for (const [result, count] of Object.entries(sources.sessions)) raise(sessions, count, { result });
  };
}

function createReportSeries(counter: CounterMaker): (counts: Readings["reports"]) => void {
  const reports = counter("reports_total");
  return (counts = { written: 0, refused: 0, failed: 0 }) => {
    for (const [result, count] of Object.entries(counts)) raise(reports, count, { result });
  };
}

/** The series that every client library has, without a prefix (prometheus.io/docs/instrumenting/writing_clientlibs). */
function processSeries(registry: Registry): (process: Readings["process"]) => void {
  const registers = [registry];
  const of = (name: string, help: string) => ({ name, help, registers });
  const cpu = new Counter(of("process_cpu_seconds_total", "User and system processor time in seconds."));
  const resident = new Gauge(of("process_resident_memory_bytes", "Resident memory in bytes."));
  const start = new Gauge(
    of("process_start_time_seconds", "When the process started, in seconds since 1970."),
  );
  const fds = new Gauge(of("process_open_fds", "Open file descriptors."));
  return ({ cpuSeconds, residentBytes, startedAtSeconds, openFds }) => {
    raise(cpu, cpuSeconds);
    resident.set(residentBytes);
    start.set(startedAtSeconds);
    fds.set(openFds);
  };
}

/** Sets a counter to a total from elsewhere. An unknown total has no sample. */
function raise(
  counter: Counter<string>,
  total: number | undefined,
  labels: Record<string, string> = {},
): void {
  if (Object.keys(labels).length === 0) counter.reset();
  else counter.remove(labels);
  if (total === undefined) counter.remove();
  else counter.inc(labels, total);
}

function show(gauge: Gauge<string>, value: number | undefined, labels: Record<string, string> = {}): void {
  if (value === undefined) gauge.remove(labels);
  else gauge.set(labels, value);
}
