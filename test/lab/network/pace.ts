/** Makes flows at a rate, for the probes that run as processes of their own. */
import { setImmediate, setTimeout } from "node:timers/promises";

/** What a stream came to, as its sender knows it. */
export interface Sent {
  readonly sent: number;
  /** Some of the errors. */
  readonly failed: readonly string[];
}

type Done = (error: Error | null) => void;

/** Twice what the node's conntrack remembers of a UDP flow: its ports are not used again before. */
export const REUSE_MS = 2_000;

/** The number of samples of what went wrong. */
export const SAMPLES = 20;

/** Sent between two looks at the clock and at stdin. */
const BURST = 32;
const TICK_MS = 1;

/** Sends one after the other, so many a second, until it is over; returns when all are out. */
export async function sendPaced(
  perSecond: number,
  isOver: () => boolean,
  sendNext: (done: Done) => void,
): Promise<Sent> {
  const failed: string[] = [];
  let sent = 0;
  let pending = 0;
  const done: Done = (error) => {
    pending--;
    if (error === null) sent++;
    else if (failed.length < SAMPLES) failed.push(error.message);
  };
  let due = 0;
  let last = performance.now();
  while (!isOver()) {
    const now = performance.now();
    // A delay is not made up for: a burst would only overflow the receiver.
    due = Math.min(BURST, due + ((now - last) * perSecond) / 1_000);
    last = now;
    for (; due >= 1; due--) {
      pending++;
      sendNext(done);
    }
    // Not at once: the agent and its tools need the processor as well.
    await setTimeout(TICK_MS);
  }
  while (pending > 0) await setImmediate();
  return { sent, failed };
}
