/**
 * Says when somebody has committed to nf_tables' ruleset. Three ways, each where the one before is not to be had:
 * the kernel's events, which also tell who it was; the ruleset's generation, asked for each second; nothing at all, which
 * leaves the resync interval.
 */
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Commit, CommitEvents, Listening } from "../netlink/events.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

/** What the source needs of the world. */
export interface RulesetWorld {
  readonly listen: (events: CommitEvents) => Promise<Listening>;
  readonly open: () => Promise<Pick<Nftables, "generation" | "close">>;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds that never jump. */
  readonly now: () => number;
  /** Takes what an operator should know: once for each change of the way. */
  readonly say: (line: string) => void;
}

export interface RulesetListener {
  readonly commit: (commit: Commit) => void;
  /** Something may have happened that was not heard. */
  readonly missed: () => void;
  /** The ruleset has this generation now. */
  readonly moved: (generation: number) => void;
}

const ASK_MS = 1_000;
/** How long after events were lost they are listened to again; doubled each time, up to the second. */
const RELISTEN_MS = 100;
const RELISTEN_MAX_MS = 60_000;
/** Hearing of a commit costs 10 µs. More than so many a second are not worth it: then the generation is asked for for a while. */
const COMMITS_A_SECOND = 1_000;
const STORM_MS = 5_000;

/** Tells `listener` until `signal` is aborted, or there is no way to hear anything. */
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
    say(`${why}: asking for the ruleset's generation every ${ASK_MS / 1000} s instead`);
    // Without the addon there will never be events; otherwise they are tried again while the generation is asked for.
    const isNever = failure instanceof NetlinkUnavailable;
    const forMs = isNever ? Number.POSITIVE_INFINITY : failure === STORM ? STORM_MS : delay;
    delay = Math.min(delay * 2, RELISTEN_MAX_MS);
    const hopeless = await askFor(forMs, listener, world, signal);
    if (hopeless === undefined) continue;
    say(`${hopeless.message}: changes of the rules are noticed at the resync interval only`);
    return;
  }
}

const STORM = new Error(`more than ${COMMITS_A_SECOND} commits to nf_tables in a second`);

/** Whether a further commit is one too many; asked once for each. */
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

/** Listens until that fails, or there is too much to hear; returns why. */
async function hearEvents(
  { commit, missed }: RulesetListener,
  { listen, now }: RulesetWorld,
  signal: AbortSignal,
  heard: () => void,
): Promise<unknown> {
  let listening: Listening | undefined;
  let stop = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const isStorm = createStormWarning(now);
      const events = {
        commit: (one: Commit) => {
          heard();
          commit(one);
          if (isStorm()) resolve(STORM);
        },
        missed,
        lost: resolve,
      };
      stop = () => resolve(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      listen(events).then((opened) => {
        if (signal.aborted) return opened.close();
        listening = opened;
        // What was done before was not heard.
        missed();
      }, reject);
    });
  } catch (error) {
    if (error instanceof NftablesError || error instanceof NetlinkUnavailable) return error;
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    listening?.close();
  }
}

/** Asks for the generation for some time; returns why that cannot be done here at all. */
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
