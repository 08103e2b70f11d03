import { EventEmitter } from "node:events";
import {
  type FSWatcher,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createVolume } from "../../../test/lab/network/volume.ts";
import { type ConfigWatch, type WatchWorld, watchConfig } from "./watch.ts";

let root = "";
const open: ConfigWatch[] = [];

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "watch-")));
});

afterEach(() => {
  for (const one of open.splice(0)) one.close();
  rmSync(root, { recursive: true, force: true });
});

/** Watches `path`; `changes` is how often it was said that something may have changed. */
function heard(path: string, world: Partial<WatchWorld> = {}) {
  const seen = { changes: 0, said: [] as string[] };
  const watching = watchConfig(path, {
    changed: () => seen.changes++,
    say: (line) => seen.said.push(line),
    ...world,
  });
  open.push(watching);
  return { seen, watching };
}

/** Longer than a change that was made may take to be said again. */
const SETTLED_MS = 150;

/** Does something, and waits until it is noticed; what was done before has been said by then. */
async function noticed(seen: { changes: number }, act: () => void): Promise<void> {
  for (let before = -1; before !== seen.changes; ) {
    before = seen.changes;
    await new Promise((done) => setTimeout(done, SETTLED_MS));
  }
  const before = seen.changes;
  act();
  await vi.waitFor(() => expect(seen.changes).toBeGreaterThan(before), { timeout: 10_000, interval: 5 });
}

/** The beginning of a watch is a change, too. */
async function settled(seen: { changes: number }): Promise<void> {
  await vi.waitFor(() => expect(seen.changes).toBeGreaterThan(0), { timeout: 10_000, interval: 5 });
}

test("each swap of a ConfigMap volume is noticed, and its removal", async () => {
  const volume = createVolume(join(root, "config"));
  volume.write("a");
  const { seen } = heard(volume.path);
  await settled(seen);
  for (const text of ["b", "c", "d"]) await noticed(seen, () => volume.write(text));
  await noticed(seen, () => volume.clear());
  await noticed(seen, () => volume.write("e"));
});

test("a plain file: written in place, replaced, removed, made", async () => {
  const path = join(root, "file");
  writeFileSync(path, "a");
  const { seen } = heard(path);
  await settled(seen);
  await noticed(seen, () => writeFileSync(path, "b"));
  await noticed(seen, () => {
    writeFileSync(`${path}.new`, "c");
    renameSync(`${path}.new`, path);
  });
  await noticed(seen, () => rmSync(path));
  await noticed(seen, () => writeFileSync(path, "d"));
});

test("a directory that is not there yet, nor the one above it", async () => {
  const path = join(root, "a", "b", "file");
  const { seen } = heard(path);
  await noticed(seen, () => mkdirSync(join(root, "a", "b"), { recursive: true }));
  await noticed(seen, () => writeFileSync(path, "a"));
});

test("a directory that vanishes and comes back", async () => {
  const directory = join(root, "config");
  const path = join(directory, "file");
  mkdirSync(directory);
  writeFileSync(path, "a");
  const { seen } = heard(path);
  await settled(seen);
  await noticed(seen, () => rmSync(directory, { recursive: true }));
  await noticed(seen, () => {
    mkdirSync(directory);
    writeFileSync(path, "b");
  });
  await noticed(seen, () => writeFileSync(path, "c"));
});

test("a directory that is replaced by a link, and the link by another", async () => {
  for (const name of ["config", "one", "two"]) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, "file"), name);
  }
  const { seen } = heard(join(root, "config", "file"));
  await settled(seen);
  for (const target of ["one", "two"]) {
    await noticed(seen, () => {
      symlinkSync(target, join(root, "link"));
      rmSync(join(root, "config"), { recursive: true });
      renameSync(join(root, "link"), join(root, "config"));
    });
    await noticed(seen, () => writeFileSync(join(root, target, "file"), "changed"));
  }
});

test("a link to a file elsewhere: where that lies is watched, too", async () => {
  mkdirSync(join(root, "elsewhere"));
  writeFileSync(join(root, "elsewhere", "real"), "a");
  symlinkSync(join("elsewhere", "real"), join(root, "file"));
  const { seen } = heard(join(root, "file"));
  await settled(seen);
  await noticed(seen, () => writeFileSync(join(root, "elsewhere", "real"), "b"));
});

test("a directory that is removed and made anew before anybody looks", async () => {
  const directory = join(root, "config");
  const path = join(directory, "file");
  mkdirSync(directory);
  const { seen } = heard(path);
  await settled(seen);
  for (let i = 0; i < 3; i++) {
    await noticed(seen, () => {
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      writeFileSync(path, `${i}`);
    });
    await noticed(seen, () => writeFileSync(path, `${i}, changed`));
  }
});

test("a link to a ConfigMap's file: its swaps are seen behind the link", async () => {
  const volume = createVolume(join(root, "config"));
  volume.write("a");
  symlinkSync(volume.path, join(root, "link"));
  const { seen } = heard(join(root, "link"));
  await settled(seen);
  for (const text of ["b", "c"]) await noticed(seen, () => volume.write(text));
});

test("a directory that is a link, which is turned elsewhere", async () => {
  for (const name of ["1", "2"]) {
    mkdirSync(join(root, "releases", name), { recursive: true });
    writeFileSync(join(root, "releases", name, "file"), name);
  }
  const turn = (name: string) => {
    symlinkSync(join("releases", name), join(root, "new"));
    renameSync(join(root, "new"), join(root, "current"));
  };
  turn("1");
  const { seen } = heard(join(root, "current", "file"));
  await settled(seen);
  await noticed(seen, () => turn("2"));
  await noticed(seen, () => writeFileSync(join(root, "releases", "2", "file"), "changed"));
});

test("a directory of files", async () => {
  const { seen } = heard(root);
  await settled(seen);
  await noticed(seen, () => writeFileSync(join(root, "ip-masq-1"), "a"));
  await noticed(seen, () => rmSync(join(root, "ip-masq-1")));
});

/** A watcher whose events the test makes. */
function puppet() {
  const listeners = new Map<string, (event: string, name: string | null) => void>();
  const watch: NonNullable<WatchWorld["watch"]> = (directory, listener) => {
    listeners.set(directory, listener);
    const emitter = new EventEmitter() as EventEmitter & Partial<FSWatcher>;
    return Object.assign(emitter, {
      close: () => listeners.delete(directory),
      unref: () => emitter,
    }) as unknown as FSWatcher;
  };
  return { listeners, watch };
}

describe("with events of the test's making", () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
    mkdirSync(join(root, "config"));
    writeFileSync(join(root, "config", "file"), "a");
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const start = () => {
    const { listeners, watch } = puppet();
    const { seen } = heard(join(root, "config", "file"), { watch });
    vi.advanceTimersByTime(1_000);
    seen.changes = 0;
    const event = (directory: string, name: string | null) =>
      listeners.get(join(root, directory))?.("change", name);
    return { seen, event, listeners };
  };

  test("the directory and the one above it are watched", () => {
    const { listeners } = start();
    expect([...listeners.keys()].sort()).toEqual([root, join(root, "config")].sort());
  });

  test("a swap is acted on at once; what is written in place when it has been left alone", () => {
    const { seen, event } = start();
    event("config", "..data");
    expect(seen.changes).toBe(1);
    event("config", "file");
    vi.advanceTimersByTime(9);
    expect(seen.changes).toBe(1);
    vi.advanceTimersByTime(1);
    expect(seen.changes).toBe(2);
  });

  test("a file that never is left alone is read all the same, ten times a second", () => {
    const { seen, event } = start();
    for (let ms = 0; ms < 1_000; ms += 5) {
      event("config", "file");
      vi.advanceTimersByTime(5);
    }
    expect(seen.changes).toBeGreaterThanOrEqual(9);
    expect(seen.changes).toBeLessThanOrEqual(10);
  });

  test.each([
    ["config", "other"],
    ["config", "..2026_01_01"],
    ["config", "..data_tmp"],
    ["", "other"],
    ["", "config-of-another"],
  ])("what happens to %s/%s is none of our business", (directory, name) => {
    const { seen, event } = start();
    event(directory, name);
    vi.advanceTimersByTime(1_000);
    expect(seen.changes).toBe(0);
  });

  test.each([
    ["config", null],
    ["config", "config"],
    ["", "config"],
  ])("what happens to %s/%s is", (directory, name) => {
    const { seen, event } = start();
    event(directory, name);
    vi.advanceTimersByTime(1_000);
    expect(seen.changes).toBe(1);
  });
});

describe("where inotify's limits are exhausted", () => {
  const full = () => {
    throw Object.assign(new Error("ENOSPC: System limit for number of file watchers reached, watch"), {
      code: "ENOSPC",
    });
  };

  test("the file is looked at every second, which is said once, with what to do", async () => {
    const path = join(root, "file");
    writeFileSync(path, "a");
    const { seen, watching } = heard(path, { watch: full });
    expect(seen.said).toHaveLength(1);
    expect(seen.said[0]).toMatch(
      /^cannot watch the directory of .*file: ENOSPC.*raise fs\.inotify.*every 1 s instead$/,
    );
    await noticed(seen, () => writeFileSync(path, "bb"));
    await noticed(seen, () => rmSync(path));
    await noticed(seen, () => mkdirSync(path));
    watching.verify();
    expect(seen.said).toHaveLength(1);
  });

  test("it is watched again once that is possible", () => {
    vi.useFakeTimers();
    try {
      let isFull = true;
      const { watch, listeners } = puppet();
      heard(join(root, "file"), { watch: (...args) => (isFull ? full() : watch(...args)) });
      vi.advanceTimersByTime(59_000);
      isFull = false;
      expect(listeners.size).toBe(0);
      vi.advanceTimersByTime(1_000);
      expect(listeners.size).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

test("nothing is said any more once it is closed", async () => {
  const path = join(root, "file");
  const first = heard(path);
  const second = heard(path);
  await settled(first.seen);
  await settled(second.seen);
  first.watching.close();
  const { changes } = first.seen;
  await noticed(second.seen, () => writeFileSync(path, "a"));
  first.watching.verify();
  expect(first.seen.changes).toBe(changes);
});
