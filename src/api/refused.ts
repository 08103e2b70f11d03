/** How requests to the API server end that do not end well. */

import type { SessionEnd } from "./pause.ts";

/** The server has answered, but not with what was asked for. */
export class Refused extends Error {
  readonly status: number;
  /** The pause that the server asks for; 0: none. */
  readonly afterMs: number;

  constructor(status: number, message: string, afterMs = 0) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.afterMs = afterMs;
  }
}

/** The end that an error means; `watchedMs` is undefined where no watch had begun. Throws an error of our own code again. */
export function endOf(error: unknown, watchedMs?: number): Exclude<SessionEnd, { kind: "ended" }> {
  const { message } = asFailure(error);
  if (error instanceof Refused) {
    const { status, afterMs } = error;
    return { kind: "refused", watchedMs: watchedMs ?? 0, status, afterMs, message };
  }
  return watchedMs === undefined ? { kind: "failed", message } : { kind: "dropped", watchedMs, message };
}

/** A failure of the world; throws an error of our own code again. */
export function asFailure(error: unknown): Error {
  const isOurs = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  if (!(error instanceof Error) || (isOurs && !("code" in error))) throw error;
  return error;
}
