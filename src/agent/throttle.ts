/**
 * How soon a pass that an event of the ruleset asks for may follow the one before. Alone, an event is acted on at once. Two things
 * are slowed down: looking, when others commit all the time, and healing, when somebody undoes it again and again.
 * Pure: it is told of passes and of the time.
 */

/** A pass, as far as its cost and its need tell of the next one's. */
export interface Pass {
  readonly endedAt: number;
  readonly durationMs: number;
  /**
   * `healed`: it put something right that others had changed. `idle`: an event of the ruleset had asked for it, and there
   * was nothing to do.
   */
  readonly kind: "healed" | "idle" | "other";
}

export interface Throttle {
  readonly record: (pass: Pass) => void;
  /** Milliseconds that such an event has to wait. */
  readonly waitMs: (now: number) => number;
  /** How far the newest healing puts off the next one; 0 while nobody fights. */
  readonly fightMs: () => number;
}

/** A look for nothing is followed by a pause so many times as long as itself: at most 5 % of a processor. */
const PAUSE_RATIO = 20;
const PAUSE_MIN_MS = 20;
/** Drift has to be healed within a second of a storm's end, and nothing tells that it has ended. */
const PAUSE_MAX_MS = 600;

/**
 * So many healings within so long are done at once; beyond, one waits until it fits again. The longer windows slow down
 * who fights for minutes: 2 a second are left of 5, then one in 5 s.
 */
const WINDOWS: readonly { readonly healings: number; readonly withinMs: number }[] = [
  { healings: 5, withinMs: 1_000 },
  { healings: 600, withinMs: 300_000 },
];
const FIGHT_MAX_MS = 5_000;

/** A throttle that knows of no pass yet. */
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

/** How long until one more healing fits into a window. */
function tooEarlyMs(
  times: readonly number[],
  now: number,
  { healings, withinMs }: (typeof WINDOWS)[number],
): number {
  const earliest = times.at(-healings);
  return earliest === undefined ? 0 : Math.max(0, earliest + withinMs - now);
}
