/** The npm package, packed as a release packs it and installed into an empty folder: on Linux, and as if on macOS. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { publint } from "publint";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packNpm } from "../../scripts/release/npm-package.ts";
import { cells } from "../lab/length.ts";

const directory = mkdtempSync(join(tmpdir(), "npm-package-"));
const installed = join(directory, "node_modules/ip-masq-agent");
const config = resolve("agent-config/config");
/** Not of this machine: a command that went on to write rules would write them there. */
const apart = process.platform === "linux" && process.getuid?.() === 0 ? ["unshare", "--net"] : [];

/** The commands that need no node, with their exit codes. */
const ANYWHERE: readonly (readonly [code: number, ...args: string[]])[] = [
  [0, "validate", "--strict", config],
  [1, "validate", "bad.yaml"],
  [0, "explain", `--config=${config}`, "8.8.8.8", "10.1.2.3"],
  [1, "diff", `--config=${config}`, "other.yaml"],
  [0, "render", `--config=${config}`, "--backend=nftables", "--enable-ipv6"],
  [0, "explain", "--rules=rules", "8.8.8.8"],
];

let packed = "";

beforeAll(() => {
  packed = packNpm(directory, "1.2.3");
  writeFileSync(join(directory, "package.json"), "{}");
  writeFileSync(join(directory, "bad.yaml"), "nonMasqueradeCIDRs: [10.1.0.0/8]\n");
  writeFileSync(join(directory, "other.yaml"), "nonMasqueradeCIDRs: [10.0.0.0/8]\n");
  writeFileSync(join(directory, "rules"), "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n");
  const flags = ["--ignore-scripts", "--offline", "--no-audit", "--no-fund"];
  const { status, stderr } = spawnSync("npm", ["install", ...flags, packed], {
    cwd: directory,
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
});

afterAll(() => rmSync(directory, { recursive: true }));

function call(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const [file = "", ...rest] = [...apart, join(directory, "node_modules/.bin/ip-masq-agent"), ...args];
  const { status, stdout, stderr } = spawnSync(file, rest, {
    ...{ cwd: directory, env: { ...process.env, ...env }, encoding: "utf8", input: "", timeout: 300_000 },
  });
  return { code: status, out: stdout, err: stderr };
}

/** The environment of a Node that takes this machine for a Mac. */
function asOn(platform: string): NodeJS.ProcessEnv {
  const preload = join(directory, `${platform}.cjs`);
  writeFileSync(preload, `Object.defineProperty(process, "platform", { value: "${platform}" });\n`);
  return { NODE_OPTIONS: `--require=${preload}` };
}

test("it has the program, the schema and nothing else, and depends on nothing", () => {
  const files = readdirSync(installed, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(installed, name)).isFile(),
  );
  const addons = files.filter((name) => /^dist\/netlink-linux-(?:x64|arm64)\.node$/.test(name));
  expect(files.filter((name) => !addons.includes(name)).toSorted()).toEqual([
    "LICENSE",
    "README.md",
    "dist/ip-masq-agent.cjs",
    "package.json",
    "schema/ip-masq-agent.schema.json",
  ]);
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  expect(manifest).toMatchObject({ version: "1.2.3", bin: { "ip-masq-agent": "dist/ip-masq-agent.cjs" } });
  for (const key of ["private", "dependencies", "devDependencies", "scripts"])
    expect(manifest, key).not.toHaveProperty(key);
  for (const key of ["homepage", "bugs", "repository", "license", "engines"])
    expect(manifest).toHaveProperty(key);
  // 273 kB with one addon; npx fetches it each time on a fresh machine.
  expect(statSync(packed).size).toBeLessThan(400_000);
});

test("its manifest names what is there, with the right module kind", async () => {
  const { buffer: tarball } = Uint8Array.from(readFileSync(packed));
  expect((await publint({ pack: { tarball }, strict: true })).messages).toEqual([]);
});

test("its commands about files answer, and answer the same on macOS, where there is no addon", () => {
  const here = ANYWHERE.map(([, ...args]) => call(args));
  for (const [i, [code, ...args]] of ANYWHERE.entries())
    expect(here[i], args.join(" ")).toMatchObject({ code });
  for (const name of readdirSync(join(installed, "dist")).filter((name) => name.endsWith(".node")))
    rmSync(join(installed, "dist", name));
  expect(ANYWHERE.map(([, ...args]) => call(args, asOn("darwin")))).toEqual(here);
});

const OTHERS = cells(["darwin", "win32"], (platform) => platform === "darwin");

test.each(OTHERS)("the agent itself runs on Linux only, and says so on %s", (platform) => {
  for (const args of [["run"], [], ["--enable-ipv6"]])
    expect(call(args, asOn(platform)), args.join(" ")).toEqual({
      code: 1,
      out: "",
      err: `ip-masq-agent: the agent runs on Linux only, not on ${platform}; the commands validate, explain, diff and render work here: ip-masq-agent help\n`,
    });
  expect(call(["doctor"], asOn(platform)).err).toContain(`a Linux node, and this system is ${platform}`);
});

test("the tree itself is not published by hand", () => {
  const { status, stderr } = spawnSync("npm", ["publish", "--dry-run"], { encoding: "utf8" });
  expect(status).toBe(1);
  expect(stderr).toContain("publish by a tag");
});
