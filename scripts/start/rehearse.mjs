/**
 * Writes V8's compiled form of the program for the head of the bundle (head.cjs). V8 compiles a function when it is first
 * called, and writes those that it has compiled. So the agent programs rules here, with each backend; nothing of it
 * reaches the machine: an empty kernel answers netlink, and `echo` is each tool.
 *
 * usage: node scripts/start/rehearse.mjs BUNDLE CACHE; CACHE: the beginning of the file's name
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import v8 from "node:v8";
import vm from "node:vm";
import { emptyKernel } from "./empty-kernel.mjs";

const CONFIG = `nonMasqueradeCIDRs:
  - 10.0.0.0/8
  - 192.168.0.0/16
masqLinkLocal: false
resyncInterval: 60s
`;
const PATIENCE_MS = 30_000;

const [, , bundle, cache] = process.argv.map((path) => resolve(path));
const directory = fs.mkdtempSync(join(tmpdir(), "rehearsal-"));
const config = join(directory, "config");
fs.writeFileSync(config, CONFIG);
process.once("exit", () => fs.rmSync(directory, { recursive: true }));

// V8 rejects what was compiled with other flags.
v8.setFlagsFromString = () => {};
const { spawn } = childProcess;
childProcess.spawn = (_file, args, options) =>
  spawn("echo", args.includes("--version") ? ["iptables v1.8.9 (nf_tables)"] : ["-n"], options);
let script;
vm.Script = class extends vm.Script {
  constructor(...args) {
    super(...args);
    script = this;
  }
};

const { writeSync } = fs;
const require = createRequire(bundle);
const again = () => script.runInThisContext()(require, dirname(bundle));
rehearse(
  "nftables",
  () => require(bundle),
  () => rehearse("iptables", again, save),
);

/** Starts an agent, and calls `then` once it logs that it has programmed rules. From there on nothing answers it. */
function rehearse(backend, start, then) {
  const flags = [`--backend=${backend}`, "--masq-chain=REHEARSAL", `--config=${config}`, "--http-address="];
  process.argv = [process.execPath, bundle, "run", ...flags];
  const kernel = emptyKernel();
  process.dlopen = (addon) => Object.assign(addon.exports, kernel.addon);
  let log = "";
  const deadline = setTimeout(() => {
    fs.writeSync = writeSync;
    console.error(`the rehearsal of ${backend} programs no rules:\n${log}`);
    process.exit(1);
  }, PATIENCE_MS);
  fs.writeSync = (_file, bytes) => {
    log += Buffer.from(bytes);
    // With iptables it looks at its rules once more, and finds none.
    if (kernel.answers && /: programmed |was programmed, but/.test(log)) {
      kernel.answers = false;
      clearTimeout(deadline);
      setImmediate(then);
    }
    return bytes.length;
  };
  start();
}

function save() {
  fs.writeSync = writeSync;
  fs.writeFileSync(`${cache}-${process.version}-${process.arch}.cache`, script.createCachedData());
  process.exit(0);
}
