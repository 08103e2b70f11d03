/** How long to wait between sessions with the API server: so that an outage of it does not end in a storm of thousands of nodes. */

/** How a session ended; `watchedMs` is the time that its watch lasted. */
export type SessionEnd =
  /** The watch ended by its time. */
  | { readonly kind: "ended" }
  /** The watch began, and ended otherwise. */
  | { readonly kind: "dropped"; readonly watchedMs: number; readonly message: string }
  /** The server refused something. */
  | {
      readonly kind: "refused";
      readonly watchedMs: number;
      readonly status: number;
      readonly afterMs: number;
      readonly message: string;
    }
  /** There was no answer, or not one of an API server. */
  | { readonly kind: "failed"; readonly message: string };

/** The failures in a row before this moment. */
export interface Failures {
  readonly count: number;
  /** Of these, the last ones that were 403 (no Role), or 422 (a policy). */
  readonly forbidden: number;
}

export const NO_FAILURES: Failures = { count: 0, forbidden: 0 };

/** Pauses that follow a failure: client-go's, 0.8 s doubled up to 30 s, and up to twice that at random (reflector.go). */
const BACKOFF_MS = 800;
const BACKOFF_MAX_MS = 30_000;
/** When the API server goes away under thousands of watches, the first tries come back spread over this time. */
const SPREAD_MS = 30_000;
/** Nodes whose sessions began together drift apart. */
const NEXT_MS = 1_000;
/** A server that has just started says 403 until it knows its roles; one that continues means it. */
const PATIENCE = 6;
const FORBIDDEN: ReadonlySet<number> = new Set([403, 422]);
const FORBIDDEN_MS = 300_000;
/** The longest pause, whatever a Retry-After says. */
const LONGEST_MS = 600_000;
/** A watch that lasted this long was a success. */
const SUCCESS_MS = 60_000;

/** The failures in a row after a session. */
export function failuresAfter({ count, forbidden }: Failures, end: SessionEnd): Failures {
  if (end.kind === "ended") return NO_FAILURES;
  const lasted = end.kind !== "failed" && end.watchedMs >= SUCCESS_MS;
  const isForbidden = end.kind === "refused" && FORBIDDEN.has(end.status);
  return { count: lasted ? 1 : count + 1, forbidden: isForbidden ? forbidden + 1 : 0 };
}

/** Milliseconds until the next session; `failures` include this one's, `random` is from [0, 1). */
export function pauseAfter(end: SessionEnd, { count, forbidden }: Failures, random: number): number {
  if (end.kind === "ended") return NEXT_MS * random;
  const backoff = Math.min(BACKOFF_MS * 2 ** Math.min(count - 1, 40), BACKOFF_MAX_MS) * (1 + random);
  if (end.kind === "dropped") return count === 1 ? SPREAD_MS * random : Math.max(backoff, SPREAD_MS * random);
  if (forbidden > PATIENCE) return FORBIDDEN_MS * (1 + random);
  return end.kind === "refused" ? Math.max(backoff, Math.min(end.afterMs, LONGEST_MS)) : backoff;
}
