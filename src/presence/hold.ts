/**
 * Announces that an agent runs, and notices another one: while it runs, an agent holds an abstract Unix socket named
 * after its chain. The hold is advisory. An agent whose name is taken programs its own rules all the same; until it has
 * the name, it only leaves another backend's rules alone, which may be the other agent's. A name that it waits for
 * stops the holder from removing anything, too: no agent removes a living one's rules.
 */

import { createServer, type Server } from "node:net";
import type { Logger } from "../log/log.ts";
import type { Clock } from "../system/clock.ts";
import { known } from "../system/fact.ts";
import { describeHolder, findHolders, type Holder, readHeldNames, trustedNames } from "./holders.ts";
import { type HeldName, type HoldKind, holdAddress, holdToken } from "./names.ts";

export interface Hold {
  /** Whether no other agent of this chain is known to live, so that another backend's rules are leftovers. */
  readonly isAlone: () => Promise<boolean>;
}

interface HoldWorld extends Clock {
  readonly log: Logger;
  /** Called when another agent has ended and this one has its place. */
  readonly succeeded: () => unknown;
}

const RETRY_MS = 1_000;
const WARN_MS = 60_000;

/**
 * Holds the name of `chain` as soon as it is free; until the process ends, not `signal`, since tools may run until
 * then.
 */
export function holdChain(
  chain: string,
  { log, now, sleep, succeeded }: HoldWorld,
  signal: AbortSignal,
): Hold {
  let isHolder = false;
  let waiting: Server | undefined;
  const waiter = Math.random().toString(36).slice(2, 10);
  let warnedAt = Number.NEGATIVE_INFINITY;
  const onceAMinute = async (say: () => unknown) => {
    if (now() - warnedAt < WARN_MS) return;
    warnedAt = now();
    await say();
  };
  const warnOf = (kind: HoldKind) =>
    onceAMinute(async () => {
      const named = heldNames(chain).filter((name) => name.kind === kind && name.waiter !== waiter);
      const holders = await findHolders(PROC, named);
      const holder = holders.find(({ isTrusted }) => isTrusted) ?? holders[0] ?? { process: undefined };
      log.with({ pid: holder.process?.pid }).warning(describeOther(kind, holder, chain));
    });
  const take = async (): Promise<boolean> => {
    const { error } = await bind(holdAddress(chain));
    if (error === undefined) {
      isHolder = true;
      waiting?.close();
    } else if (error === IN_USE) await warnOf("held");
    else
      await onceAMinute(() =>
        log.warning(`other agents cannot see that this one runs: holding a Unix socket failed with ${error}`),
      );
    return error === undefined;
  };
  const first = take();
  void first.then(async (isHeld) => {
    if (isHeld) return;
    do {
      waiting ??= (await bind(holdAddress(chain, waiter))).server;
      await sleep(RETRY_MS, signal);
      if (signal.aborted) return;
    } while (!(await take()));
    log.info(`the other agent of chain ${chain} has ended`);
    succeeded();
  });
  return {
    async isAlone() {
      await first;
      // Without a name of its own, this agent still sees those of others. Any user can hold a name: those of users who cannot
      // run an agent do not count.
      const names = heldNames(chain).filter(({ kind, waiter: other }) =>
        isHolder ? kind === "awaited" : other !== waiter,
      );
      if (names.length === 0) return true;
      const [other] = await trustedNames(PROC, names);
      if (other === undefined) return true;
      if (isHolder) await warnOf("awaited");
      return false;
    },
  };
}

/** Another process has the name. */
export const IN_USE = "EADDRINUSE";
const PROC = "/proc";

/** The server does not keep the process alive, and closes each connection at once. */
export function bind(path: string): Promise<{ readonly server?: Server; readonly error?: string }> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.on("error", ({ code = "" }: NodeJS.ErrnoException) => resolve({ error: code }));
    server.listen(path, () => resolve({ server })).unref();
  });
}

/** Without /proc no other agent can be seen. */
function heldNames(chain: string): readonly HeldName[] {
  const token = holdToken(chain);
  return (known(readHeldNames(PROC)) ?? []).filter((name) => name.token === token);
}

function describeOther(
  kind: HoldKind,
  holder: Pick<Holder, "process"> & Partial<Holder>,
  chain: string,
): string {
  const what = kind === "held" ? "holds" : "waits for";
  if (holder.isTrusted === false)
    return `${describeHolder(holder)} holds the socket by which agents of chain ${chain} know of each other, and cannot be one of them: ignored. Until it ends, agents see each other as waiting for it`;
  return `another agent seems to run: ${describeHolder(holder)} ${what} the socket of chain ${chain}; until it ends, this agent removes no rules of another backend. Stop one of them`;
}
