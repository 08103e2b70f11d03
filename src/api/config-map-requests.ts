/** The list and the watch of one ConfigMap. They select one name, never a label: a write to any other ConfigMap then costs the API server nothing. */

import type { ConfigMapFlag, ConfigMapName } from "../core/configmap/flag.ts";
import {
  type HeardConfigMap,
  parseConfigMapList,
  parseWatchEvent,
  type WatchEvent,
} from "../core/configmap/object.ts";
import type { Parsed } from "../go/flag-types.ts";
import type { ApiServer, ReadConnection } from "./connection.ts";

/** A ConfigMap, and which of its keys matter. */
export interface FollowTarget extends ConfigMapName {
  readonly server: ApiServer;
  readonly flag: Pick<ConfigMapFlag, "kind" | "key">;
}

const ANSWER_MS = 30_000;
const OVERDUE_MS = 30_000;

/** The state at a version or newer; `from` empty: the newest. Throws as a connection does, or if the answer is not about it. */
export async function listConfigMap(
  connection: ReadConnection,
  target: FollowTarget,
  from: string,
  withinMs = ANSWER_MS,
): Promise<HeardConfigMap> {
  const answer = await connection.get({ path: pathOf(target, { resourceVersion: from }), withinMs });
  return checked(parseConfigMapList(answer, target.name, target.flag));
}

/** What happens after a version, for so many seconds. Throws as `listConfigMap`, also later. */
export async function watchConfigMap(
  connection: ReadConnection,
  target: FollowTarget,
  from: string,
  seconds: number,
): Promise<AsyncIterable<WatchEvent>> {
  const query = { watch: "1", allowWatchBookmarks: "true", timeoutSeconds: String(seconds) };
  const path = pathOf(target, { ...query, resourceVersion: from });
  const lines = await connection.watch({ path, withinMs: ANSWER_MS }, seconds * 1_000 + OVERDUE_MS);
  return eventsOf(lines, target);
}

async function* eventsOf(
  lines: AsyncIterable<string>,
  { name, flag }: FollowTarget,
): AsyncGenerator<WatchEvent> {
  for await (const line of lines) yield checked(parseWatchEvent(line, name, flag));
}

function pathOf({ namespace, name }: ConfigMapName, query: Readonly<Record<string, string>>): string {
  const search = new URLSearchParams({ fieldSelector: `metadata.name=${name}`, ...query });
  return `/api/v1/namespaces/${namespace}/configmaps?${search}`;
}

function checked<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.message);
}
