/**
 * Follows one ConfigMap through the API server: a list that tells what there is, then a watch from there, for ever. Each session
 * begins with a list: old servers send no bookmarks, and a watch from a version that a restored backup has undone is silent, where a
 * list answers 504. It selects one name, never a label: a write to any other ConfigMap then costs the API server nothing.
 */
import type { ConfigMapFlag, ConfigMapName } from "../core/configmap/flag.ts";
import {
  type HeardConfigMap,
  isOlderVersion,
  parseConfigMapList,
  parseWatchEvent,
} from "../core/configmap/object.ts";
import type { Parsed } from "../go/flag-types.ts";
import { type ApiServer, type Connection, connect, Refused } from "./connection.ts";
import { type Failures, failuresAfter, NO_FAILURES, pauseAfter, type SessionEnd } from "./pause.ts";

/** A ConfigMap, and which of its keys matter. */
export interface FollowTarget extends ConfigMapName {
  readonly server: ApiServer;
  readonly flag: Pick<ConfigMapFlag, "kind" | "key">;
}

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
  readonly connect?: (server: ApiServer) => Connection;
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
const OVERDUE_MS = 30_000;
const ANSWER_MS = 30_000;

/** Follows until `signal` is aborted, from a version that an earlier process has heard; empty: from the newest. */
export function follow(
  target: FollowTarget,
  known: string,
  world: FollowWorld,
  signal: AbortSignal,
): Follower {
  const open = world.connect ?? connect;
  let version = known;
  /** Whether only the newest state will do: `version` is too old, or of a future that a restored backup has undone. */
  let fromScratch = false;
  let session: Connection | undefined;
  signal.addEventListener("abort", () => session?.close(), { once: true });

  const list = async (connection: Connection, resourceVersion: string, withinMs: number) =>
    checked(
      parseConfigMapList(
        await connection.get({ path: pathOf(target, { resourceVersion }), withinMs }),
        target.name,
        target.flag,
      ),
    );

  /** Takes a state, unless a newer one was heard. */
  const take = (heard: HeardConfigMap): boolean => {
    if (isOlderVersion(heard.version, version)) return false;
    version = heard.version;
    return world.heard(heard);
  };

  const begin = async (connection: Connection) => {
    const before = version;
    const heard = await list(connection, fromScratch ? "" : version, ANSWER_MS);
    if (fromScratch && version === before) version = "";
    else if (isOlderVersion(heard.version, before))
      throw new Refused(504, `version ${heard.version} is older than ${before}, which was heard before`);
    fromScratch = false;
    take(heard);
    return heard.version;
  };

  const takeLine = (line: string) => {
    const event = checked(parseWatchEvent(line, target.name, target.flag));
    if (event.kind === "error") throw new Refused(event.status, `${event.status} ${event.message}`);
    if (event.kind === "state") take(event.heard);
    else if (!isOlderVersion(event.version, version)) version = event.version;
  };

  const run = async (): Promise<SessionEnd> => {
    const seconds = Math.round(WATCH_S * (1 + world.random()));
    let since: number | undefined;
    const watchedMs = () => (since === undefined ? 0 : world.now() - since);
    try {
      session = open(target.server);
      const from = await begin(session);
      const query = { watch: "1", allowWatchBookmarks: "true", timeoutSeconds: String(seconds) };
      const path = pathOf(target, { ...query, resourceVersion: from });
      const lines = await session.watch({ path, withinMs: ANSWER_MS }, seconds * 1_000 + OVERDUE_MS);
      since = world.now();
      world.watching();
      for await (const line of lines) takeLine(line);
      if (watchedMs() >= seconds * 1_000 - EARLY_MS) return { kind: "ended" };
      return { kind: "dropped", watchedMs: watchedMs(), message: "the API server ended the watch early" };
    } catch (error) {
      const { message } = asFailure(error);
      if (!(error instanceof Refused))
        return since === undefined
          ? { kind: "failed", message }
          : { kind: "dropped", watchedMs: watchedMs(), message };
      const { status, afterMs } = error;
      if (status === 410 || status === 504) fromScratch = true;
      return { kind: "refused", watchedMs: watchedMs(), status, afterMs, message };
    } finally {
      session?.close();
      session = undefined;
    }
  };

  const forEver = async () => {
    let failures = NO_FAILURES;
    while (!signal.aborted) {
      const end = await run();
      if (signal.aborted) return;
      failures = failuresAfter(failures, end);
      world.ended(end, failures);
      await world.sleep(pauseAfter(end, failures, world.random()), signal);
    }
  };
  forEver().catch((error: unknown) => {
    // A broken invariant ends the process, wherever it occurs.
    queueMicrotask(() => {
      throw error;
    });
  });

  return {
    version: () => version,
    async ask(withinMs) {
      let connection: Connection | undefined;
      const before = version;
      try {
        connection = open(target.server);
        const heard = await list(connection, "", withinMs);
        const isOlder = isOlderVersion(heard.version, version);
        // The watch has missed it, or cannot see it: the next session finds out why.
        if (take(heard) || (isOlder && version === before)) session?.close();
        return !isOlder || version !== before;
      } catch (error) {
        asFailure(error);
        return false;
      } finally {
        connection?.close();
      }
    },
  };
}

function pathOf({ namespace, name }: ConfigMapName, query: Readonly<Record<string, string>>): string {
  const search = new URLSearchParams({ fieldSelector: `metadata.name=${name}`, ...query });
  return `/api/v1/namespaces/${namespace}/configmaps?${search}`;
}

function checked<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.message);
}

/** A failure of the world; throws an error of our own code again. */
function asFailure(error: unknown): Error {
  const isOurs = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  if (!(error instanceof Error) || (isOurs && !("code" in error))) throw error;
  return error;
}
