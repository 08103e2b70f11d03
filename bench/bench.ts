/**
 * The cost of the agent: start to rules in place, idle memory; how soon it acts on changes; a list of CIDRs in the kernel
 * (programming it, and each new flow); and each new flow with sources, links and addresses. With `--against`, a second bundle takes turns with this one,
 * so that both are measured under the same conditions.
 *
 * usage: bench.ts [--only start|react|rules|packets|ports|ended] (a part of it) [--full] (longer, for figures to publish)
 *   [--against BUNDLE] (another agent beside this one) [--node PATH] (another Node for the agents)
 *   [--trials N] (of each reaction) [--sizes N,N] (lengths of the list)
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { agentBundle } from "../test/lab/network/lab.ts";
import { atTheEnd } from "./end.ts";
import { measurePackets } from "./packets.ts";
import { fillerChild, measurePorts } from "./ports.ts";
import { clientChild, measureEnded, serverChild } from "./ports-ended.ts";
import { probeChild } from "./probe.ts";
import { measureReactions } from "./react.ts";
import { extentOf, measureRules } from "./rules.ts";
import { senderChild } from "./sender.ts";
import type { Side } from "./sides.ts";
import type { BackendName } from "./snapshot.ts";
import { measureStart } from "./start.ts";

const { argv } = process;

// A task that needs a process of its own runs in this program.
if (argv.includes("--sender")) senderChild();
else if (argv.includes("--probe")) void probeChild(argv.at(-2) as BackendName, argv.at(-1) ?? "");
else if (argv.includes("--filler")) fillerChild();
else if (argv.includes("--server")) serverChild();
else if (argv.includes("--client")) void clientChild(Number(argv.at(-2)), Number(argv.at(-1)));
else void main();

async function main(): Promise<void> {
  const node = resolve(argument("--node") ?? process.execPath);
  const only = argument("--only");
  const wanted = (part: string) => only === undefined || only === part;
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-bench-"));
  atTheEnd(() => rmSync(directory, { recursive: true, force: true }));
  console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  if (process.getuid?.() !== 0) return console.log("SKIPPED: it needs root (network namespaces)");
  const full = argv.includes("--full");
  const all = sides(node);
  if (wanted("start")) await measureStart(all, directory);
  if (wanted("react")) await measureReactions(all, Number(argument("--trials") ?? (full ? 200 : 40)));
  if (wanted("ports")) await measurePorts(full ? 3 : 1);
  if (wanted("ended")) await measureEnded(full);
  if (wanted("packets")) await measurePackets(all[0] as Side, full ? 120_000 : 30_000);
  if (wanted("rules")) await measureRules(all, extentOf(full, sizes()));
}

function sides(node: string): readonly Side[] {
  const against = argument("--against");
  const side = (name: string, bundle: string): Side => ({ name, command: [node, bundle] });
  if (against === undefined) return [side("", agentBundle())];
  return [side("this", agentBundle()), side("against", resolve(against))];
}

function sizes(): number[] {
  return (argument("--sizes") ?? "").split(",").filter(Boolean).map(Number);
}

function argument(name: string): string | undefined {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv[at + 1];
}
