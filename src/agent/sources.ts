/**
 * The sources of change of a running agent, each of which only asks for a pass: the configuration's directory and the
 * ruleset of nf_tables. They are opened after the first pass, so that they do not put it off; whatever happened before
 * is seen by the pass that each of them asks for when it begins.
 */

import { renderCulprits, type Witness } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import { listenToCommits } from "../netlink/events.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { TABLE } from "../nftables/sets.ts";
import { systemClock } from "../system/clock.ts";
import { type RulesetWorld, watchRuleset } from "./commits.ts";
import { watchConfig } from "./config/watch.ts";
import type { Outcome } from "./reconcile.ts";
import type { Inbox, Reason } from "./triggers.ts";

export interface Sources {
  /** To be told of each pass. */
  readonly report: (outcome: Outcome, reason: Reason, fightMs: number) => void;
}

interface SourcesWorld {
  readonly configPath: string;
  readonly driver: Pick<Driver, "knows" | "heard">;
  readonly inbox: Inbox;
  readonly witness: Witness;
  readonly log: Logger;
  readonly watchConfig?: typeof watchConfig;
  /** How the ruleset's commits are heard; without it, over netlink. */
  readonly ruleset?: Omit<RulesetWorld, "say">;
}

const NETLINK: Omit<RulesetWorld, "say"> = {
  listen: (events) => listenToCommits(TABLE, events),
  open: openNftables,
  sleep: systemClock.sleep,
  now: systemClock.now,
};

/** How often it is said that somebody fights. */
const SAY_FIGHT_MS = 60_000;

/** Opens the sources once the first pass is over, until `signal` is aborted. */
export function createSources(world: SourcesWorld, signal: AbortSignal): Sources {
  const { driver, inbox, log, ruleset = NETLINK } = world;
  let config: ReturnType<typeof watchConfig> | undefined;
  let saidAt = Number.NEGATIVE_INFINITY;
  const begin = () => {
    const say = (line: string) => log.warning(line);
    config = (world.watchConfig ?? watchConfig)(world.configPath, {
      changed: () => inbox.request("config"),
      say,
    });
    signal.addEventListener("abort", () => config?.close(), { once: true });
    const moved = (generation: number) => {
      driver.heard(generation);
      if (!driver.knows(generation)) inbox.request("ruleset", () => !driver.knows(generation));
    };
    const listener = {
      commit: (commit: Parameters<Witness["hear"]>[0]) => {
        world.witness.hear(commit);
        moved(commit.generation);
      },
      moved,
      missed: () => inbox.request("ruleset"),
    };
    watchRuleset(listener, { ...ruleset, say }, signal).catch((error: unknown) => {
      // A broken invariant ends the process, wherever it is found.
      queueMicrotask(() => {
        throw error;
      });
    });
  };
  return {
    report(outcome, reason, fightMs) {
      if (config === undefined) begin();
      else if (reason === "resync") config.verify();
      // The pace remembers the last healing's delay; only a healing is news.
      if (fightMs > 0 && outcome.healed.length > 0 && outcome.startedAt - saidAt > SAY_FIGHT_MS) {
        saidAt = outcome.startedAt;
        const { process, pid } = outcome.healed.at(-1)?.testimony?.commits.at(-1) ?? {};
        log.with({ process, pid }).warning(describeFight(outcome, fightMs));
      }
    },
  };
}

function describeFight({ healed }: Outcome, fightMs: number): string {
  const testimony = healed.at(-1)?.testimony;
  const who = (testimony && renderCulprits(testimony)) ?? "somebody who cannot be named";
  return `something fights this agent over its rules: they are changed again and again, last by ${who}; the next healing waits ${fightMs.toFixed(0)} ms. Is another agent running, or a tool that restores rules it once saved?`;
}
