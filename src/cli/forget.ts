/** What `run` forgets after a pass; loaded only with the flag or the key that asks for it. */

import type { Forgetting, ForgottenCount } from "../agent/forgetting.ts";
import type { OutputAddresses } from "../agent/output-addresses.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import { createAside } from "../agent/turns.ts";
import type { Logger } from "../log/log.ts";
import { systemClock } from "../system/clock.ts";

export interface Forget {
  /** Call it after each pass. */
  readonly after: (outcome: PassOutcome) => void;
  /** How many flows were forgotten since the start. */
  readonly totals: () => readonly ForgottenCount[];
  /** Waits for the end of what it has begun. */
  readonly over: () => Promise<void>;
}

export function createForget(
  isUnanswered: boolean,
  addresses: OutputAddresses,
  log: Logger,
  signal: AbortSignal,
): Forget {
  const aside = createAside(() => {});
  let loading: Promise<Forgetting> | undefined;
  let loaded: Forgetting | undefined;
  const load = async () => {
    // All of it now: when an address goes, there is no time to load.
    const [{ createForgetting }, { openDeletion }, { readNodeAddresses }] = await Promise.all([
      import("../agent/forgetting.ts"),
      import("../conntrack/conntrack.ts"),
      import("../system/node-addresses.ts"),
    ]);
    loaded = createForgetting(
      {
        ...systemClock,
        goesOn: aside.goesOn,
        isUnanswered,
        addresses,
        readAddresses: readNodeAddresses,
        open: openDeletion,
        log: log.named("agent/forgetting.ts"),
      },
      signal,
    );
    return loaded;
  };
  return {
    after(outcome) {
      if (!isUnanswered && outcome.leaving.length === 0 && loading === undefined) return;
      loading ??= load();
      void loading.then(({ after }) => after(outcome));
    },
    totals: () => loaded?.totals() ?? [],
    over: aside.over,
  };
}
