/**
 * Thousands of watchers in one process: each follows the ConfigMap by the agent's own code (src/api), with a connection, sessions and
 * pauses of its own.
 */
import type { FollowTarget } from "../../src/api/config-map-requests.ts";
import { follow } from "../../src/api/follow.ts";
import type { SessionEnd } from "../../src/api/pause.ts";
import { systemClock } from "../../src/system/clock.ts";
import { serveTask, startTask, type Task } from "../task.ts";
import type { ApiServer } from "./server.ts";

/** What the watchers have seen. */
export interface HerdCount {
  readonly watching: number;
  /** When each heard of a change since the last `mark`, in milliseconds since 1970. */
  readonly heardAt: readonly number[];
  /** Sessions that have ended since the last `mark`: by the server's status, or by how they ended. */
  readonly ends: Readonly<Record<string, number>>;
}

/** After "mark", it counts from zero. */
type Herd = Task<"count" | "mark", HerdCount>;

/** Starts `count` watchers, so many a second, in a process that may have that many connections. */
export function startHerd({ lab, account }: ApiServer, count: number, perSecond: number): Promise<Herd> {
  const script = `ulimit -n ${count + 1_000} && NODE_OPTIONS=--max-old-space-size=8000 exec "$@"`;
  return startTask(lab.inside("node", "sh", "-c", script, "-"), "herd", account, `${count}`, `${perSecond}`);
}

/** Waits until so many watch; returns after how many milliseconds since `start`, in milliseconds since 1970. */
export async function watching(
  herd: Herd,
  wanted: number,
  start = Date.now(),
  deadlineMs = 600_000,
): Promise<number> {
  for (;;) {
    const { watching } = await herd.ask("count");
    const tookMs = Date.now() - start;
    if (watching >= wanted) return tookMs;
    if (tookMs > deadlineMs) throw new Error(`only ${watching} of ${wanted} watch`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** The task. */
export function herd(credentials = "", count = "", perSecond = ""): Promise<void> {
  const target: FollowTarget = {
    ...{ namespace: "kube-system", name: "ip-masq-agent" },
    flag: { kind: "file", key: "config" },
    server: { host: "127.0.0.1", port: "6443", credentials },
  };
  let watching = 0;
  let heardAt: number[] = [];
  let ends: Record<string, number> = {};
  const startOne = () => {
    let isWatching = false;
    let version = "";
    follow(
      target,
      "",
      {
        ...systemClock,
        random: Math.random,
        heard({ version: next }) {
          if (version !== "") heardAt.push(Date.now());
          const isNew = next !== version;
          version = next;
          return isNew;
        },
        watching() {
          isWatching = true;
          watching++;
        },
        ended(end) {
          if (isWatching) watching--;
          isWatching = false;
          const name = nameOf(end);
          ends[name] = (ends[name] ?? 0) + 1;
        },
      },
      new AbortController().signal,
    );
  };
  let started = 0;
  const begin = performance.now();
  const timer = setInterval(() => {
    const due = Math.min(Number(count), ((performance.now() - begin) / 1_000) * Number(perSecond));
    for (; started < due; started++) startOne();
    if (started >= Number(count)) clearInterval(timer);
  }, 20);
  return serveTask<"count" | "mark">((word): HerdCount => {
    const seen = { watching, heardAt, ends };
    if (word === "mark") [heardAt, ends] = [[], {}];
    return seen;
  });
}

function nameOf(end: SessionEnd): string {
  if (end.kind === "refused") return String(end.status);
  return end.kind === "failed" ? (/\b[A-Z]{5,}\b/.exec(end.message)?.[0] ?? "failed") : end.kind;
}
