/**
 * Reports commits to nf_tables' ruleset, in one of three ways, each a fallback of the one before: the kernel's events, which also
 * name the process; the ruleset's generation, polled each second; nothing at all, which leaves the resync interval.
 */
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Commit, CommitEvents, Listening } from "../netlink/events.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { listenUntil } from "./listening.ts";

/** The effects that the source needs. */
export interface RulesetWorld {
  readonly listen: (events: CommitEvents) => Promise<Listening>;
  readonly open: () => Promise<Pick<Nftables, "generation" | "close">>;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Takes lines for the operator: one for each change of the way. */
  readonly say: (line: string) => void;
}

export interface RulesetListener {
  readonly commit: (commit: Commit) => void;
  /** Events may have been lost. */
  readonly missed: () => void;
  /** The ruleset has this generation now. */
  readonly moved: (generation: number) => void;
}

const ASK_MS = 1_000;
/** The pause before listening again after lost events; it doubles each time, up to the second constant. */
const RELISTEN_MS = 100;
const RELISTEN_MAX_MS = 60_000;
/** Each event costs about 10 µs. Above this rate we stop listening for a while and poll the generation instead. */
const COMMITS_A_SECOND = 1_000;
const STORM_MS = 5_000;

/** Informs `listener` until `signal` is aborted, or no way works. */
export async function watchRuleset(
  listener: RulesetListener,
  world: RulesetWorld,
  signal: AbortSignal,
): Promise<void> {
  const say = onlyChanges(world.say);
  let delay = RELISTEN_MS;
  while (!signal.aborted) {
    const failure = await hearEvents(listener, world, signal, () => {
      delay = RELISTEN_MS;
    });
    if (signal.aborted) return;
    const why = failure instanceof Error ? failure.message : String(failure);
    say(`${why}: polling the ruleset's generation every ${ASK_MS / 1000} s instead`);
    // Without the addon there will never be events; otherwise we try them again after some polling.
    const isNever = failure instanceof NetlinkUnavailable;
    const forMs = isNever ? Number.POSITIVE_INFINITY : failure === STORM ? STORM_MS : delay;
    delay = Math.min(delay * 2, RELISTEN_MAX_MS);
    const hopeless = await askFor(forMs, listener, world, signal);
    if (hopeless === undefined) continue;
    say(`${hopeless.message}: drift of the rules is detected at the resync interval only`);
    return;
  }
}

const STORM = new Error(`more than ${COMMITS_A_SECOND} commits to nf_tables in a second`);

/** Counts a commit, and says whether it is one too many. */
function createStormWarning(now: () => number): () => boolean {
  let since = now();
  let commits = 0;
  return () => {
    if (now() - since >= 1_000) {
      since = now();
      commits = 0;
    }
    return ++commits > COMMITS_A_SECOND;
  };
}

/** Listens until that fails, or there are too many events; returns the reason. */
async function hearEvents(
  { commit, missed }: RulesetListener,
  { listen, now }: RulesetWorld,
  signal: AbortSignal,
  heard: () => void,
): Promise<unknown> {
  const isStorm = createStormWarning(now);
  const hear = (stop: (reason: unknown) => void) =>
    listen({
      commit: (one) => {
        heard();
        commit(one);
        if (isStorm()) stop(STORM);
      },
      missed,
      lost: stop,
    });
  return listenUntil(hear, missed, signal);
}

/** Polls the generation for `forMs`; returns the reason if that can never work here. */
async function askFor(
  forMs: number,
  { moved }: RulesetListener,
  { open, sleep }: RulesetWorld,
  signal: AbortSignal,
): Promise<Error | undefined> {
  let connection: Pick<Nftables, "generation" | "close"> | undefined;
  try {
    connection = await open();
    for (let left = forMs; left > 0 && !signal.aborted; left -= ASK_MS) {
      await sleep(Math.min(left, ASK_MS), signal);
      if (!signal.aborted) moved(await connection.generation(signal));
    }
    return undefined;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error instanceof NetlinkUnavailable) return error;
    if (!(error instanceof NftablesError)) throw error;
    // No permission, no nf_tables: that may change, but not soon.
    await sleep(Math.min(forMs, RELISTEN_MAX_MS), signal);
    return undefined;
  } finally {
    connection?.close();
  }
}

function onlyChanges(say: (line: string) => void): (line: string) => void {
  let said: string | undefined;
  return (line) => {
    if (line !== said) say(line);
    said = line;
  };
}
