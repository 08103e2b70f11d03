/** The report of --report=lease, wired to this process. Loaded only with that flag, after the first pass. */

import { readFileSync } from "node:fs";
import { identityOf } from "../../api/identity.ts";
import { locate } from "../../api/service-account.ts";
import { systemClock } from "../../system/clock.ts";
import { collectSoon } from "../../system/heap.ts";
import { createLeaseReport, type LeaseReport, type LeaseReportWorld } from "./lease-report.ts";

/** Reports until `signal` is aborted. */
export function openLeaseReport(
  world: Pick<LeaseReportWorld, "version" | "backend" | "configMaps" | "log">,
  signal: AbortSignal,
): LeaseReport {
  const located = locate({ maps: [] }, process.env);
  const token = located.ok ? readToken(`${located.server.credentials}/token`) : "";
  const identity = identityOf(token, process.env);
  const { sleep } = systemClock;
  return createLeaseReport(
    { ...world, located, identity, sleep, epoch: Date.now, random: Math.random, closed: collectSoon },
    signal,
  );
}

/** Without it, the first write says what is wrong. */
function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
