/** The tasks of `run` beside its passes; each part is loaded only with the flag or the keys that ask for it. */

import type { LeaseReport, LeaseReportWorld } from "../agent/fleet/lease-report.ts";
import type { ReportCounts } from "../agent/fleet/report-log.ts";
import type { Forgetting, ForgottenCount } from "../agent/forgetting.ts";
import type { OutputAddresses } from "../agent/output-addresses.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import { createAside } from "../agent/turns.ts";
import type { PodNetwork } from "../doctor/pod-networks.ts";
import type { Logger } from "../log/log.ts";
import { systemClock } from "../system/clock.ts";

/** Forgets flows (forgetting.ts). */
export interface Forget {
  /** Call it after each pass. */
  readonly after: (outcome: PassOutcome) => void;
  /** How many flows were forgotten since the start. */
  readonly totals: () => readonly ForgottenCount[];
  /** Waits for the end of what it has begun. */
  readonly over: () => Promise<void>;
}

export function createForget(
  isUnanswered: boolean,
  addresses: OutputAddresses,
  log: Logger,
  signal: AbortSignal,
): Forget {
  const aside = createAside(() => {});
  let loading: Promise<Forgetting> | undefined;
  let loaded: Forgetting | undefined;
  const load = async () => {
    // All of it now: when an address goes, there is no time to load.
    const [{ createForgetting }, { openDeletion }, { readNodeAddresses }] = await Promise.all([
      import("../agent/forgetting.ts"),
      import("../conntrack/conntrack.ts"),
      import("../system/node-addresses.ts"),
    ]);
    loaded = createForgetting(
      {
        ...systemClock,
        goesOn: aside.goesOn,
        isUnanswered,
        addresses,
        readAddresses: readNodeAddresses,
        open: openDeletion,
        log: log.named("agent/forgetting.ts"),
      },
      signal,
    );
    return loaded;
  };
  return {
    after(outcome) {
      if (!isUnanswered && outcome.leaving.length === 0 && loading === undefined) return;
      loading ??= load();
      void loading.then(({ after }) => after(outcome));
    },
    totals: () => loaded?.totals() ?? [],
    over: aside.over,
  };
}

/** The report of --report=lease. */
export interface Reporting {
  /** Call it after each pass. */
  readonly after: LeaseReport["after"];
  /** The writes since the start. */
  readonly counts: () => ReportCounts;
}

/** A report that is loaded after the first pass; undefined if it is switched off. */
export function createReporting(
  kind: "none" | "lease",
  world: Pick<LeaseReportWorld, "version" | "backend" | "configMaps" | "log">,
  signal: AbortSignal,
): Reporting | undefined {
  if (kind === "none") return undefined;
  let loading: Promise<LeaseReport> | undefined;
  let loaded: LeaseReport | undefined;
  const load = async () => {
    const { openLeaseReport } = await import("../agent/fleet/open.ts");
    loaded = openLeaseReport(world, signal);
    return loaded;
  };
  return {
    after(outcome, fightMs) {
      loading ??= load();
      void loading.then(({ after }) => after(outcome, fightMs));
    },
    counts: () => loaded?.counts() ?? { written: 0, refused: 0, failed: 0 },
  };
}

/**
 * Returns what to call after each pass. Once for each configuration it asks the node's links and routes, and warns: pods of a network that
 * is left out have no way to the internet.
 */
export function createSourceWarning(
  log: Logger,
  read: () => Promise<readonly PodNetwork[]> = readNetworks,
): (outcome: PassOutcome) => Promise<void> {
  let last: PassOutcome["current"];
  return async ({ current, groups }) => {
    const rulesets = groups
      .flatMap((group) => (group.inForce ? group.rulesets : []))
      .filter(({ scope }) => scope !== undefined && scope.sources.length > 0);
    if (rulesets.length === 0 || current === last) return;
    last = current;
    const { describeSources } = await import("../doctor/checks/node/sources.ts");
    const networks = (await read()).filter(({ isLocal }) => isLocal);
    for (const ruleset of rulesets) {
      const { family } = ruleset;
      const own = networks.filter(({ cidr }) => cidr.family === family);
      for (const { severity, message, remedy } of describeSources(own, ruleset))
        if (severity === "error") log.with({ family }).warning(`${family}: ${message}: ${remedy}`);
    }
  };
}

/** None where they cannot be read: the warning is an extra. */
async function readNetworks(): Promise<readonly PodNetwork[]> {
  const { readLinks } = await import("../doctor/read-pods.ts");
  const { isKnown } = await import("../system/fact.ts");
  const facts = await readLinks();
  return isKnown(facts) ? facts.value.networks : [];
}
