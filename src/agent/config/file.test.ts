import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { ON_LINUX } from "../../../test/lab/linux.ts";
import { readConfig, SourceError } from "./file.ts";

const root = mkdtempSync(join(tmpdir(), "source-"));
let count = 0;
/** A fresh directory for each test. */
let dir = "";

beforeEach(() => {
  dir = join(root, String(count++));
  mkdirSync(dir);
});
afterAll(() => rmSync(root, { recursive: true }));

const write = (name: string, text: string) => writeFileSync(join(dir, name), text);

const MKFIFO = "mkfifo";
const makeFifo = (name: string) => execFileSync(MKFIFO, [join(dir, name)]);

/** What was read: file names below the directory, and their texts. */
function read(path = dir, directoryAllowed = true) {
  const { kind, files } = readConfig(path, directoryAllowed);
  return [kind, ...files.map((file) => `${file.path.slice(dir.length)}: ${Buffer.from(file.bytes)}`)];
}

/** A ConfigMap volume as the kubelet lays it out; again with other files, it swaps them atomically. */
function volume(generation: number, files: Record<string, string>): void {
  const name = `..2026_${generation}`;
  mkdirSync(join(dir, name));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, name, file), text);
  symlinkSync(name, join(dir, "..data_tmp"));
  renameSync(join(dir, "..data_tmp"), join(dir, "..data"));
  for (const file of Object.keys(files)) {
    rmSync(join(dir, file), { force: true });
    symlinkSync(`..data/${file}`, join(dir, file));
  }
}

describe("one file", () => {
  test("its bytes, whatever they are", () => {
    const bytes = Buffer.from([0xef, 0xbb, 0xbf, 0x00, 0xff, 0x0a]);
    const path = join(dir, "c");
    writeFileSync(path, bytes);
    expect(readConfig(path, false)).toEqual({ kind: "file", files: [{ path, bytes }] });
  });

  test("of any size up to the limit", () => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 1_048_576]) {
      write("c", "x".repeat(size));
      expect(readConfig(join(dir, "c"), true).files[0]?.bytes.length).toBe(size);
    }
  });

  test("none, nor the directory it would be in: no files", () => {
    expect(read(join(dir, "c"))).toEqual(["file"]);
    expect(read(join(dir, "no", "such", "c"), false)).toEqual(["file"]);
  });

  test("after a chain of links, and after the swap of a volume", () => {
    volume(1, { "ip-masq-agent": "one" });
    expect(read(join(dir, "ip-masq-agent"), false)).toEqual(["file", "/ip-masq-agent: one"]);
    volume(2, { "ip-masq-agent": "two" });
    expect(read(join(dir, "ip-masq-agent"), false)).toEqual(["file", "/ip-masq-agent: two"]);
  });

  test("after a dangling link: no file", () => {
    symlinkSync("..data/ip-masq-agent", join(dir, "ip-masq-agent"));
    expect(read(join(dir, "ip-masq-agent"), false)).toEqual(["file"]);
  });

  test("/dev/null is an empty one", () => {
    expect(readConfig("/dev/null", true)).toEqual({
      kind: "file",
      files: [{ path: "/dev/null", bytes: Buffer.alloc(0) }],
    });
  });
});

describe("anything but a configuration is an error, and never looks like an empty one", () => {
  const failure = (path: string, directoryAllowed = false): string => {
    try {
      readConfig(path, directoryAllowed);
    } catch (error) {
      if (error instanceof SourceError) return error.message.replaceAll(dir, "DIR");
      throw error;
    }
    return "(none)";
  };

  test.runIf(ON_LINUX)("a directory, unless one is allowed", () => {
    expect(failure(dir)).toBe("read DIR: illegal operation on a directory (EISDIR)");
    expect(failure(dir, true)).toBe("(none)");
  });

  test("a FIFO, at once", () => {
    makeFifo("c");
    expect(failure(join(dir, "c"))).toBe("DIR/c: a FIFO is not a configuration");
    expect(failure(join(dir, "c"), true)).toBe("DIR/c: a FIFO is not a configuration");
  });

  test("more than 16 MiB, also where it has no end", () => {
    write("c", "");
    truncateSync(join(dir, "c"), 16 * 1024 * 1024 + 1);
    expect(failure(join(dir, "c"))).toBe("DIR/c: larger than 16 MiB: not a configuration");
    truncateSync(join(dir, "c"), 16 * 1024 * 1024);
    expect(failure(join(dir, "c"))).toBe("(none)");
    expect(failure("/dev/zero")).toBe("/dev/zero: larger than 16 MiB: not a configuration");
  });

  test("a loop of links", () => {
    symlinkSync("c", join(dir, "c"));
    expect(failure(join(dir, "c"))).toMatch(/^open DIR\/c: too many symbolic links encountered \(ELOOP\)$/);
  });

  test("a path through a file", () => {
    write("c", "");
    expect(failure(join(dir, "c", "d"))).toMatch(/^open DIR\/c\/d: not a directory \(ENOTDIR\)$/);
  });

  test("the error keeps its cause", () => {
    write("c", "");
    try {
      readConfig(join(dir, "c", "d"), false);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ name: "SourceError", cause: { code: "ENOTDIR" } });
    }
  });
});

describe.runIf(ON_LINUX)("a directory", () => {
  test("empty, or without files of that name: no files", () => {
    expect(read()).toEqual(["directory"]);
    write("other", "x");
    write("my-ip-masq", "x");
    expect(read()).toEqual(["directory"]);
  });

  test("its ip-masq* files in name order; directories and others are none", () => {
    for (const name of ["ip-masq-b", "ip-masq-agent", "ip-masq", "ip-masq-B", "ip-masq-10", "ip-masq-9"])
      write(name, name.slice(7));
    mkdirSync(join(dir, "ip-masq-directory"));
    makeFifo("ip-masq-fifo");
    write(".ip-masq", "hidden");
    expect(read().map((line) => line.split(":")[0])).toEqual([
      "directory",
      "/ip-masq",
      "/ip-masq-10",
      "/ip-masq-9",
      "/ip-masq-B",
      "/ip-masq-agent",
      "/ip-masq-b",
    ]);
  });

  test("a volume: each file once, and after a swap the new ones", () => {
    volume(1, { "ip-masq-a": "a1", "ip-masq-b": "b1", README: "no" });
    expect(read()).toEqual(["directory", "/ip-masq-a: a1", "/ip-masq-b: b1"]);
    volume(2, { "ip-masq-a": "a2", "ip-masq-c": "c2" });
    unlinkSync(join(dir, "ip-masq-b"));
    expect(read()).toEqual(["directory", "/ip-masq-a: a2", "/ip-masq-c: c2"]);
  });

  test("a link whose target is gone is an error: a change is under way", () => {
    volume(1, { "ip-masq-a": "a1" });
    symlinkSync("..data/ip-masq-b", join(dir, "ip-masq-b"));
    expect(() => read()).toThrow(/ip-masq-b: listed, but does not exist/);
  });

  test("a link to it is followed", () => {
    write("ip-masq", "x");
    symlinkSync(dir, join(root, "link"));
    expect(readConfig(join(root, "link"), true).files.map(({ path }) => path)).toEqual([
      join(root, "link", "ip-masq"),
    ]);
  });

  test("of too many files, or of too much in all, is none", () => {
    for (let i = 0; i < 1_001; i++) write(`ip-masq-${i}`, "");
    expect(() => read()).toThrow(/^.*: more than 1000 ip-masq\* files: not a configuration$/);
    rmSync(dir, { recursive: true });
    mkdirSync(dir);
    for (let i = 0; i < 17; i++) write(`ip-masq-${i}`, "#".repeat(1024 * 1024));
    expect(() => read()).toThrow(/larger than 16 MiB: not a configuration/);
  });

  test("where it does not exist, or a file is in its place", () => {
    expect(read(join(dir, "none"))).toEqual(["file"]);
    write("c", "x");
    expect(read(join(dir, "c"))).toEqual(["file", "/c: x"]);
  });
});
