/** Whether an agent runs that would put back the rules that `cleanup` removes. */

import type { Clock } from "../system/clock.ts";
import { type Fact, isKnown } from "../system/fact.ts";
import { describeHolder, type Holder } from "./holders.ts";

export interface Presence {
  /** The agent that runs, or seems to; undefined if there is none. */
  readonly agent?: string;
  /** Warnings for the operator about the search itself. */
  readonly warnings: readonly string[];
}

const POLL_MS = 200;

/**
 * Looks for the holders of the agents' sockets, again and again for `waitMs` while a holder is not visible: it may be
 * about to end. A visible process that is not an agent stops nothing, nor does a user who cannot run one.
 */
export async function lookForAgent(
  look: () => Promise<Fact<readonly Holder[]>>,
  { now, sleep }: Clock,
  waitMs: number,
  signal: AbortSignal,
): Promise<Presence> {
  const until = now() + waitMs;
  for (;;) {
    const found = await look();
    if (!isKnown(found)) return { warnings: [`cannot tell ${found.unknown}: ${found.why}`] };
    const agent = found.value.find(({ process, isTrusted }) => isTrusted && process?.isAgent);
    if (agent !== undefined)
      return { agent: `an agent runs on this node: ${describeHolder(agent)}`, warnings: [] };
    const hidden = found.value.find(({ process, isTrusted }) => isTrusted && process === undefined);
    if (hidden === undefined) return { warnings: found.value.map(describeStranger) };
    if (now() >= until)
      return { agent: `an agent seems to run on this node: ${describeHold(hidden)}`, warnings: [] };
    await sleep(POLL_MS, signal);
    signal.throwIfAborted();
  }
}

function describeHold(holder: Holder): string {
  return `${describeHolder(holder)} holds the socket of chain ${holder.token}`;
}

function describeStranger(holder: Holder): string {
  return `${describeHold(holder)}, and ${holder.isTrusted ? "is not an agent" : "cannot be an agent"}: ignored`;
}
