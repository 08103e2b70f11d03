/** The program as V8 has compiled it for the bundle's head: used where it fits, and not missed where it does not. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { agentBundle } from "../../lab/network/lab.ts";
import { NODE24 } from "../../lab/node24.ts";

/** Prints how often the bundle is read, and whether V8 has taken what it had compiled: `undefined` where there was nothing. */
const PRELOAD = `
const fs = require("node:fs");
const vm = require("node:vm");
const { readFileSync } = fs;
let reads = 0;
fs.readFileSync = (path, ...rest) => {
  if (path === process.argv[1]) reads++;
  return readFileSync(path, ...rest);
};
vm.Script = class extends vm.Script {
  constructor(...args) {
    super(...args);
    console.error("reads:", reads, "rejected:", this.cachedDataRejected);
  }
};
`;

interface Copy {
  readonly bundle: string;
  readonly compiled: string;
}

/** A copy of the bundle in a directory of its own, with what `node` compiles for it. */
function copyFor(node: string): Copy {
  const directory = mkdtempSync(join(tmpdir(), "compiled-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const bundle = join(directory, "ip-masq-agent.cjs");
  copyFileSync(agentBundle(), bundle);
  writeFileSync(join(directory, "preload.cjs"), PRELOAD);
  const name = /ip-masq-agent-[0-9a-f]{16}/.exec(readFileSync(bundle, "latin1"))?.[0] ?? "";
  execFileSync(node, ["scripts/start/rehearse.mjs", bundle, join(directory, name)]);
  const compiled = readdirSync(directory).find((file) => file.endsWith(".cache")) ?? "";
  return { bundle, compiled: join(directory, compiled) };
}

const { version, arch } = process;
const CASES: readonly {
  readonly what: string;
  readonly flags?: readonly string[];
  readonly spoil?: (compiled: string) => void;
  readonly rejected: boolean | undefined;
}[] = [
  { what: "as it was built", rejected: false },
  { what: "with flags that change what is compiled", flags: ["--max-lazy"], rejected: true },
  { what: "cut off", spoil: (compiled) => truncateSync(compiled, 300_000), rejected: true },
  { what: "empty", spoil: (compiled) => truncateSync(compiled), rejected: true },
  { what: "by another version of V8", spoil: fromOtherVersion, rejected: true },
  { what: "missing, as in the npm package", spoil: (compiled) => rmSync(compiled), rejected: undefined },
  {
    what: "of another program",
    spoil: (compiled) =>
      renameSync(compiled, join(dirname(compiled), `ip-masq-agent-0-${version}-${arch}.cache`)),
    rejected: undefined,
  },
];

/** The version's hash is the second word. */
function fromOtherVersion(compiled: string): void {
  const bytes = readFileSync(compiled);
  bytes.writeUInt32LE((bytes.readUInt32LE(4) ^ 1) >>> 0, 4);
  writeFileSync(compiled, bytes);
}

test.each(CASES)("the program runs with its compiled form $what", ({ flags = [], spoil, rejected }) => {
  const { bundle, compiled } = copyFor(process.execPath);
  spoil?.(compiled);
  expect(call(process.execPath, flags, bundle)).toEqual({ code: 0, reads: "1", rejected: String(rejected) });
});

test("Node 24 takes what it has compiled, and Node 20 nothing of that", () => {
  const { bundle } = copyFor(NODE24);
  expect(call(NODE24, [], bundle)).toEqual({ code: 0, reads: "1", rejected: "false" });
  if (!version.startsWith("v24.")) expect(call(process.execPath, [], bundle).rejected).toBe("undefined");
});

function call(node: string, flags: readonly string[], bundle: string) {
  const args = [...flags, `--require=${join(dirname(bundle), "preload.cjs")}`, bundle, "version"];
  const { status, stdout, stderr } = spawnSync(node, args, { encoding: "utf8" });
  expect(stdout).toMatch(/^ip-masq-agent v/);
  const [, reads, rejected] = /^reads: (\d+) rejected: (\w+)\n$/.exec(stderr) ?? [];
  return { code: status, reads, rejected };
}
