import { EventEmitter } from "node:events";
import { type FSWatcher, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ConfigWatch, type WatchWorld, watchConfig } from "./watch.ts";

let root = "";
const open: ConfigWatch[] = [];

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
  root = realpathSync(mkdtempSync(join(tmpdir(), "watch-")));
});

afterEach(() => {
  for (const one of open.splice(0)) one.close();
  rmSync(root, { recursive: true, force: true });
  vi.useRealTimers();
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
    mkdirSync(join(root, "config"));
    writeFileSync(join(root, "config", "file"), "a");
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

  test("a swap counts at once; a file that is written in place after a quiet time", () => {
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
  ])("events of %s/%s do not count", (directory, name) => {
    const { seen, event } = start();
    event(directory, name);
    vi.advanceTimersByTime(1_000);
    expect(seen.changes).toBe(0);
  });

  test.each([
    ["config", null],
    ["config", "config"],
    ["", "config"],
  ])("events of %s/%s count", (directory, name) => {
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

  test("it polls the file every second, and says so once, with the remedy", () => {
    const path = join(root, "file");
    writeFileSync(path, "a");
    const { seen, watching } = heard(path, { watch: full });
    expect(seen.said).toHaveLength(1);
    expect(seen.said[0]).toMatch(
      /^cannot watch the directory of .*file: ENOSPC.*raise fs\.inotify.*every 1 s instead$/,
    );
    // What happened before was not seen.
    vi.advanceTimersByTime(2_000);
    expect(seen.changes).toBe(1);
    const acts = [() => writeFileSync(path, "bb"), () => rmSync(path), () => mkdirSync(path)];
    for (const [before, act] of acts.entries()) {
      act();
      vi.advanceTimersByTime(999);
      expect(seen.changes).toBe(before + 1);
      vi.advanceTimersByTime(1);
      expect(seen.changes).toBe(before + 2);
    }
    watching.verify();
    expect(seen.said).toHaveLength(1);
  });

  test("it is watched again once that is possible", () => {
    let isFull = true;
    const { watch, listeners } = puppet();
    heard(join(root, "file"), { watch: (...args) => (isFull ? full() : watch(...args)) });
    vi.advanceTimersByTime(59_000);
    isFull = false;
    expect(listeners.size).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect(listeners.size).toBe(2);
  });
});
