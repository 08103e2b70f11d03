import { describe, expect, test } from "vitest";
import { recordedLog } from "../../../test/lab/log.ts";
import type { Cached } from "../../api/cache.ts";
import type { FollowWorld } from "../../api/follow.ts";
import type { SessionEnd } from "../../api/pause.ts";
import type { ConfigText } from "../../core/config.ts";
import { describeConfigMaps, parseConfigMapFlag } from "../../core/configmap/flag.ts";
import { contentOf } from "../../core/configmap/newest.ts";
import { SourceError } from "./file.ts";
import { createTwoSources, type TwoSources } from "./two-sources.ts";

const FILE = "/etc/config/ip-masq-agent";
const MAP = "configmap kube-system/ip-masq-agent (key config)";

interface Start {
  readonly flag?: string;
  readonly cached?: { readonly text: string; readonly older?: readonly string[]; readonly version?: string };
  /** Whether the pod has no service account. */
  readonly isLost?: boolean;
}

/** Sources whose file and API server a test plays; `undefined` is a file that does not exist, an Error one that cannot be read. */
function sourcesOf(
  file: string | undefined | Error,
  { flag: text = "ip-masq-agent", cached, isLost }: Start = {},
) {
  const flag = parseConfigMapFlag(text);
  if (!flag.ok) throw new Error(flag.message);
  const maps = flag.value.maps.map(({ namespace = "kube-system", name }) => ({ namespace, name }));
  const source = describeConfigMaps(flag.value, maps);
  const { log, taken } = recordedLog();
  const played = { file, now: 0, passes: 0, answer: false as boolean | (() => boolean) };
  const written: (readonly [text: string, older: number])[] = [];
  const worlds: FollowWorld[] = [];
  const known: string[] = [];
  const cache = {
    read: () => cached && cachedOf(cached, source),
    write: ({ text, older }: Cached) => void written.push([contentText(text), older.length]),
  };
  const sources = createTwoSources({
    flag: flag.value,
    source,
    located: isLost
      ? { ok: false, why: "KUBERNETES_SERVICE_HOST is not set, so this is not a pod" }
      : {
          ok: true,
          server: { host: "10.0.0.1", port: "443", credentials: "/none" },
          namespace: "kube-system",
          maps,
        },
    configPath: FILE,
    readFile: () => {
      if (played.file instanceof Error) throw new SourceError(FILE, played.file);
      return fileText(played.file);
    },
    cache,
    loadFollow: async () => (_target, version, world) => {
      known.push(version);
      worlds.push(world);
      return {
        version: () => "77",
        ask: async () => {
          await settled();
          return typeof played.answer === "boolean" ? played.answer : played.answer();
        },
      };
    },
    changed: () => played.passes++,
    random: () => 0,
    now: () => played.now,
    sleep: async () => {},
    log,
  });
  const open = async () => {
    sources.open(new AbortController().signal);
    await settled();
  };
  /** The API server says that a ConfigMap has this text; undefined: that it does not exist. */
  const tell = (text: string | undefined, index = 0, key = "config") => {
    const keys = new Map(text === undefined ? [] : [[key, bytesOf(text)]]);
    return worlds[index]?.heard({
      version: "78",
      found: text === undefined ? undefined : { uid: "u", version: "70", keys, others: [] },
    });
  };
  return { sources, played, written, worlds, known, open, tell, taken };
}

/** Lets promises that are due go on. */
const settled = () => new Promise((done) => setImmediate(done));

const bytesOf = (text: string) => new TextEncoder().encode(text);

function fileText(text: string | undefined): ConfigText {
  return { kind: "file", files: text === undefined ? [] : [{ path: FILE, bytes: bytesOf(text) }] };
}

function cachedOf(
  { text, older = [], version = "50" }: NonNullable<Start["cached"]>,
  source: string,
): Cached {
  const files = [{ path: MAP, bytes: bytesOf(text) }];
  return {
    ...contentOf({ kind: "file", files, source: `${source}, as cached` }),
    older: older.map((one) => contentOf(fileText(one)).hash),
    versions: { "kube-system/ip-masq-agent": version },
  };
}

function contentText({ files }: ConfigText): string {
  return files.map(({ bytes }) => Buffer.from(bytes)).join() || "absent";
}

/** What counts, and where it comes from: `A api`. */
function reading(sources: TwoSources): string {
  const text = sources.readConfig();
  return `${contentText(text)} ${sources.view().source}`;
}

describe("the start", () => {
  test("the file counts, without a wait for the API server", async () => {
    const { sources, open, known } = sourcesOf("A");
    expect(reading(sources)).toBe("A file");
    await open();
    expect(reading(sources)).toBe("A file");
    expect(known).toEqual([""]);
  });

  test("after a restart within the minute the cache counts, and its version is the oldest that the API server may tell", async () => {
    const { sources, open, known, taken } = sourcesOf("A", { cached: { text: "B", older: ["A"] } });
    expect(reading(sources)).toBe("B cache");
    expect(sources.readConfig().source).toBe(`${MAP}, as cached`);
    expect(taken()).toEqual([`I the mounted file is older than the cached ${MAP}, which counts`]);
    await open();
    expect(known).toEqual(["50"]);
  });

  test("a file that the cache does not know is newer; the cache is written again", async () => {
    const { sources, open, known, written } = sourcesOf("C", { cached: { text: "B", older: ["A"] } });
    expect(reading(sources)).toBe("C file");
    expect(written).toEqual([["C", 0]]);
    await open();
    expect(known).toEqual([""]);
  });

  test("a file that cannot be read is an error, unless there is a cache", () => {
    const broken = new Error("input/output error");
    expect(() => sourcesOf(broken).sources.readConfig()).toThrow(`${FILE}: input/output error`);
    expect(reading(sourcesOf(broken, { cached: { text: "B" } }).sources)).toBe("B cache");
  });

  test("without a service account there is the file alone, said once", async () => {
    const { sources, open, taken, played } = sourcesOf("A", { isLost: true });
    expect(reading(sources)).toBe("A file");
    await open();
    expect(taken()).toEqual([
      `W cannot follow --config-map: KUBERNETES_SERVICE_HOST is not set, so this is not a pod; only ${FILE} counts`,
    ]);
    for (const text of ["B", "A", "B"]) {
      played.file = text;
      expect(reading(sources)).toBe(`${text} file`);
    }
    expect(sources.view()).toMatchObject({
      up: false,
      why: expect.stringContaining("KUBERNETES_SERVICE_HOST"),
    });
  });
});

describe("edits", () => {
  test("the API server's word counts at once, and is cached before any rule is written", async () => {
    const { sources, open, tell, played, written } = sourcesOf("A");
    reading(sources);
    await open();
    expect(tell("B")).toBe(true);
    expect([played.passes, written]).toEqual([1, [["B", 1]]]);
    expect(reading(sources)).toBe("B api");
    const { source, files } = sources.readConfig();
    expect([source, files[0]?.path]).toEqual([MAP, MAP]);
    // The kubelet follows a minute later.
    played.file = "B";
    expect(reading(sources)).toBe("B api");
    expect(written.at(-1)).toEqual(["B", 0]);
  });

  test("the same text only changes its source: its bytes stay, and no second copy", async () => {
    const { sources, open, tell, played } = sourcesOf("A");
    const before = sources.readConfig();
    await open();
    expect(tell("A")).toBe(false);
    expect(played.passes).toBe(1);
    const after = sources.readConfig();
    expect([after.source, after.files]).toEqual([MAP, before.files]);
    expect(after.files[0]?.bytes).toBe(before.files[0]?.bytes);
    expect(tell("A")).toBe(false);
    expect(played.passes).toBe(1);
  });

  test("deleted, or without the key: the defaults, as with the volume; a missing key is a sentence", async () => {
    const { sources, open, tell, worlds, taken } = sourcesOf("A");
    reading(sources);
    await open();
    tell(undefined);
    expect(reading(sources)).toBe("absent api");
    expect(sources.readConfig().source).toBe(MAP);
    expect(taken()).toEqual([]);
    for (const version of ["80", "81"])
      worlds[0]?.heard({ version, found: { uid: "u", version: "70", keys: new Map(), others: ["confg"] } });
    expect(taken()).toEqual([
      'W configmap kube-system/ip-masq-agent has no key "config" (it has "confg"): it counts as missing',
    ]);
  });

  test("several ConfigMaps count once all were heard", async () => {
    const { sources, open, tell } = sourcesOf("A", { flag: "a,b" });
    reading(sources);
    await open();
    tell("x", 0, "ip-masq-1");
    expect(reading(sources)).toBe("A file");
    tell("y", 1, "ip-masq-2");
    expect(reading(sources)).toBe("x,y api");
    tell("z", 0, "ip-masq-1");
    expect(reading(sources)).toBe("z,y api");
  });
});

describe("a file that surprises", () => {
  test("before the API server counts it is asked; its word counts", async () => {
    const { sources, open, tell, played } = sourcesOf("A");
    reading(sources);
    await open();
    tell("B");
    played.answer = () => {
      tell("C");
      return true;
    };
    played.file = "C";
    expect(reading(sources)).toBe("B api");
    await settled();
    await settled();
    expect(reading(sources)).toBe("C api");
  });

  test("without an answer the file counts, back and forth, and a pass follows", async () => {
    const { sources, open, tell, played } = sourcesOf("A");
    reading(sources);
    await open();
    tell("B");
    for (const text of ["C", "A", "B"]) {
      played.file = text;
      const before = played.passes;
      sources.readConfig();
      await settled();
      await settled();
      // A is older than B as far as it is known, but not once the file has shown C.
      expect([reading(sources), played.passes - before]).toEqual([`${text} file`, 1]);
    }
  });

  test("a file that lags is not believed, and nobody is asked", async () => {
    const { sources, open, tell, played } = sourcesOf("A");
    reading(sources);
    await open();
    for (const text of ["B", "C"]) tell(text);
    played.answer = () => expect.fail("asked");
    played.file = "B";
    expect(reading(sources)).toBe("C api");
    await settled();
  });

  test("one that cannot be read does not matter while the API server's word counts", async () => {
    const { sources, open, tell, played } = sourcesOf("A");
    reading(sources);
    await open();
    tell("B");
    played.file = new Error("input/output error");
    expect(reading(sources)).toBe("B api");
  });

  test("one that does not become the ConfigMap within 5 minutes is said once", async () => {
    const { sources, open, tell, played, taken } = sourcesOf("A");
    reading(sources);
    await open();
    tell("B");
    taken();
    const later = (minutes: number) => {
      played.now += minutes * 60_000;
      sources.readConfig();
      return taken();
    };
    expect([later(0), later(4.9)]).toEqual([[], []]);
    expect(later(0.2)).toEqual([
      `W ${FILE} has differed from ${MAP} for 5 minutes, and the ConfigMap counts: is a different one mounted there, or was it immutable and made again?`,
    ]);
    expect(later(60)).toEqual([]);
    // An edit begins another 5 minutes.
    played.file = "B";
    expect(later(60)).toEqual([]);
    tell("C");
    expect([later(0), later(4.9)]).toEqual([[], []]);
    expect(later(0.2)).toHaveLength(1);
  });
});

describe("what is said of the sessions", () => {
  const failed: SessionEnd = { kind: "failed", message: "connect ECONNREFUSED 10.0.0.1:443" };
  const forbidden: SessionEnd = {
    kind: "refused",
    status: 403,
    afterMs: 0,
    watchedMs: 0,
    message: "403 Forbidden: no",
  };
  const LAST = `; retrying, and until then the last text counts, or ${FILE} where that is newer`;

  test("a line when it follows, when a cause is new, from the second failure on, and when it follows again", async () => {
    const { sources, open, worlds, taken } = sourcesOf("A");
    await open();
    const [world] = worlds as [FollowWorld];
    const end = (one: SessionEnd, count: number) => world.ended(one, { count, forbidden: 0 });
    world.watching();
    expect(taken()).toEqual([`I following ${MAP} through the API server at 10.0.0.1:443`]);
    expect(sources.view()).toMatchObject({ up: true, why: null });
    end({ kind: "ended" }, 0);
    expect(sources.view().up).toBe(true);
    end(failed, 1);
    expect([taken(), sources.view().up]).toEqual([[], false]);
    for (const count of [2, 3, 4]) end(failed, count);
    end(forbidden, 5);
    end(failed, 6);
    expect(taken()).toEqual([
      `W cannot follow configmap kube-system/ip-masq-agent: connect ECONNREFUSED 10.0.0.1:443${LAST}`,
      `W cannot follow configmap kube-system/ip-masq-agent: 403 Forbidden: no; it needs a Role with list and watch on this name, as in deploy/kustomize/components/api-watch${LAST}`,
    ]);
    world.watching();
    expect(taken()).toHaveLength(1);
    expect(sources.view()).toMatchObject({ sessions: { ended: 1, dropped: 0, refused: 1, failed: 5 } });
  });

  test("a session that ends by its time and a watch that is dropped once have no line", async () => {
    const { open, worlds, taken } = sourcesOf("A");
    await open();
    const [world] = worlds as [FollowWorld];
    for (let i = 0; i < 3; i++) {
      world.watching();
      world.ended({ kind: "ended" }, { count: 0, forbidden: 0 });
      world.watching();
      world.ended({ kind: "dropped", watchedMs: 200_000, message: "aborted" }, { count: 1, forbidden: 0 });
    }
    expect(taken()).toHaveLength(1);
  });
});
