/** The action for GitHub and the hook for pre-commit, which check configurations in somebody's repository. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packNpm } from "../../scripts/release/npm-package.ts";
import { at, type Plain, readManifest } from "../lab/manifest.ts";
import { isInstalled } from "../lab/tool.ts";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const directory = mkdtempSync(join(tmpdir(), "repository-"));
let packed = "";

beforeAll(() => {
  packed = packNpm(directory, version);
  mkdirSync(join(directory, "clusters/a"), { recursive: true });
  mkdirSync(join(directory, "clusters/b"));
  writeFileSync(join(directory, "clusters/a/config"), "nonMasqueradeCIDRs: [10.0.0.0/8]\n");
  writeFileSync(join(directory, "clusters/b/config"), "cidrLimit: 9\nnonMasqueradeCIDRs: [10.1.0.0/8]\n");
  // The packed file takes the place of the package that a release puts on npm.
  const npx = `#!/bin/sh\nfor a; do shift; case "$a" in *ip-masq-agent@${version}) a="\${a%ip-masq-agent@*}${packed}" ;; esac; set -- "$@" "$a"; done\nexec "$REAL_NPX" --offline "$@"\n`;
  mkdirSync(join(directory, "bin"));
  writeFileSync(join(directory, "bin/npx"), npx, { mode: 0o755 });
});

afterAll(() => rmSync(directory, { recursive: true }));

function sh(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const real = spawnSync("sh", ["-c", "command -v npx"], { encoding: "utf8" }).stdout.trim();
  const { PATH } = process.env;
  const all = {
    ...process.env,
    ...{ PATH: `${join(directory, "bin")}${delimiter}${PATH}`, REAL_NPX: real },
    ...{ npm_config_cache: join(directory, "cache"), PRE_COMMIT_HOME: join(directory, "pre-commit") },
    ...env,
  };
  const { status, stdout, stderr } = spawnSync(file, args, { cwd: directory, env: all, encoding: "utf8" });
  return { code: status, out: stdout, err: stderr };
}

/** Runs the action as GitHub does: inputs with their defaults become the variables of its one step. */
function act(inputs: Readonly<Record<string, string>>) {
  const action = readManifest("action.yml");
  const known = Object.entries(at(action, "inputs") as Record<string, Plain>);
  const values = Object.fromEntries(
    known.map(([name, input]) => [name, inputs[name] ?? at(input, "default") ?? ""]),
  );
  const steps = at(action, "runs.steps") as Plain[];
  expect(steps).toHaveLength(1);
  const env = Object.entries(at(steps[0] ?? {}, "env") as Record<string, string>).map(([name, text]) => [
    name,
    text
      .replaceAll(/\$\{\{ inputs\.(\w+) \}\}/g, (_all, input) => String(values[input]))
      .replaceAll(/\$\{\{ github\.action_path \}\}/g, resolve(".")),
  ]);
  const script = join(directory, "step.sh");
  writeFileSync(script, String(at(steps[0] ?? {}, "run")));
  return sh("bash", ["--noprofile", "--norc", "-eo", "pipefail", script], Object.fromEntries(env));
}

test("the action accepts good files, and shows a bad one's problem beside its line", () => {
  expect(act({ files: "clusters/a/config" })).toMatchObject({ code: 0 });
  const { code, out } = act({ files: "clusters/*/config\n", flags: "--strict --enable-ipv6" });
  expect(code).toBe(1);
  expect(out).toContain("accepted: clusters/a/config (CIDRs: 1)\n");
  expect(out).toMatch(
    /^::error file=clusters\/b\/config,line=2,col=\d+::nonMasqueradeCIDRs\[0\]: CIDR "10\.1\.0\.0\/8".*%0Ahint: /m,
  );
});

/** A line as GitHub's runner takes it apart (actions/runner, ActionCommand.cs). */
function parseAnnotation(line: string) {
  const [, severity, properties = "", message = ""] = /^::(\w+) (.*?)::(.*)$/.exec(line) ?? [];
  const decode = (text: string) => text.replaceAll(/%(?:0D|0A|3A|2C|25)/g, decodeURIComponent);
  const pairs = properties.split(",").map((pair) => /^(.*?)=(.*)$/.exec(pair)?.slice(1) ?? []);
  const values = Object.fromEntries(pairs.map(([name = "", value = ""]) => [name, decode(value)]));
  return { severity, ...values, message: decode(message) };
}

test("names and texts reach GitHub as they are, whatever is in them", () => {
  const names = [
    "a,line=9.yaml",
    "a:1:2: error: b.yaml",
    "100%.yaml",
    "50%2C.yaml",
    "l\nf.yaml",
    "c\rr.yaml",
  ];
  mkdirSync(join(directory, "odd"));
  for (const name of names) writeFileSync(join(directory, "odd", name), '"%0A,:::": 1\n');
  const { code, out } = act({ files: "odd/*" });
  expect(code).toBe(1);
  const found = { severity: "warning", line: "1", col: "1", message: "%0A,:::: unknown key, ignored" };
  const expected = names.toSorted().map((name) => ({ ...found, file: `odd/${name}` }));
  expect(out.trimEnd().split("\n").map(parseAnnotation)).toEqual(expected);
  rmSync(join(directory, "odd"), { recursive: true });
});

test("a text of a stranger's file is no command for GitHub", () => {
  const texts = ["::add-mask::x: 1", '"a\\n::stop-commands::y": 1', '"##[error]z": 1', "  ::error::w: 1"];
  texts.forEach((text, i) => {
    writeFileSync(join(directory, `--${i}.yaml`), `${text}\n`);
  });
  const { code, out } = act({ files: "*.yaml" });
  expect(code).toBe(1);
  const commands = out.split("\n").filter((line) => /^\s*::|##\[/.test(line));
  expect(
    commands.filter((line) => !/^::(?:error|warning) file=--\d\.yaml,line=1,col=\d+::/.test(line)),
  ).toEqual([]);
  expect(commands).toHaveLength(texts.length);
  expect(out).not.toContain("##[");
});

test("the hook takes a file for a file, however it is named", () => {
  const [hook] = readHooks();
  const [file = "", ...words] = [
    ...String(at(hook ?? {}, "entry")).split(" "),
    ...(at(hook ?? {}, "args") as readonly string[]),
  ];
  const names = ["-x.yaml", "--help", "--strict=false"];
  for (const name of names) writeFileSync(join(directory, name), "cidrLimits: 9\n");
  const { code, out } = sh(file, [...words, ...names]);
  expect(code).toBe(1);
  for (const name of names) {
    expect(out).toContain(`${name}:1:1: warning: cidrLimits: unknown key`);
    rmSync(join(directory, name));
  }
});

test("action and hook run the version that they are released with", () => {
  const [hook] = readHooks();
  expect(at(hook ?? {}, "entry")).toBe(
    `npx --yes --package=ip-masq-agent@${version} -- ip-masq-agent validate`,
  );
  expect(readFileSync("action.yml", "utf8")).toContain(`ip-masq-agent@v${version}`);
});

function readHooks(): readonly Plain[] {
  return readManifest(".pre-commit-hooks.yaml") as Plain[];
}

const { LENGTH } = process.env;
const isLong = LENGTH === "all";
const hasPreCommit = isInstalled("pre-commit");
if (isLong && !hasPreCommit)
  console.warn("SKIPPED: the hook is not run by pre-commit, which is not installed");

test.skipIf(!isLong || !hasPreCommit)("pre-commit refuses a bad file", () => {
  const git = (...args: readonly string[]) => {
    const { code, err } = sh("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", ...args]);
    expect(code, err).toBe(0);
  };
  const hooks = join(directory, "hooks");
  mkdirSync(hooks);
  writeFileSync(join(hooks, ".pre-commit-hooks.yaml"), readFileSync(".pre-commit-hooks.yaml"));
  for (const words of [
    ["init", "-q"],
    ["add", "."],
    ["commit", "-qm", "x"],
    ["tag", "v1"],
  ])
    git("-C", hooks, ...words);
  git("init", "-q");
  const config = `repos: [{ repo: ${hooks}, rev: v1, hooks: [{ id: ip-masq-agent-validate, files: ^clusters/ }] }]\n`;
  writeFileSync(join(directory, ".pre-commit-config.yaml"), config);
  git("add", "clusters/a", ".pre-commit-config.yaml");
  const good = sh("pre-commit", ["run"]);
  expect(good.code, good.out).toBe(0);
  git("add", "clusters/b");
  const { code, out } = sh("pre-commit", ["run"]);
  expect(code).toBe(1);
  expect(out).toMatch(/clusters\/b\/config:2:\d+: error: nonMasqueradeCIDRs\[0\]/);
});
