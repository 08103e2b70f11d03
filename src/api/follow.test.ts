import { describe, expect, test } from "vitest";
import type { HeardConfigMap } from "../core/configmap/object.ts";
import type { ReadConnection } from "./connection.ts";
import { type Follower, follow } from "./follow.ts";
import { Refused } from "./refused.ts";

/** One session as the server plays it: the answer to the list, then the lines of the watch; an Error is thrown. */
interface Session {
  readonly list: string | Error;
  readonly watch?: readonly (string | Error)[] | Error;
  /** The milliseconds that the watch lasts; by default as long as it may. */
  readonly lastsMs?: number;
}

const metadata = (resourceVersion: string) => ({ name: "a", resourceVersion });
const list = (version: string, config?: string) =>
  JSON.stringify({
    kind: "ConfigMapList",
    metadata: { resourceVersion: version },
    items: config === undefined ? [] : [{ metadata: metadata(version), data: { config } }],
  });
const line = (type: string, version: string, config = "") =>
  JSON.stringify({ type, object: { metadata: metadata(version), data: { config } } });
const REFUSED_410 = JSON.stringify({ type: "ERROR", object: { code: 410, message: "too old" } });

/** Follows through these sessions; returns what was asked, heard and said, one line each. */
async function followed(sessions: readonly Session[], known = "") {
  const trace: string[] = [];
  const left = [...sessions];
  const controller = new AbortController();
  let now = 0;
  const connect = (): ReadConnection => {
    const session = left.shift();
    if (session === undefined) controller.abort();
    const { list: answer, watch = [], lastsMs } = session ?? { list: new Error("over") };
    return {
      async get({ path }) {
        if (session !== undefined) trace.push(`LIST ${versionIn(path)}`);
        if (answer instanceof Error) throw answer;
        return answer;
      },
      async watch({ path }, forMs) {
        trace.push(`WATCH ${versionIn(path)}`);
        if (watch instanceof Error) throw watch;
        return play(watch, () => {
          now += lastsMs ?? forMs - 30_000;
        });
      },
      close: () => {},
    };
  };
  await new Promise<void>((done) => {
    const world = {
      heard: ({ version, found }: HeardConfigMap) => {
        const bytes = found?.keys.get("config");
        trace.push(`${version}: ${bytes === undefined ? "absent" : Buffer.from(bytes)}`);
        return true;
      },
      watching: () => trace.push("watching"),
      ended: (end: { readonly kind: string; readonly message?: string }) =>
        trace.push(end.message === undefined ? end.kind : `${end.kind}: ${end.message}`),
      now: () => now,
      sleep: async (ms: number) => void trace.push(`pause ${ms / 1000}`),
      random: () => 0.5,
      connect,
    };
    controller.signal.addEventListener("abort", () => done(), { once: true });
    const server = { host: "h", port: "1", credentials: "/none" };
    const flag = { kind: "file", key: "config" } as const;
    follow({ server, namespace: "n", name: "a", flag }, known, world, controller.signal);
  });
  return trace;
}

async function* play(lines: readonly (string | Error)[], over: () => void): AsyncGenerator<string> {
  for (const one of lines) {
    if (one instanceof Error) {
      over();
      throw one;
    }
    yield one;
  }
  over();
}

function versionIn(path: string): string {
  const query = new URLSearchParams(path.split("?")[1]);
  expect(query.get("fieldSelector")).toBe("metadata.name=a");
  expect(path).toMatch(/^\/api\/v1\/namespaces\/n\/configmaps\?/);
  return query.get("resourceVersion") || "newest";
}

describe("sessions", () => {
  test("a list, a watch from there, and the next session from what was heard", async () => {
    const first = {
      list: list("5", "A"),
      watch: [line("MODIFIED", "7", "B"), line("BOOKMARK", "9"), line("DELETED", "11")],
    };
    expect(await followed([first, { list: list("12") }])).toEqual([
      ...["LIST newest", "5: A", "WATCH 5", "watching", "7: B", "11: absent", "ended", "pause 0.5"],
      ...["LIST 11", "12: absent", "WATCH 12", "watching", "ended", "pause 0.5"],
    ]);
  });

  test("the version that an earlier process has heard is the oldest that counts", async () => {
    expect((await followed([{ list: list("12", "A") }], "9")).slice(0, 2)).toEqual(["LIST 9", "12: A"]);
  });

  test("bookmarks move the version along", async () => {
    const trace = await followed([
      { list: list("5", "A"), watch: [line("BOOKMARK", "900")] },
      { list: list("901", "A") },
    ]);
    expect(trace).toContain("LIST 900");
  });

  test("410 on the watch: the newest is asked for", async () => {
    const trace = await followed([
      { list: list("5", "A"), watch: [REFUSED_410], lastsMs: 0 },
      { list: list("2000", "B") },
    ]);
    expect(trace.slice(2, 8)).toEqual([
      "WATCH 5",
      "watching",
      "refused: 410 too old",
      "pause 1.2",
      "LIST newest",
      "2000: B",
    ]);
  });

  test("504, as after a restored backup: an older text is the truth then", async () => {
    const trace = await followed(
      [
        { list: new Refused(504, "504: Too large resource version", 1_000) },
        { list: list("5", "old") },
        { list: list("6", "old") },
      ],
      "900",
    );
    expect(trace.slice(0, 5)).toEqual([
      "LIST 900",
      "refused: 504: Too large resource version",
      "pause 1.2",
      "LIST newest",
      "5: old",
    ]);
    expect(trace).toContain("LIST 5");
  });

  test("an older state than one heard before does not count, unless it is the newest", async () => {
    const trace = await followed([{ list: list("800", "old") }, { list: list("801", "old") }], "900");
    expect(trace.filter((one) => /^(?:LIST|\d)/.test(one))).toEqual(["LIST 900", "LIST newest", "801: old"]);
  });

  test("an event that is older than what was heard is dropped", async () => {
    const trace = await followed([
      { list: list("50", "B"), watch: [line("MODIFIED", "7", "A"), line("MODIFIED", "51", "C")] },
    ]);
    expect(trace.filter((one) => /^\d/.test(one))).toEqual(["50: B", "51: C"]);
  });

  test("a watch that ends early, or breaks, is dropped: the nodes come back spread", async () => {
    const trace = await followed([
      { list: list("5", "A"), lastsMs: 120_000 },
      { list: list("5", "A"), watch: [new Error("aborted")], lastsMs: 70_000 },
      { list: list("5", "A"), watch: ["<html>"], lastsMs: 0 },
    ]);
    expect(trace.filter((one) => /dropped|pause/.test(one))).toEqual([
      "dropped: the API server ended the watch early",
      "pause 15",
      "dropped: aborted",
      "pause 15",
      "dropped: the watch has a line that is not an event of it: <html>",
      "pause 15",
    ]);
  });

  test("no answer, and not one of an API server", async () => {
    const trace = await followed([
      { list: new Error("connect ECONNREFUSED 10.0.0.1:443") },
      { list: "<html>Sign in</html>" },
      { list: new Refused(403, "403 Forbidden: no") },
      { list: list("5"), watch: new Refused(429, "429: busy", 20_000) },
    ]);
    expect(trace.filter((one) => !/LIST|WATCH/.test(one))).toEqual([
      "failed: connect ECONNREFUSED 10.0.0.1:443",
      "pause 1.2",
      "failed: the answer is not a list of ConfigMaps: <html>Sign in</html>",
      "pause 2.4",
      "refused: 403 Forbidden: no",
      "pause 4.8",
      "5: absent",
      "refused: 429: busy",
      "pause 20",
    ]);
  });
});

describe("a question beside the watch", () => {
  /** A follower whose watch has heard version 10 and is silent; it is asked, and gets this answer. */
  async function asked(answer: string | Error, isChange: boolean) {
    const heard: string[] = [];
    let closed = 0;
    let questions = 0;
    const controller = new AbortController();
    let follower: Follower | undefined;
    const begun = new Promise<void>((watching) => {
      const connect = (): ReadConnection => {
        const isWatch = questions++ === 0;
        let end = () => {};
        return {
          async get({ path }) {
            if (!isWatch) expect(versionIn(path)).toBe("newest");
            const text = isWatch ? list("10", "A") : answer;
            if (text instanceof Error) throw text;
            return text;
          },
          watch: async () => {
            const silence = new Promise<void>((over) => {
              end = over;
            });
            return (async function* () {
              await silence;
              yield* [];
            })();
          },
          close: () => {
            if (isWatch) closed++;
            end();
          },
        };
      };
      const world = {
        heard: ({ version }: HeardConfigMap) => {
          heard.push(version);
          return isChange;
        },
        watching,
        ended: () => controller.abort(),
        now: () => 0,
        sleep: async () => {},
        random: () => 0,
        connect,
      };
      const flag = { kind: "file", key: "config" } as const;
      const server = { host: "h", port: "1", credentials: "/none" };
      follower = follow({ server, namespace: "n", name: "a", flag }, "", world, controller.signal);
    });
    await begun;
    const answered = await follower?.ask(5_000);
    const isWatching = closed === 0;
    controller.abort();
    return { answered, heard, isWatching };
  }

  test.each<[string, string | Error, boolean, object]>([
    [
      "the same: the watch is sound",
      list("12", "A"),
      false,
      { answered: true, heard: ["10", "12"], isWatching: true },
    ],
    [
      "news that the watch has not told of: it begins again",
      list("12", "B"),
      true,
      { answered: true, heard: ["10", "12"], isWatching: false },
    ],
    [
      "an older state: a restored backup; the next session finds out",
      list("4", "B"),
      true,
      { answered: false, heard: ["10"], isWatching: false },
    ],
    [
      "no answer",
      new Error("no answer within 5 s"),
      true,
      { answered: false, heard: ["10"], isWatching: true },
    ],
    ["a proxy's page", "<html>", true, { answered: false, heard: ["10"], isWatching: true }],
  ])("%s", async (_name, answer, isChange, expected) => {
    expect(await asked(answer, isChange)).toEqual(expected);
  });
});
