/**
 * An agent with `--watch` on a kernel in memory and a clock of its own: everything it asks or runs is a step, and before any of
 * them another process may commit. As in the kernel, a commit counts the generation up a moment before it shows, and is
 * heard of when it does.
 */

import { runLoop } from "../../../src/agent/loop.ts";
import { createReconciler, type PassOutcome } from "../../../src/agent/reconcile.ts";
import { createSources } from "../../../src/agent/sources.ts";
import { createTriggers } from "../../../src/agent/triggers.ts";
import { createAside } from "../../../src/agent/turns.ts";
import { type CommitLog, createCommitLog } from "../../../src/backend/commit-log.ts";
import type { Driver } from "../../../src/backend/driver.ts";
import type { Commit, CommitEvents } from "../../../src/netlink/events.ts";
import type { Clock } from "../../../src/system/clock.ts";
import { OPTIONS } from "../config.ts";
import { recordedLog } from "../log.ts";

/** A commit of another process. */
export interface Foreign {
  /** Before which of the agent's steps. */
  readonly at: number;
  /** How many steps later it shows. */
  readonly lag: number;
  readonly change: () => void;
}

/** A backend's kernel in memory, for a driver that takes its steps through `step`. */
export interface Kernel {
  readonly driver: (world: KernelWorld) => Driver;
  readonly labels: readonly string[];
  /** The groups by which an agent programs, as it labels them, whose rules are not those of a configuration's text. */
  readonly wrong: (text: string) => readonly string[];
}

export interface KernelWorld extends Clock {
  readonly commitLog: CommitLog;
  readonly signal: AbortSignal;
  /** Takes a step: time passes, and others may commit. Of one that commits itself, for which group. */
  readonly step: (commits?: string) => void;
  readonly generation: () => number;
}

export interface Simulation {
  /** Lets `ms` pass. */
  readonly pass: (ms: number) => Promise<void>;
  readonly configure: (text: string) => void;
  /** Others commit now, whatever the agent waits for. */
  readonly commit: (change: () => void) => void;
  /** Lets others commit, counted from here. */
  readonly disturb: (foreign: readonly Foreign[]) => void;
  readonly stepsSinceDisturbed: () => number;
  /** Whether all of that has happened and shows, and how long it is ago. */
  readonly quietMs: () => number | undefined;
  readonly outcomes: readonly PassOutcome[];
  /** Of which groups it was said that they are in force, although they were not at any time since the last write. */
  readonly lies: readonly string[];
  readonly wrong: () => readonly string[];
  readonly log: () => readonly string[];
  readonly end: () => Promise<void>;
}

/** What a step takes: a tool's start is the least. */
const STEP_MS = 3;
const HEARD_AFTER_MS = 0.2;
/** An agent that has nothing to do for so long rests. */
const RESTING_MS = 1_500;

/** Starts an agent with a configuration. */
export function simulate(kernel: Kernel, first: string): Simulation {
  const controller = new AbortController();
  const { signal } = controller;
  const { log, taken } = recordedLog();
  const timers = new Set<{ readonly at: number; readonly fire: () => void }>();
  const outcomes: PassOutcome[] = [];
  const lies: string[] = [];
  let text = first;
  let now = 0;
  let generation = 100;
  let steps = 0;
  let disturbedAt = 0;
  let due: Foreign[] = [];
  let showing: { readonly at: number; readonly generation: number; readonly change: () => void } | undefined;
  let quietSince = 0;
  let events: CommitEvents | undefined;
  let wrong: readonly string[] = [];
  let isWeighed = false;
  /** In which step a group was last right. */
  const rightAt = new Map<string, number>();
  const wroteAt = new Map<string, number>();

  const later = (ms: number, fire: () => void) => {
    const timer = { at: now + ms, fire };
    timers.add(timer);
    return () => timers.delete(timer);
  };
  const clock: Clock = {
    now: () => now,
    sleep: (ms, until) =>
      new Promise((resolve) => {
        if (until.aborted) return resolve();
        const stop = () => cancel() && resolve();
        const cancel = later(ms, () => {
          until.removeEventListener("abort", stop);
          resolve();
        });
        until.addEventListener("abort", stop, { once: true });
      }),
  };
  const tell = (commit: Commit) => later(HEARD_AFTER_MS, () => events?.commit(commit));
  const show = () => {
    if (showing === undefined) return;
    showing.change();
    isWeighed = false;
    tell({ generation: showing.generation, pid: 4711, process: "other", touched: true });
    showing = undefined;
    quietSince = now;
  };
  const fireDue = () => {
    for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
      if (timer.at > now) break;
      timers.delete(timer);
      timer.fire();
    }
  };
  /** Notes which groups are right now; only a commit or a configuration can change that. */
  const weigh = () => {
    if (!isWeighed) wrong = kernel.wrong(text);
    isWeighed = true;
    for (const label of kernel.labels) if (!wrong.includes(label)) rightAt.set(label, steps);
  };
  const step = (commits?: string, isResting = false) => {
    steps++;
    now += STEP_MS;
    if (commits !== undefined || (showing !== undefined && showing.at <= steps)) show();
    const [next] = due;
    if (next !== undefined && (next.at <= steps || isResting)) {
      show();
      due = due.slice(1);
      showing = { at: steps + next.lag, generation: ++generation, change: next.change };
      if (next.lag === 0 || commits !== undefined) show();
    }
    weigh();
    if (commits !== undefined) {
      isWeighed = false;
      wroteAt.set(commits, steps);
      tell({ generation: ++generation, pid: 1, process: "agent", touched: true });
    }
    fireDue();
  };

  const commitLog = createCommitLog(clock.sleep);
  const driver = kernel.driver({ ...clock, commitLog, signal, step, generation: () => generation });
  const triggers = createTriggers(clock);
  let changed = () => {};
  const sources = createSources(
    {
      configPath: "/c",
      driver,
      triggers,
      commitLog,
      log,
      watchConfig: (_path, world) => {
        changed = world.changed;
        return { verify: () => {}, close: () => {} };
      },
      ruleset: {
        async listen(given) {
          events = given;
          return { close: () => {} };
        },
        open: async () => ({ generation: async () => generation, close: () => {} }),
        sleep: clock.sleep,
        now: clock.now,
      },
    },
    signal,
  );
  const aside = createAside(() => triggers.request("ruleset"));
  const reconcile = createReconciler(
    driver,
    { ...OPTIONS, enableIPv6: true, configPath: "/c", watch: true },
    {
      readConfig: () => ({ kind: "file", files: [{ path: "/c", bytes: Buffer.from(text) }] }),
      now: clock.now,
      random: () => 0,
      log,
      signal,
      between: (span) => commitLog.between(span, signal),
      turns: { sleep: clock.sleep, goesOn: aside.goesOn },
    },
  );
  let begunAt = 0;
  const loop = runLoop(
    reconcile,
    {
      watch: true,
      triggers,
      begin: () => {
        begunAt = steps;
      },
      report(outcome, reason, fightMs) {
        outcomes.push(outcome);
        weigh();
        for (const { label, inForce } of outcome.groups)
          if (inForce && (rightAt.get(label) ?? -1) < Math.max(begunAt, wroteAt.get(label) ?? 0))
            lies.push(label);
        sources.report(outcome, reason, fightMs);
      },
    },
    clock,
    signal,
  );

  /** Lets all that needs no time happen. */
  const drain = () => new Promise((resolve) => setImmediate(resolve));
  return {
    async pass(ms) {
      const until = now + ms;
      for (;;) {
        await drain();
        show();
        if (now >= until) return;
        const next = Math.min(until, ...[...timers].map(({ at }) => at));
        // Who waits for a step that the agent does not take commits while it rests.
        if (due.length > 0 && next > now + RESTING_MS) step(undefined, true);
        else now = Math.max(now, next);
        fireDue();
      }
    },
    configure(given) {
      text = given;
      isWeighed = false;
      changed();
    },
    commit(change) {
      show();
      showing = { at: steps, generation: ++generation, change };
      show();
    },
    disturb(foreign) {
      disturbedAt = steps;
      due = foreign.map((one) => ({ ...one, at: steps + one.at })).sort((a, b) => a.at - b.at);
    },
    stepsSinceDisturbed: () => steps - disturbedAt,
    quietMs: () => (due.length === 0 && showing === undefined ? now - quietSince : undefined),
    outcomes,
    lies,
    wrong: () => kernel.wrong(text),
    log: taken,
    async end() {
      controller.abort();
      await loop;
      await aside.over();
    },
  };
}
