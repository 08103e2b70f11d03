/** The watch on the configuration with the kernel's own events: whatever becomes of the path, the change is noticed. */
import {
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
import { test as base, describe, expect } from "vitest";
import { type ConfigWatch, watchConfig } from "../../../src/agent/config/watch.ts";
import { eventually } from "../../lab/network/lab.ts";
import { createVolume } from "../../lab/network/volume.ts";

interface Seen {
  changes: number;
}

/** A directory of the test's own, and watches in it that end with the test. */
interface Place {
  readonly root: string;
  /** Watches `path`; `changes` is how often it was said that something may have changed. */
  readonly heard: (path: string) => { readonly seen: Seen; readonly watching: ConfigWatch };
}

const test = base.extend<{ place: Place }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads what a fixture needs from here
  place: async ({}, use) => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "watch-")));
    const open: ConfigWatch[] = [];
    const heard = (path: string) => {
      const seen = { changes: 0 };
      const watching = watchConfig(path, { changed: () => seen.changes++, say: (line) => expect.fail(line) });
      open.push(watching);
      return { seen, watching };
    };
    await use({ root, heard });
    for (const one of open) one.close();
    rmSync(root, { recursive: true, force: true });
  },
});

/** Longer than a change that was made may take to be said again. */
const SETTLED_MS = 150;

/** Does something, and waits until it is noticed; what was done before has been said by then. */
async function noticed(seen: Seen, act: () => void): Promise<void> {
  for (let before = -1; before !== seen.changes; ) {
    before = seen.changes;
    await new Promise((done) => setTimeout(done, SETTLED_MS));
  }
  const before = seen.changes;
  act();
  await eventually(() => expect(seen.changes).toBeGreaterThan(before));
}

/** The beginning of a watch is a change, too. */
async function settled(seen: Seen): Promise<void> {
  await eventually(() => expect(seen.changes).toBeGreaterThan(0));
}

// They wait for the kernel, not for the processor.
describe.concurrent("noticed", () => {
  test("each swap of a ConfigMap volume is noticed, and its removal", async ({ place: { root, heard } }) => {
    const volume = createVolume(join(root, "config"));
    volume.write("a");
    const { seen } = heard(volume.path);
    await settled(seen);
    for (const text of ["b", "c", "d"]) await noticed(seen, () => volume.write(text));
    await noticed(seen, () => volume.clear());
    await noticed(seen, () => volume.write("e"));
  });

  test("a plain file: written in place, replaced, removed, made", async ({ place: { root, heard } }) => {
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

  test("a directory that is not there yet, nor the one above it", async ({ place: { root, heard } }) => {
    const path = join(root, "a", "b", "file");
    const { seen } = heard(path);
    await noticed(seen, () => mkdirSync(join(root, "a", "b"), { recursive: true }));
    await noticed(seen, () => writeFileSync(path, "a"));
  });

  test("a directory that vanishes and comes back", async ({ place: { root, heard } }) => {
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

  test("a directory that is replaced by a link, and the link by another", async ({
    place: { root, heard },
  }) => {
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

  test("a link to a file elsewhere: where that lies is watched, too", async ({ place: { root, heard } }) => {
    mkdirSync(join(root, "elsewhere"));
    writeFileSync(join(root, "elsewhere", "real"), "a");
    symlinkSync(join("elsewhere", "real"), join(root, "file"));
    const { seen } = heard(join(root, "file"));
    await settled(seen);
    await noticed(seen, () => writeFileSync(join(root, "elsewhere", "real"), "b"));
  });

  test("a directory that is removed and made again before the agent looks", async ({
    place: { root, heard },
  }) => {
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

  test("a link to a ConfigMap's file: its swaps are seen behind the link", async ({
    place: { root, heard },
  }) => {
    const volume = createVolume(join(root, "config"));
    volume.write("a");
    symlinkSync(volume.path, join(root, "link"));
    const { seen } = heard(join(root, "link"));
    await settled(seen);
    for (const text of ["b", "c"]) await noticed(seen, () => volume.write(text));
  });

  test("a directory that is a link, which is turned elsewhere", async ({ place: { root, heard } }) => {
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

  test("a directory of files", async ({ place: { root, heard } }) => {
    const { seen } = heard(root);
    await settled(seen);
    await noticed(seen, () => writeFileSync(join(root, "ip-masq-1"), "a"));
    await noticed(seen, () => rmSync(join(root, "ip-masq-1")));
  });

  test("nothing is said any more once it is closed", async ({ place: { root, heard } }) => {
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
});
