/** What can be said of the image without building it: the Dockerfile's text, and that a build repeats itself. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const dockerfile = readFileSync("Dockerfile", "utf8");

test("the base is an argument that a digest pins, and the image starts the agent without a shell", () => {
  expect(dockerfile).toMatch(/^ARG BASE=docker\.io\/library\/node:24-trixie-slim$/m);
  const bases = [...dockerfile.matchAll(/^FROM (?:--platform=\S+ )?(\S+)/gm)].map(([, base]) => base);
  const pinned = ["BASE", "BASE_DIGEST"].map((name) => `$\{${name}}`).join("");
  expect(bases).toEqual([pinned, pinned, "scratch"]);
  expect(dockerfile).toMatch(/^ENTRYPOINT \["\/usr\/local\/bin\/ip-masq-agent"\]$/m);
  expect(dockerfile).toMatch(/^USER 0:0$/m);
  const last = dockerfile.slice(dockerfile.indexOf("FROM scratch"));
  expect(last).not.toMatch(/^RUN/m);
});

test("what the Dockerfile copies is not kept from it by .dockerignore", () => {
  const kept = readFileSync(".dockerignore", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = ""]) =>
    names.split(" "),
  );
  expect(copied.length).toBeGreaterThan(5);
  for (const name of copied) expect(kept, name).toContain(name.split("/")[0]);
});

test("two builds of one tree, in different directories, are the same byte for byte", () => {
  const first = buildCopy({}, digest);
  expect(Object.keys(first)).toHaveLength(2);
  expect(buildCopy({}, digest)).toEqual(first);
});

/** The compilers that build.mjs takes for the platform that this machine is not. */
const CROSS = { x64: "aarch64-linux-gnu-gcc", arm64: "x86_64-linux-gnu-gcc" } as Record<string, string>;
const compiler = CROSS[process.arch] ?? "a compiler for another platform";
const cross = spawnSync(compiler, ["--version"]).status === 0;
if (!cross) console.warn(`SKIPPED: a build for both platforms is not tried without ${compiler}`);

test.skipIf(!cross)(
  "`make all-build` has the addon for both platforms, each for its machine, and repeats itself",
  () => {
    const PLATFORMS = readFileSync("Makefile", "utf8").match(/PLATFORMS="(.+)" node build\.mjs/)?.[1];
    const built = () =>
      buildCopy({ PLATFORMS }, (file) => ({ machine: machine(file), digest: digest(file) }));
    const first = built();
    expect(Object.fromEntries(Object.entries(first).map(([name, file]) => [name, file.machine]))).toEqual({
      "ip-masq-agent.cjs": undefined,
      "netlink-linux-arm64.node": "arm64",
      "netlink-linux-x64.node": "x64",
    });
    expect(built()).toEqual(first);
  },
);

/** What `look` says of each file that a copy of this tree is built to, by name. */
function buildCopy<T>(env: NodeJS.ProcessEnv, look: (file: string) => T): Record<string, T> {
  const copy = mkdtempSync(join(tmpdir(), "ip-masq-agent-build-"));
  try {
    for (const name of ["src", "scripts", "build.mjs", "package.json", "tsconfig.json"])
      cpSync(name, join(copy, name), { recursive: true });
    symlinkSync(resolve("node_modules"), join(copy, "node_modules"));
    const all = { ...process.env, VERSION: "v1.2.3", ...env };
    execFileSync(process.execPath, ["build.mjs"], { cwd: copy, env: all });
    const dist = join(copy, "dist");
    // V8 does not compile the program to the same bytes twice.
    const names = readdirSync(dist).filter((name) => !name.endsWith(".cache"));
    return Object.fromEntries(names.map((name) => [name, look(join(dist, name))]));
  } finally {
    rmSync(copy, { recursive: true });
  }
}

function digest(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** The machine that an ELF file is for, by the numbers of elf.h. */
function machine(file: string): string | undefined {
  const bytes = readFileSync(file);
  const names: Record<number, string> = { 62: "x64", 183: "arm64" };
  return bytes.readUInt32BE(0) === 0x7f454c46 ? names[bytes.readUInt16LE(18)] : undefined;
}
