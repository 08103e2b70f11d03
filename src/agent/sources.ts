/**
 * The sources of change of a running agent, each of which only requests passes: the configuration's directory, the API server
 * where it is followed, the ruleset of nf_tables and, where the configuration names any, the node's addresses. They open after the
 * first pass, so that they do not delay it; each requests a pass when it begins,
 * which sees all earlier changes.
 */

import type { CommitLog } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import { listenToCommits } from "../netlink/events.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { TABLE } from "../nftables/sets.ts";
import { systemClock } from "../system/clock.ts";
import { type AddressWatchWorld, createAddressWatch } from "./address-watch.ts";
import { type RulesetWorld, watchRuleset } from "./commits.ts";
import { watchConfig } from "./config/watch.ts";
import type { PassOutcome } from "./reconcile.ts";
import type { Reason, Triggers } from "./triggers.ts";

export interface Sources {
  /** Call it after each pass. */
  readonly report: (outcome: PassOutcome, reason: Reason, fightMs: number) => void;
}

interface SourcesWorld {
  readonly configPath: string;
  readonly driver: Pick<Driver, "knows" | "heard">;
  readonly triggers: Triggers;
  readonly commitLog: CommitLog;
  readonly log: Logger;
  readonly watchConfig?: typeof watchConfig;
  /** Begins to follow the API server, with --config-map. */
  readonly openApi?: (signal: AbortSignal) => void;
  /** How the ruleset's commits are detected; without it, over netlink. */
  readonly ruleset?: Omit<RulesetWorld, "say">;
  /** The node's addresses as passes know them. */
  readonly knowsAddresses?: AddressWatchWorld["knows"];
}

const NETLINK: Omit<RulesetWorld, "say"> = {
  listen: (events) => listenToCommits(TABLE, events),
  open: openNftables,
  sleep: systemClock.sleep,
  now: systemClock.now,
};

/** The interval of warnings about a fight. */
const SAY_FIGHT_MS = 60_000;

const RTNETLINK: Omit<AddressWatchWorld, "say" | "knows"> = {
  listen: async (events) => (await import("../route/address-events.ts")).listenToAddresses(events),
  read: async () => (await import("../system/node-addresses.ts")).readNodeAddresses(),
  sleep: systemClock.sleep,
};

/** Opens the sources once the first pass is over, until `signal` is aborted. */
export function createSources(world: SourcesWorld, signal: AbortSignal): Sources {
  const { driver, triggers, log, ruleset = NETLINK, knowsAddresses: knows = () => true } = world;
  let config: ReturnType<typeof watchConfig> | undefined;
  let saidAt = Number.NEGATIVE_INFINITY;
  const say = (line: string) => log.warning(line);
  const addressWatch = createAddressWatch(
    () => triggers.request("address"),
    { ...RTNETLINK, knows, say },
    signal,
  );
  const begin = () => {
    config = (world.watchConfig ?? watchConfig)(world.configPath, {
      changed: () => triggers.request("config"),
      say,
    });
    signal.addEventListener("abort", () => config?.close(), { once: true });
    world.openApi?.(signal);
    const moved = (generation: number) => {
      driver.heard(generation);
      if (!driver.knows(generation)) triggers.request("ruleset", () => !driver.knows(generation));
    };
    const listener = {
      commit: (commit: Parameters<CommitLog["hear"]>[0]) => {
        world.commitLog.hear(commit);
        moved(commit.generation);
      },
      moved,
      missed: () => triggers.request("ruleset"),
    };
    watchRuleset(listener, { ...ruleset, say }, signal).catch((error: unknown) => {
      // A broken invariant ends the process, wherever it occurs.
      queueMicrotask(() => {
        throw error;
      });
    });
  };
  return {
    report(outcome, reason, fightMs) {
      if (config === undefined) begin();
      else if (reason === "resync") config.verify();
      addressWatch.follow(outcome.leaving.length > 0);
      // The throttle remembers the last healing's delay; only a healing is news.
      if (fightMs > 0 && outcome.healed.length > 0 && outcome.startedAt - saidAt > SAY_FIGHT_MS) {
        saidAt = outcome.startedAt;
        const { process, pid } = outcome.healed.at(-1)?.attribution?.commits.at(-1) ?? {};
        log.with({ process, pid }).warning(describeFight(outcome, fightMs));
      }
    },
  };
}

/** Exported for its test. */
export function describeFight({ healed }: Pick<PassOutcome, "healed">, fightMs: number): string {
  const { commits = [], complete = true } = healed.at(-1)?.attribution ?? {};
  const last = commits.at(-1);
  const who = last === undefined ? "an unknown process" : `${last.process}, host pid ${last.pid}`;
  const doubt = last === undefined || complete ? "" : ", or an unknown process";
  return `another process keeps changing the agent's rules (last: ${who}${doubt}); the next repair waits ${(fightMs / 1000).toFixed(1)} s. Is another agent running, or a tool that restores rules it once saved?`;
}
