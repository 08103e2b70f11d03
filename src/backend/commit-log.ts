/**
 * Remembers which processes have committed to the ruleset, to attribute drift to them. Pure bookkeeping: its inputs are the
 * events of commits, and the generations of the agent's own commits.
 */
import type { Commit } from "../netlink/events.ts";

type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

/** Generations after `from`, up to `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The commits of other processes in a span of generations. */
export interface Attribution {
  readonly commits: readonly Commit[];
  /** Whether every commit of the span had an event or is the agent's own. */
  readonly complete: boolean;
}

export interface CommitLog {
  readonly hear: (commit: Commit) => void;
  /** Marks the commits of a span as the agent's own. */
  readonly claim: (span: Span) => void;
  /** Whether a commit is marked as the agent's own. */
  readonly isOwn: (generation: number) => boolean;
  /** The commits of other processes in a span. An event comes a moment after its commit, so this waits if one is missing. */
  readonly between: (span: Span, signal: AbortSignal) => Promise<Attribution>;
}

/** The number of commits that we keep: older ones no longer explain anything. */
const KEPT = 512;

/** The longest delay of an event after its commit. */
const HEARD_WITHIN_MS = 20;

/** A commit log without commits. */
export function createCommitLog(sleep: Sleep): CommitLog {
  const heard = new Map<number, Commit | "own">();
  let newest: number | undefined;
  const note = (generation: number, what: Commit | "own") => {
    if (heard.get(generation) === "own") return;
    heard.delete(generation);
    heard.set(generation, what);
    for (const oldest of heard.keys()) {
      if (heard.size <= KEPT) break;
      heard.delete(oldest);
    }
  };
  const attribute = ({ from, to }: Span): Attribution => {
    const commits: Commit[] = [];
    let complete = to - from <= KEPT;
    for (let generation = Math.max(from, to - KEPT) + 1; generation <= to; generation++) {
      const commit = heard.get(generation);
      if (commit === undefined) complete = false;
      else if (commit !== "own") commits.push(commit);
    }
    return { commits, complete };
  };
  return {
    hear(commit) {
      newest = commit.generation;
      note(commit.generation, commit);
    },
    claim({ from, to }) {
      for (let generation = from + 1; generation <= to; generation++) note(generation, "own");
    },
    isOwn: (generation) => heard.get(generation) === "own",
    async between(span, signal) {
      // Without events there is nothing to wait for.
      const isLate = newest !== undefined && newest < span.to && !attribute(span).complete;
      if (isLate) await sleep(HEARD_WITHIN_MS, signal);
      return attribute(span);
    },
  };
}

/** `nft (host pid 4711)`; several are alternatives. Undefined without events. */
export function renderCulprits({ commits, complete }: Attribution): string | undefined {
  const names = [...new Set(commits.map(({ process, pid }) => `${process} (host pid ${pid})`))];
  if (names.length === 0) return undefined;
  const shown = names.length > NAMED ? [...names.slice(-NAMED), `${names.length - NAMED} more`] : names;
  const doubt = complete ? "" : ", or an unknown process";
  return shown.length === 1 ? `${shown[0]}${doubt}` : `one of ${shown.join(", ")}${doubt}`;
}

/** More names than this do not help. */
const NAMED = 3;
