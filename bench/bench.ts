/**
 * The cost of the agent, a subject after the other (SUBJECTS). With `--against`, a second bundle takes turns with this one, so that
 * both are measured under the same conditions.
 *
 * usage: bench.ts [--only SUBJECT] [--full] (longer, for figures to publish)
 *   [--against BUNDLE] (another agent beside this one) [--node PATH] (another Node for the agents)
 *   [--trials N] (of each reaction) [--sizes N,N] (lengths of the list)
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { agentBundle } from "../test/lab/network/lab.ts";
import { atTheEnd } from "../test/lab/network/remains.ts";
import { client, measureEnded, server } from "./ended.ts";
import { measurePackets } from "./packets.ts";
import { filler, measurePorts } from "./ports.ts";
import { probe } from "./probe.ts";
import { measureReactions } from "./react.ts";
import { measureRules } from "./rules.ts";
import { sender } from "./sender.ts";
import type { Run, Side } from "./sides.ts";
import { measureStart } from "./start.ts";
import { runProgram } from "./task.ts";

const SUBJECTS: Readonly<Record<string, (run: Run) => Promise<void>>> = {
  /** Start to rules in place, and idle memory. */
  start: measureStart,
  /** How soon the agent acts on changes. */
  react: measureReactions,
  /** New connections that fail, by the share of source ports in use. */
  ports: measurePorts,
  /** The same for TCP connections that have ended. */
  ended: measureEnded,
  /** A new flow with sources, links and addresses. */
  packets: measurePackets,
  /** A list of CIDRs in the kernel: programming it, and each new flow. */
  rules: measureRules,
};

async function main(...argv: string[]): Promise<void> {
  const argument = (name: string) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
  const [only, against, trials] = ["--only", "--against", "--trials"].map(argument);
  const subjects = Object.entries(SUBJECTS).filter(([name]) => only === undefined || only === name);
  if (subjects.length === 0) {
    console.error(`bench: --only takes ${Object.keys(SUBJECTS).join(", ")}, not ${only}`);
    process.exit(2);
  }
  const node = resolve(argument("--node") ?? process.execPath);
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-bench-"));
  atTheEnd(() => rmSync(directory, { recursive: true, force: true }));
  console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  if (process.getuid?.() !== 0) return console.log("SKIPPED: it needs root (network namespaces)");
  const side = (name: string, bundle: string): Side => ({ name, node, bundle });
  const own = agentBundle();
  const run: Run = {
    sides: against === undefined ? [side("", own)] : [side("this", own), side("against", resolve(against))],
    full: argv.includes("--full"),
    trials: trials === undefined ? undefined : Number(trials),
    sizes: argument("--sizes")?.split(",").map(Number),
    directory,
  };
  for (const [, measure] of subjects) await measure(run);
}

runProgram({ probe, filler, server, client, sender }, main);
