/**
 * The view of a running agent for operators: it records each pass, and answers over HTTP. The loop depends on nothing
 * here, and no request from outside starts a pass.
 */

import { readdirSync } from "node:fs";
import { hostname } from "node:os";
import { renderConfig } from "../agent/config/holder.ts";
import type { SourcesView } from "../agent/config/two-sources.ts";
import type { ReportCounts } from "../agent/fleet/report-log.ts";
import type { ForgottenCount } from "../agent/forgetting.ts";
import type { Healing } from "../agent/group.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import type { Reason } from "../agent/triggers.ts";
import { createAskedEntries } from "../backend/asked-entries.ts";
import { type Driver, isFailure } from "../backend/driver.ts";
import { createVerdictCounters, type VerdictCount } from "../backend/verdict-counters.ts";
import type { Family } from "../core/cidr.ts";
import type { PortRange } from "../core/ports.ts";
import { keptIntervals } from "../nftables/sets.ts";
import type { Metrics, Readings } from "./metrics.ts";
import type { PageView } from "./page/view.ts";
import { describePass } from "./pass-report.ts";
import { createPressureReader } from "./pressure.ts";
import { jsonReply, plainReply, type Reply, type Routes } from "./reply.ts";
import {
  type Healed,
  initialStatus,
  type NeverAsked,
  type PassReport,
  type PassStatus,
  type Status,
  statusAfter,
} from "./status.ts";
import { renderFlagz, renderStatusz } from "./zpages.ts";

export interface MonitorWorld {
  readonly build: { readonly version: string; readonly node: string };
  /** The current backend: with `--backend=auto` it may change. */
  readonly backend: () => Status["backend"];
  readonly families: readonly Family[];
  readonly driver: Pick<Driver, "counters">;
  readonly metrics: Metrics;
  readonly toPorts: () => readonly PortRange[];
  /** The flows whose entries were deleted since the start. */
  readonly forgotten: () => readonly ForgottenCount[];
  readonly sources?: () => SourcesView;
  /** With --report. */
  readonly reports?: () => ReportCounts;
  /** Counts the networks of pods that are not among the destinations which rules in force keep. */
  readonly uncovered: (kept: PageView["kept"]) => Promise<NonNullable<Readings["podNetworksUncovered"]>>;
  /** Each flag's name and printed value. */
  readonly flags: readonly (readonly [name: string, printed: string])[];
  /** When the process started, in milliseconds since 1970. */
  readonly startedAt: number;
  /** Milliseconds since 1970, and ones that never jump. */
  readonly epoch: () => number;
  readonly now: () => number;
}

export interface Monitor {
  readonly report: (outcome: PassOutcome, reason: Reason) => void;
  /** Call this when a pass begins. */
  readonly queued: () => void;
  /** Reads the counters of our rules, which a change of the rules may reset. */
  readonly sample: () => Promise<void>;
  readonly routes: Routes;
}

/** The time beyond two resync intervals after which a silent loop counts as dead: tools may use up their deadline. */
const SILENCE_MS = 120_000;
/** The number of passes and differences that are remembered. */
const REMEMBERED = 20;

/** The answers that read the counters of our rules. */
interface Counting {
  readonly totals: () => Promise<readonly VerdictCount[]>;
  readonly neverAsked: () => Promise<readonly NeverAsked[]>;
}

/** The results of the passes so far. */
interface Seen {
  status: Status;
  last: PassOutcome | undefined;
  passes: readonly PassStatus[];
  healed: readonly Healed[];
  /** When the last pass ended. */
  beat: number;
  isReady: boolean;
}

/** A monitor of an agent that starts now. */
export function createMonitor(world: MonitorWorld): Monitor {
  const { build, driver, metrics, startedAt, epoch, now } = world;
  const verdicts = createVerdictCounters();
  const asked = createAskedEntries();
  const seen: Seen = {
    status: initialStatus(build.version, world.backend(), startedAt),
    last: undefined,
    passes: [],
    healed: [],
    beat: now(),
    isReady: false,
  };
  const read = async (isLast: boolean) => {
    try {
      const counters = await driver.counters?.();
      verdicts.read(counters?.verdicts ?? []);
      asked.read(counters?.entries, now(), isLast);
    } catch (error) {
      // The next pass reports the error.
      if (!isFailure(error)) throw error;
    }
  };
  const totals = async () => {
    await read(false);
    return verdicts.totals();
  };
  const neverAsked = async () => {
    await read(false);
    return asked.unasked(now()).map(({ cidr, forMs }) => ({ cidr, since: minuteText(epoch() - forMs) }));
  };
  return {
    report(outcome, reason) {
      const pass = describePass(outcome, reason, epoch() - outcome.durationMs, world.backend());
      note(seen, pass, outcome, now());
      metrics.observe(pass);
    },
    queued: () => metrics.queued(epoch() / 1000),
    sample: () => read(true),
    routes: { ...probes(seen, now), ...createPages(world, seen, { totals, neverAsked }) },
  };
}

function note(seen: Seen, pass: PassReport, outcome: PassOutcome, now: number): void {
  seen.beat = now;
  seen.last = outcome;
  seen.isReady ||= outcome.groups.length > 0 && outcome.groups.every(({ inForce }) => inForce);
  seen.status = statusAfter(seen.status, pass);
  const { lastPass } = seen.status;
  if (lastPass !== null) seen.passes = [lastPass, ...seen.passes].slice(0, REMEMBERED);
  const healed = outcome.healed.flatMap((one) => describeHealed(one, lastPass?.at ?? ""));
  seen.healed = [...healed, ...seen.healed].slice(0, REMEMBERED);
}

/** The kubelet's probes. */
function probes(seen: Seen, now: () => number): Routes {
  const isAlive = () => alive(now() - seen.beat, seen.last);
  return {
    "/healthz": isAlive,
    "/livez": isAlive,
    "/readyz": () =>
      seen.isReady
        ? plainReply(200, "ok\n")
        : plainReply(503, `not ready: ${whyNotReady(seen.status, seen.last)}\n`),
  };
}

/** The pages for people and Prometheus; `totals` and `neverAsked` read the counters. */
function createPages(world: MonitorWorld, seen: Seen, { totals, neverAsked }: Counting): Routes {
  const { build, metrics, startedAt, epoch } = world;
  const pressure = createPressureReader(world.toPorts, world.now);
  const configz = createConfigz(world.flags);
  return {
    "/metrics": async () => {
      const verdicts = await totals();
      const { busiest: _, ...read } = await pressure();
      const kept = keptByFamily(world.families, seen.last?.groups ?? []);
      const podNetworksUncovered = await world.uncovered(kept);
      const counted = { verdicts, forgotten: world.forgotten(), process: ofProcess(startedAt) };
      const api = {
        ...(world.sources && { sources: world.sources() }),
        ...(world.reports && { reports: world.reports() }),
      };
      const { type, body } = await metrics.render({ ...read, ...counted, podNetworksUncovered, ...api });
      return { code: 200, type, body };
    },
    "/": async () => {
      // Often no one opens the page, so we load it on the first request.
      const { renderPage } = await import("./page/page.ts");
      const counters = await totals();
      const { status, last, passes, healed } = seen;
      const view: PageView = {
        ...{ status, counters, passes, healed },
        at: new Date(epoch()).toISOString(),
        host: hostname(),
        nodeVersion: build.node,
        kept: keptByFamily(world.families, last?.groups ?? []),
        pressure: await pressure(),
      };
      return { code: 200, type: "text/html; charset=utf-8", body: renderPage(view) };
    },
    "/status": async () => {
      const unasked = await neverAsked();
      const { status, passes, healed } = seen;
      const more = {
        ...(world.sources && { api: world.sources() }),
        ...(unasked.length > 0 && { neverAsked: unasked }),
        recent: { passes, healed },
      };
      return jsonReply({ ...status, ...more } satisfies Status);
    },
    "/configz": () => configz(seen.last?.current, seen.status.config.inForce?.families ?? []),
    "/statusz": () => plainReply(200, renderStatusz({ ...build, startedAt, now: epoch() })),
    "/flagz": () => plainReply(200, renderFlagz(world.flags)),
  };
}

/** A long list takes tens of milliseconds to write, and is the same until the configuration changes. */
function createConfigz(flagValues: MonitorWorld["flags"]) {
  let shown: { current: PassOutcome["current"]; families: string; reply: Reply } | undefined;
  return (current: PassOutcome["current"], inForce: readonly string[]): Reply => {
    const families = inForce.join();
    if (shown === undefined || shown.current !== current || shown.families !== families) {
      const config = current === undefined ? null : JSON.parse(renderConfig(current.config));
      const { source = null, hash = null } = current ?? {};
      const flags = Object.fromEntries(flagValues);
      shown = { current, families, reply: jsonReply({ flags, source, hash, inForce, config }) };
    }
    return shown.reply;
  };
}

function whyNotReady({ lastPass }: Status, last: PassOutcome | undefined): string {
  const underWay = last?.groups.find(({ isUnderWay }) => isUnderWay);
  const waiting = underWay && `the tools for ${underWay.label} are still at work`;
  return lastPass?.errors[0] ?? waiting ?? "no pass yet";
}

/** A user's bad configuration is not a reason to kill the agent: only a loop that hangs is. */
function alive(silentMs: number, last: PassOutcome | undefined): Reply {
  const limit = 2 * (last?.resyncIntervalMs ?? 0) + SILENCE_MS;
  if (silentMs <= limit) return plainReply(200, "ok\n");
  return plainReply(500, `the loop hangs: no pass for ${Math.round(silentMs / 1000)} s\n`);
}

/** Only from rules seen in force: the configuration of other families may not be true of the kernel. */
function keptByFamily(families: readonly Family[], groups: PassOutcome["groups"]): PageView["kept"] {
  const rulesets = groups.flatMap((group) => (group.inForce ? group.rulesets : []));
  return Object.fromEntries(
    families.map((family) => {
      const ruleset = rulesets.find((one) => one.family === family);
      return [family, ruleset === undefined ? null : keptIntervals(ruleset)];
    }),
  );
}

function describeHealed({ drift, attribution }: Healing, at: string): Healed[] {
  const commit = attribution?.commits.at(-1);
  const culprit = commit === undefined ? null : { process: commit.process, pid: commit.pid };
  return drift.map(({ where, kind }) => ({ at, where, kind, culprit }));
}

/** The next whole minute: two clocks make it, and nothing must be said of a time before it. */
function minuteText(ms: number): string {
  return new Date(Math.ceil(ms / 60_000) * 60_000).toISOString();
}

function ofProcess(startedAt: number): Readings["process"] {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    startedAtSeconds: startedAt / 1000,
    openFds: readdirSync("/proc/self/fd").length,
  };
}
