/** Reasons why the command line refuses a release: each is one sentence, and nothing is made. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Copy, copyTree } from "./tree.ts";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
let copy: Copy;

beforeAll(() => {
  copy = copyTree();
});
afterAll(() => copy.close());

function step(name: string, env: NodeJS.ProcessEnv = {}) {
  const { code, err } = copy.run(["node", "scripts/run-ts.mjs", "scripts/release/release.ts", name], env);
  return { code, lines: err.trim().split("\n") };
}

/** A PATH with only git, node and these tools, which say what they are given. */
function pathWith(tools: Readonly<Record<string, string>>): string {
  const directory = join(copy.directory, "build/bin");
  mkdirSync(directory, { recursive: true });
  const real = ["git", "node", "sh", "cc"].map((name) => [
    name,
    `exec ${copy.run(["which", name]).out.trim()} "$@"`,
  ]);
  for (const [name, body] of [...real, ...Object.entries(tools)])
    writeFileSync(join(directory, String(name)), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return directory;
}

test("without a tag, a clean tree and an owner: three sentences at once", () => {
  writeFileSync(join(copy.directory, "left-over"), "");
  expect(step("check")).toEqual({
    code: 1,
    lines: [
      `release: the commit has no tag: give it one, as in git tag -a v${version} -m v${version}, and push that`,
      "release: the tree differs from its commit (left-over): commit the changes, or undo them",
      "release: package.json's repository has no owner: write it there, or set GITHUB_REPOSITORY=owner/ip-masq-agent",
    ],
  });
  copy.run(["rm", "left-over"]);
});

test("with an old Helm and without cosign and skopeo: a sentence each, and nothing is built", () => {
  copy.run(["git", "tag", `v${version}`]);
  const PATH = [pathWith({ helm: "echo v3.7.2" })].join(delimiter);
  const { code, lines } = step("push", { PATH, GITHUB_REPOSITORY: "some/ip-masq-agent" });
  expect(code).toBe(1);
  expect(lines.filter((line) => !line.includes("CHANGELOG.md"))).toEqual([
    "release: skopeo is missing: install Debian's package skopeo",
    "release: cosign is missing: install https://docs.sigstore.dev/cosign",
    "release: helm is v3.7.2: pushing a chart needs 3.8 or newer",
  ]);
  expect(existsSync(join(copy.directory, "dist/release"))).toBe(false);
});

test("a rehearsal stays on the loopback", () => {
  expect(step("dry", { RELEASE_REGISTRY: "registry.example.com/network" })).toEqual({
    code: 1,
    lines: ["release: registry.example.com/network is not on the loopback, where a rehearsal stays"],
  });
});
