/**
 * Writes the latest of some values, spread over a minute, so that thousands of nodes do not write at once: what changes meanwhile
 * coalesces, and what is as it was written last is not written again. There is never more than one value to write, whatever fails.
 */
import { type Failures, failuresAfter, NO_FAILURES, pauseAfter, type SessionEnd } from "../../api/pause.ts";
import { endOf } from "../../api/refused.ts";

export interface SpreadWriterWorld<Value> {
  /** Throws a failure of the world. */
  readonly write: (value: Value) => Promise<void>;
  /** Two values with the same key need not both be written. */
  readonly keyOf: (value: Value) => string;
  readonly succeeded: () => void;
  readonly failed: (end: Exclude<SessionEnd, { kind: "ended" }>, failures: Failures) => void;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From [0, 1). */
  readonly random: () => number;
}

export interface SpreadWriter<Value> {
  /** The latest value; undefined: nothing has to be written any more. */
  readonly want: (value: Value | undefined) => void;
}

const SPREAD_MS = 60_000;

/** A writer until `signal` is aborted, which ends the pause; a write under way is the caller's. */
export function createSpreadWriter<Value>(
  { write, keyOf, succeeded, failed, sleep, random }: SpreadWriterWorld<Value>,
  signal: AbortSignal,
): SpreadWriter<Value> {
  let wanted: Value | undefined;
  let written: string | undefined;
  let isBusy = false;
  let failures = NO_FAILURES;

  const due = () => (wanted !== undefined && keyOf(wanted) !== written ? wanted : undefined);

  /** Tries once; returns the pause until the next. */
  const tryToWrite = async (value: Value): Promise<number> => {
    try {
      await write(value);
      written = keyOf(value);
      failures = NO_FAILURES;
      succeeded();
      return SPREAD_MS * random();
    } catch (error) {
      const end = endOf(error);
      if (signal.aborted) return 0;
      failures = failuresAfter(failures, end);
      failed(end, failures);
      return pauseAfter(end, failures, random());
    }
  };

  const writeAll = async () => {
    for (let pauseMs = SPREAD_MS * random(); due() !== undefined; ) {
      await sleep(pauseMs, signal);
      const value = due();
      if (signal.aborted || value === undefined) break;
      pauseMs = await tryToWrite(value);
    }
    isBusy = false;
  };

  return {
    want(value) {
      wanted = value;
      if (isBusy || due() === undefined) return;
      isBusy = true;
      writeAll().catch((error: unknown) => {
        // A broken invariant ends the process, wherever it occurs.
        queueMicrotask(() => {
          throw error;
        });
      });
    },
  };
}
