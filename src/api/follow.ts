/**
 * Follows one ConfigMap through the API server: a list that tells what there is, then a watch from there, for ever. Each session
 * begins with a list: old servers send no bookmarks, and a watch from a version that a restored backup has undone is silent, where a
 * list answers 504.
 */
import { type HeardConfigMap, isOlderVersion } from "../core/configmap/object.ts";
import { type FollowTarget, listConfigMap, watchConfigMap } from "./config-map-requests.ts";
import { type ApiServer, connect, type ReadConnection } from "./connection.ts";
import { type Failures, failuresAfter, NO_FAILURES, pauseAfter, type SessionEnd } from "./pause.ts";
import { createPosition, type Position } from "./position.ts";
import { asFailure, endOf } from "./refused.ts";

export interface FollowWorld {
  /** Takes the whole state each time; returns whether it is a change. */
  readonly heard: (heard: HeardConfigMap) => boolean;
  /** A watch has begun. */
  readonly watching: () => void;
  readonly ended: (end: SessionEnd, failures: Failures) => void;
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From [0, 1). */
  readonly random: () => number;
  readonly connect?: (server: ApiServer) => ReadConnection;
}

export interface Follower {
  /** The version of the cluster's state that was heard last; empty before the first. */
  readonly version: () => string;
  /** Asks for the newest state beside the watch; returns whether there was an answer. */
  readonly ask: (withinMs: number) => Promise<boolean>;
}

/** A session lasts 5 to 10 minutes, at random, as client-go's do: the nodes spread over the API servers, and rotations count. */
const WATCH_S = 300;
/** A watch that ends this much sooner than it may was cut off. */
const EARLY_MS = 5_000;

/** Follows until `signal` is aborted, from a version that an earlier process has heard; empty: from the newest. */
export function follow(
  target: FollowTarget,
  known: string,
  world: FollowWorld,
  signal: AbortSignal,
): Follower {
  const position = createPosition(known, world.heard);
  const open = () => (world.connect ?? connect)(target.server);
  let session: ReadConnection | undefined;
  const endSession = () => {
    session?.close();
    session = undefined;
  };
  signal.addEventListener("abort", endSession, { once: true });
  const run = () =>
    runSession(
      () => {
        session = open();
        return session;
      },
      target,
      position,
      world,
    ).finally(endSession);
  repeat(run, world, signal).catch((error: unknown) => {
    // A broken invariant ends the process, wherever it occurs.
    queueMicrotask(() => {
      throw error;
    });
  });
  return {
    version: position.version,
    ask: (withinMs) => askBeside(open, target, position, withinMs, endSession),
  };
}

/** One session after the other, with pauses. */
async function repeat(
  run: () => Promise<SessionEnd>,
  { ended, sleep, random }: FollowWorld,
  signal: AbortSignal,
): Promise<void> {
  let failures = NO_FAILURES;
  while (!signal.aborted) {
    const end = await run();
    if (signal.aborted) return;
    failures = failuresAfter(failures, end);
    ended(end, failures);
    await sleep(pauseAfter(end, failures, random()), signal);
  }
}

/** A list and the watch after it. */
async function runSession(
  open: () => ReadConnection,
  target: FollowTarget,
  position: Position,
  { random, now, watching }: FollowWorld,
): Promise<SessionEnd> {
  const seconds = Math.round(WATCH_S * (1 + random()));
  let since: number | undefined;
  try {
    const session = open();
    const heard = await listConfigMap(session, target, position.listFrom());
    position.takeList(heard);
    const events = await watchConfigMap(session, target, heard.version, seconds);
    since = now();
    watching();
    for await (const event of events) position.takeEvent(event);
    const watchedMs = now() - since;
    if (watchedMs >= seconds * 1_000 - EARLY_MS) return { kind: "ended" };
    return { kind: "dropped", watchedMs, message: "the API server ended the watch early" };
  } catch (error) {
    const end = endOf(error, since === undefined ? undefined : now() - since);
    if (end.kind === "refused") position.refused(end.status);
    return end;
  }
}

/** Asks for the newest state over a connection of its own, and ends the session that has missed it. */
async function askBeside(
  open: () => ReadConnection,
  target: FollowTarget,
  position: Position,
  withinMs: number,
  endSession: () => void,
): Promise<boolean> {
  let connection: ReadConnection | undefined;
  const before = position.version();
  try {
    connection = open();
    const heard = await listConfigMap(connection, target, "", withinMs);
    const isOlder = isOlderVersion(heard.version, position.version());
    const hasMoved = () => position.version() !== before;
    // The watch has missed it, or cannot see it: the next session finds out why.
    if (position.take(heard) || (isOlder && !hasMoved())) endSession();
    return !isOlder || hasMoved();
  } catch (error) {
    asFailure(error);
    return false;
  } finally {
    connection?.close();
  }
}
