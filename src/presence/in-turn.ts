/**
 * Lets agents of one network namespace add their jump one after the other. During a rolling update two of them see the
 * same flush, and where both check before either has added, there are two jumps, and neither agent removes one. A name
 * that stays taken keeps no agent from its rules for long, and one that another user has taken not at all.
 */

import { bind, IN_USE } from "./hold.ts";
import { isSquatted } from "./holders.ts";
import { HOLD_BYTES } from "./names.ts";

/** The address of the agent whose turn it is. */
export const TURN_NAME = "\0ip-masq-agent adds a jump".padEnd(HOLD_BYTES, "\0");
const RETRY_MS = 5;
const PATIENCE_MS = 2_000;

/** Does the work as soon as no other agent does its own. */
export async function inTurn<T>(sleep: (ms: number) => Promise<unknown>, work: () => Promise<T>): Promise<T> {
  let turn = await bind(TURN_NAME);
  const patienceMs = turn.error === IN_USE && (await isSquatted("/proc", TURN_NAME)) ? 0 : PATIENCE_MS;
  for (let waited = 0; turn.error === IN_USE && waited < patienceMs; waited += RETRY_MS) {
    await sleep(RETRY_MS);
    turn = await bind(TURN_NAME);
  }
  try {
    return await work();
  } finally {
    turn.server?.close();
  }
}
