import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { contentOf } from "../core/configmap/newest.ts";
import { type Cached, createCache } from "./cache.ts";

const root = mkdtempSync(join(tmpdir(), "cache-"));
let count = 0;
afterAll(() => rmSync(root, { recursive: true }));

const SOURCE = "configmap kube-system/a (key config)";

/** A cache in a directory of its own, and what it warns of. */
function cacheIn(directory = join(root, String(count++)), source = SOURCE) {
  mkdirSync(directory, { recursive: true });
  const warnings: string[] = [];
  const cache = createCache(directory, source, (line) => warnings.push(line.replaceAll(directory, "DIR")));
  return { ...cache, directory, path: join(directory, "config.json"), warnings };
}

function cachedOf(bytes: Uint8Array, kind: "file" | "directory" = "file"): Cached {
  const files = [{ path: `${SOURCE}`, bytes }];
  const versions = { "kube-system/a": "77" };
  return { ...contentOf({ kind, files, source: SOURCE }), older: ["x", "y"], versions };
}

const ANY_BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

describe("what was written is read again", () => {
  test.each([
    ["text", new TextEncoder().encode("nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n")],
    ["any bytes", ANY_BYTES],
    ["an empty text", new Uint8Array()],
  ])("%s", (_name, bytes) => {
    const { directory, write, warnings } = cacheIn();
    const cached = cachedOf(bytes);
    write(cached);
    const read = cacheIn(directory).read();
    expect(read).toMatchObject({ hash: cached.hash, older: ["x", "y"], versions: { "kube-system/a": "77" } });
    expect(read?.text.source).toBe(`${SOURCE}, as cached in ${join(directory, "config.json")}`);
    expect(read?.text.files.map((file) => [file.path, Buffer.from(file.bytes)])).toEqual([
      [SOURCE, Buffer.from(bytes)],
    ]);
    expect([warnings, readdirSync(directory)]).toEqual([[], ["config.json"]]);
  });

  test("no ConfigMap at all", () => {
    const { write, read } = cacheIn();
    write({ ...contentOf({ kind: "file", files: [], source: SOURCE }), older: [], versions: {} });
    expect(read()?.text.files).toEqual([]);
  });
});

describe("no cache", () => {
  test("before the first, without a directory, and of a different --config-map", () => {
    const { directory, write, read, warnings } = cacheIn();
    expect(read()).toBeUndefined();
    const none = createCache("", SOURCE, () => expect.fail("warned"));
    none.write(cachedOf(ANY_BYTES));
    expect(none.read()).toBeUndefined();
    write(cachedOf(ANY_BYTES));
    expect(cacheIn(directory, "configmap kube-system/b (key config)").read()).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  test.each<[string, (text: string) => string, string]>([
    ["cut short", (text) => text.slice(0, 50), "Unterminated string"],
    ["empty", () => "", "Unexpected end"],
    ["changed", (text) => text.replace("10.0.0.0", "10.0.0.1"), "its digest is wrong"],
    ["not an object", () => "null", ""],
    ["too large", (text) => text + " ".repeat(1024 * 1024), "it is larger than 1 MiB"],
  ])("a file that is %s is warned of once, and replaced", (_name, spoil, message) => {
    const { write, read, path, warnings } = cacheIn();
    const cached = cachedOf(new TextEncoder().encode("- 10.0.0.0/8"));
    write(cached);
    writeFileSync(path, spoil(readFileSync(path, "utf8")));
    expect([read(), read()]).toEqual([undefined, undefined]);
    expect(warnings).toEqual([
      expect.stringMatching(/^cannot use DIR\/config\.json: .*; without it a restart may go back/s),
    ]);
    expect(warnings[0]).toContain(message);
    write(cached);
    expect(read()?.hash).toBe(cached.hash);
  });

  test("a directory that cannot be written is warned of once, and everything goes on", () => {
    const { directory, write, read, warnings } = cacheIn();
    rmSync(directory, { recursive: true });
    for (let i = 0; i < 3; i++) write(cachedOf(ANY_BYTES));
    expect(read()).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(/^cannot write DIR\/config\.json: ENOENT/)]);
  });

  test("a text that is too large takes an older one away, which would be worse than none", () => {
    const { write, read, warnings } = cacheIn();
    write(cachedOf(ANY_BYTES));
    write(cachedOf(new Uint8Array(1024 * 1024).fill(120)));
    expect(read()).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining("the configuration is larger than 1 MiB as JSON")]);
  });
});
