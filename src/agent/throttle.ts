/**
 * How soon a pass that an event of the ruleset requests may follow the one before. A single event has its pass at once. Two things
 * slow down: inspections, when other processes commit all the time, and repairs, when one reverts them again and again.
 * Pure: passes and times are its input.
 */

/** A pass, with its cost and its use, which predict those of the next one. */
export interface Pass {
  readonly endedAt: number;
  readonly durationMs: number;
  /**
   * `healed`: it repaired a change of another process. `idle`: an event of the ruleset requested it, and there was nothing to
   * do.
   */
  readonly kind: "healed" | "idle" | "other";
}

export interface Throttle {
  readonly record: (pass: Pass) => void;
  /** Milliseconds that such an event has to wait. */
  readonly waitMs: (now: number) => number;
  /** The delay of the next healing after the newest one; 0 without a fight. */
  readonly fightMs: () => number;
}

/** A pause of this many times its duration follows an idle pass: at most 5 % of a processor. */
const PAUSE_RATIO = 20;
const PAUSE_MIN_MS = 20;
/** The agent has to heal drift within a second of a storm's end, which no event announces. */
const PAUSE_MAX_MS = 600;

/**
 * Rate limits for repairs. Up to `healings` within `withinMs` run immediately; further ones wait for a free slot. The
 * long windows throttle a fight that lasts for minutes, from 5 repairs a second to 2, then to one every 5 s.
 */
const WINDOWS: readonly { readonly healings: number; readonly withinMs: number }[] = [
  { healings: 5, withinMs: 1_000 },
  { healings: 600, withinMs: 300_000 },
];
const FIGHT_MAX_MS = 5_000;

/** A throttle before the first pass. */
export function createThrottle(): Throttle {
  let notBefore = Number.NEGATIVE_INFINITY;
  let fight = 0;
  const healings: number[] = [];
  return {
    record({ endedAt, durationMs, kind }) {
      if (kind === "other") return;
      if (kind === "idle") {
        const pause = Math.min(Math.max(durationMs * PAUSE_RATIO, PAUSE_MIN_MS), PAUSE_MAX_MS);
        notBefore = Math.max(notBefore, endedAt + pause);
        return;
      }
      healings.push(endedAt);
      if (healings.length > KEPT) healings.shift();
      fight = Math.min(
        FIGHT_MAX_MS,
        Math.max(...WINDOWS.map((window) => tooEarlyMs(healings, endedAt, window))),
      );
      notBefore = endedAt + fight;
    },
    waitMs: (now) => Math.max(0, notBefore - now),
    fightMs: () => fight,
  };
}

const KEPT = Math.max(...WINDOWS.map((window) => window.healings));

/** Milliseconds until one more healing fits into a window. */
function tooEarlyMs(
  times: readonly number[],
  now: number,
  { healings, withinMs }: (typeof WINDOWS)[number],
): number {
  const earliest = times.at(-healings);
  return earliest === undefined ? 0 : Math.max(0, earliest + withinMs - now);
}
