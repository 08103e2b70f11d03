/**
 * Thousands of watchers in one process: each follows the ConfigMap by the agent's own code (src/api), with a connection, sessions and
 * pauses of its own. It runs in a child, which is the same program with `--herd`.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { FollowTarget } from "../../src/api/config-map-requests.ts";
import { follow } from "../../src/api/follow.ts";
import type { SessionEnd } from "../../src/api/pause.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { ApiServer } from "./server.ts";

/** What the watchers have seen. */
export interface HerdCount {
  readonly watching: number;
  /** When each heard of a change since the last `mark`, in milliseconds since 1970. */
  readonly heardAt: readonly number[];
  /** Sessions that have ended since the last `mark`: by the server's status, or by how they ended. */
  readonly ends: Readonly<Record<string, number>>;
}

export interface Herd {
  readonly count: () => Promise<HerdCount>;
  readonly mark: () => Promise<HerdCount>;
  readonly end: () => void;
}

/** Starts `count` watchers, so many a second, in a process that may have that many connections. */
export function startHerd({ lab, account }: ApiServer, count: number, perSecond: number): Herd {
  const script = `ulimit -n ${count + 1_000} && exec "$@"`;
  const own = [process.execPath, "--max-old-space-size=8000", process.argv[1] ?? ""];
  const words = ["sh", "-c", script, "-", ...own, "--herd", account, String(count), String(perSecond)];
  const [file = "", ...args] = lab.inside("node", ...words);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const waiting: ((line: string) => void)[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.(line));
  const ask = (word: string) =>
    new Promise<HerdCount>((done) => {
      waiting.push((line) => done(JSON.parse(line) as HerdCount));
      child.stdin.write(`${word}\n`);
    });
  return { count: () => ask("count"), mark: () => ask("mark"), end: () => child.kill("SIGKILL") };
}

/** Waits until so many watch; returns after how many milliseconds since `start`, in milliseconds since 1970. */
export async function watching(
  herd: Herd,
  wanted: number,
  start = Date.now(),
  deadlineMs = 600_000,
): Promise<number> {
  for (;;) {
    const { watching } = await herd.count();
    const tookMs = Date.now() - start;
    if (watching >= wanted) return tookMs;
    if (tookMs > deadlineMs) throw new Error(`only ${watching} of ${wanted} watch`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** The child. */
export function herdChild([credentials = "", count = "", perSecond = ""]: readonly string[]): void {
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
  createInterface({ input: process.stdin }).on("line", (word) => {
    console.log(JSON.stringify({ watching, heardAt, ends } satisfies HerdCount));
    if (word === "mark") [heardAt, ends] = [[], {}];
  });
}

function nameOf(end: SessionEnd): string {
  if (end.kind === "refused") return String(end.status);
  return end.kind === "failed" ? (/\b[A-Z]{5,}\b/.exec(end.message)?.[0] ?? "failed") : end.kind;
}
