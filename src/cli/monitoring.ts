/**
 * The monitor of a running agent and its HTTP server, as `run` uses them. Loaded when the first pass is over, so that
 * rules are in force no later for it, or when that takes long: a probe must not take an agent for dead whose tools
 * hang. Switched off, they cost nothing.
 */

import type { Logger } from "../log/log.ts";
import type { Monitor, MonitorWorld } from "../observe/monitor.ts";
import { systemClock } from "../system/clock.ts";
import { VERSION } from "./version.ts";

interface Monitored
  extends Pick<
    MonitorWorld,
    "backend" | "driver" | "families" | "toPorts" | "forgotten" | "flags" | "sources" | "reports"
  > {
  /** The address to serve at; empty: none. */
  readonly address: string;
  readonly log: Logger;
}

/** How long rules come first at the start. */
const AT_THE_LATEST_MS = 500;

/** A monitor that is loaded when it is first used, or soon; undefined if it is switched off. */
export function createMonitoring(
  monitored: Monitored,
  signal: AbortSignal,
): Pick<Monitor, "report" | "queued" | "sample"> | undefined {
  if (monitored.address === "") return undefined;
  let loading: Promise<Monitor> | undefined;
  const using = (use: (monitor: Monitor) => void) => {
    loading ??= load(monitored, signal);
    soon.abort();
    void loading.then(use);
  };
  const soon = new AbortController();
  void systemClock
    .sleep(AT_THE_LATEST_MS, AbortSignal.any([signal, soon.signal]))
    .then(() => signal.aborted || using(() => {}));
  return {
    report: (outcome, reason) => using((monitor) => monitor.report(outcome, reason)),
    // The first pass loads nothing, although it was requested, too.
    queued: () => void loading?.then((monitor) => monitor.queued()),
    sample: async () => (await loading)?.sample(),
  };
}

async function load({ address, log, ...world }: Monitored, signal: AbortSignal): Promise<Monitor> {
  const { createMonitor } = await import("../observe/monitor.ts");
  const { createMetrics } = await import("../observe/metrics.ts");
  const { serve } = await import("../observe/server.ts");
  const { createUncoveredReader } = await import("../doctor/uncovered.ts");
  const build = { version: VERSION, node: process.version };
  const monitor = createMonitor({
    ...world,
    build,
    uncovered: createUncoveredReader(systemClock.now),
    metrics: createMetrics(
      { version: VERSION, node_version: process.version, backend: world.backend().name },
      world.families,
      { follows: world.sources !== undefined, reports: world.reports !== undefined },
    ),
    startedAt: performance.timeOrigin,
    // The wall clock: it may be set after a start at boot, and times compared with it must follow.
    epoch: Date.now,
    now: systemClock.now,
  });
  void serve(address, monitor.routes, { log, sleep: systemClock.sleep }, signal);
  return monitor;
}
