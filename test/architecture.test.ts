/** The shape of the sources: who may import whom, and how long a file may be. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

/** What each layer may import of ours, besides itself. `main` is the composition root, `nftables` a library of its own. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  nftables: [],
  backend: ["core", "nftables"],
  observe: ["backend", "core"],
  source: ["backend", "core", "nftables"],
  agent: ["source", "observe", "backend", "core", "nftables"],
  cli: ["agent", "source", "observe", "backend", "core", "nftables"],
  main: ["cli", "agent", "source", "observe", "backend", "core"],
};
const PURE = ["core", "backend"];
const MAX_LINES = 300;
/** Files that are longer, each with its reason. */
const LONGER: Readonly<Record<string, string>> = {
  "src/yaml/json.ts": "one state machine, encoding/json's scanner",
  "src/yaml/decode.ts": "one table of how sigs.k8s.io/yaml turns each kind of node into JSON",
  "src/yaml/parse.ts": "one state machine, libyaml's parser",
  "src/yaml/scan.ts": "one state machine, libyaml's scanner",
};

interface Source {
  readonly path: string;
  readonly layer: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const sources: readonly Source[] = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.endsWith(".d.ts"))
  .map((name) => {
    const path = join("src", name);
    const text = readFileSync(path, "utf8");
    const imports = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map(
      ([, what]) => what ?? "",
    );
    return { path, layer: name.includes("/") ? dirname(name) : name.replace(/\.ts$/, ""), text, imports };
  });

/** The layer that an import of `path` leads to; undefined for a package. */
function layerOf(path: string, imported: string): string | undefined {
  if (!imported.startsWith(".")) return undefined;
  return join(dirname(path), imported).split("/")[1]?.replace(/\.ts$/, "");
}

/** `path: import` for every import that `wrong` objects to. */
function offenders(wrong: (source: Source, imported: string) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((imported) => wrong(source, imported))
      .map((imported) => `${source.path}: ${imported}`),
  );
}

test("there is something to look at, in known layers only", () => {
  expect(sources.length).toBeGreaterThan(30);
  expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(80);
  expect([...new Set(sources.map(({ layer }) => layer))].filter((layer) => !(layer in MAY_IMPORT))).toEqual(
    [],
  );
});

describe("imports", () => {
  test("point one way", () => {
    const wrong = ({ path, layer }: Source, imported: string) => {
      const target = layerOf(path, imported);
      return target !== undefined && target !== layer && MAY_IMPORT[layer]?.includes(target) !== true;
    };
    expect(offenders(wrong)).toEqual([]);
  });

  test("make no circle", () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      if (done.has(path) || trail.includes(path)) return;
      const source = byPath.get(path);
      // Types are erased, so a circle of them is none when the program runs.
      const runtime = source?.text.replaceAll(/import type [^;]*;/g, "") ?? "";
      for (const imported of source?.imports ?? []) {
        if (imported.startsWith(".") && runtime.includes(`"${imported}"`))
          visit(join(dirname(path), imported), [...trail, path]);
      }
      done.add(path);
    };
    for (const { path } of sources) visit(path, []);
    expect(circles).toEqual([]);
  });

  test("of Node are not for what is pure", () => {
    expect(offenders(({ layer }, imported) => PURE.includes(layer) && !imported.startsWith("."))).toEqual([]);
    const globals = /\b(?:process\.|Buffer\b|setTimeout|performance\.|Date\.now|Math\.random|console\.)/;
    const impure = sources.filter(
      ({ layer, text }) => PURE.includes(layer) && globals.test(withoutComments(text)),
    );
    expect(impure.map(({ path }) => path)).toEqual([]);
  });

  test("of node:child_process stand in one file", () => {
    expect(offenders((_source, imported) => /child_process/.test(imported))).toEqual([
      "src/system/exec.ts: node:child_process",
    ]);
  });

  test("name files of ours with their extension", () => {
    expect(offenders((_source, imported) => imported.startsWith(".") && !imported.endsWith(".ts"))).toEqual(
      [],
    );
  });
});

test("there are no default exports", () => {
  expect(
    sources.filter(({ text }) => /^export default|as default\b/m.test(text)).map(({ path }) => path),
  ).toEqual([]);
});

test(`no file is longer than ${MAX_LINES} lines, but for those with a reason`, () => {
  const long = sources.filter(({ text }) => text.trimEnd().split("\n").length > MAX_LINES);
  expect(long.map(({ path }) => path).filter((path) => !(path in LONGER))).toEqual([]);
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}
