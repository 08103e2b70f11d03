/**
 * Reports the node's state to the whole cluster (--report=lease): in its node's Lease, and in one Event for all nodes on a ConfigMap
 * that is refused. No pass waits for it.
 */
import type { Identity } from "../../api/identity.ts";
import type { Located } from "../../api/service-account.ts";
import { nameOfConfigMap } from "../../core/configmap/flag.ts";
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../../system/clock.ts";
import type { KnownConfigMap } from "../config/heard-maps.ts";
import type { PassOutcome } from "../reconcile.ts";
import { type SeenState, stateAfter } from "./node-state.ts";
import { eventOf, type FleetEvent, leaseName, type NodeReport, type Refusal } from "./objects.ts";
import { createReportLog, type ReportCounts } from "./report-log.ts";
import { createSpreadWriter, type SpreadWriterWorld } from "./spread-writer.ts";
import { createLeaseWrite, createSend, writeEvent } from "./writes.ts";

export interface LeaseReportWorld extends Pick<Clock, "sleep"> {
  readonly located: Located;
  readonly identity: Identity;
  readonly version: string;
  readonly backend: () => string;
  /** The ConfigMaps that the text which counts is from (two-sources.ts). */
  readonly configMaps: () => readonly KnownConfigMap[];
  /** Milliseconds since 1970. */
  readonly epoch: () => number;
  /** From [0, 1). */
  readonly random: () => number;
  readonly log: Pick<Logger, "info" | "warning">;
  /** Called when a connection has ended. */
  readonly closed: () => void;
  /** The time for an answer. */
  readonly answerMs?: number;
}

export interface LeaseReport {
  /** Call it after each pass. */
  readonly after: (outcome: PassOutcome, fightMs: number) => void;
  readonly counts: () => ReportCounts;
}

/** Reports until `signal` is aborted. */
export function createLeaseReport(world: LeaseReportWorld, signal: AbortSignal): LeaseReport {
  const { located, identity, version, log, sleep, random } = world;
  const { node, pod } = identity;
  const reportLog = createReportLog(log);
  if (!located.ok || node === undefined) {
    const why = located.ok
      ? "the node's name is not known: neither the token nor NODE_NAME has it"
      : located.why;
    log.warning(`cannot report (--report=lease): ${why}`);
    return { after: () => {}, counts: reportLog.counts };
  }
  const { namespace, server } = located;
  const send = createSend(server, signal, world.closed, world.answerMs);
  const writerOf = <Value>(object: string, one: Pick<SpreadWriterWorld<Value>, "write" | "keyOf">) =>
    createSpreadWriter({ ...one, ...reportLog.of(object), sleep, random }, signal);
  const lease = writerOf<NodeReport>(`lease ${namespace}/${leaseName(node)}`, {
    write: createLeaseWrite(send, { node, pod, namespace, version }),
    keyOf: ({ state, config, why }) => [state, config, why].join("\n"),
  });
  const event = writerOf<FleetEvent>("an event of the ConfigMap", {
    write: (one) => writeEvent(send, one),
    keyOf: ({ metadata, count }) => `${metadata.name} ${count}`,
  });
  return { after: createAfter(world, lease.want, event.want), counts: reportLog.counts };
}

/** Returns what to call after each pass. */
function createAfter(
  { backend, configMaps, epoch, random }: LeaseReportWorld,
  wantLease: (report: NodeReport) => void,
  wantEvent: (event: FleetEvent | undefined) => void,
): LeaseReport["after"] {
  let seen: SeenState | undefined;
  const refusalOf = createRefusals(random);
  return (outcome, fightMs) => {
    const before = seen?.said;
    seen = stateAfter(seen, outcome, fightMs);
    const { said } = seen;
    const now = epoch();
    const maps = configMaps();
    // The time in it is that of the change.
    if (before?.state !== said.state || before.config !== said.config || before.why !== said.why) {
      const at = new Date(now).toISOString().replace("Z", "000Z");
      wantLease({ ...said, at, backend: backend(), resourceVersion: maps[0]?.version });
    }
    const refused = said.state === "refused" ? (maps.find(isAbout(said.why)) ?? maps[0]) : undefined;
    const why = said.why.replace(`${refused && nameOfConfigMap(refused)} `, "");
    wantEvent(refused && eventOf(refused, why, refusalOf(refused, now)));
  };
}

/**
 * An API server forgets an Event after an hour (--event-ttl). So nodes that still refuse the version write it again then: the first one
 * succeeds, the others find it there. They do not all try at once, nor before that, which would change nothing.
 */
const FORGOTTEN_MS = 61 * 60_000;
const SPREAD_MS = 9 * 60_000;

function createRefusals(random: () => number): (map: KnownConfigMap, now: number) => Refusal {
  let last = { version: "", since: 0, againMs: 0 };
  return ({ uid, version: own }, now) => {
    const version = `${uid} ${own}`;
    if (version !== last.version)
      last = { version, since: now, againMs: FORGOTTEN_MS + SPREAD_MS * random() };
    const { since, againMs } = last;
    return { since, now, count: 1 + Math.max(0, Math.floor((now - since) / againMs)) };
  };
}

/** Problems begin with the name of their ConfigMap. */
function isAbout(why: string): (map: KnownConfigMap) => boolean {
  return (map) => why.startsWith(`${nameOfConfigMap(map)} `);
}
