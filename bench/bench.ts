/**
 * What the agent costs: the configuration (parse and compile, refuse garbage), questions about it, start to rules in place, idle
 * memory; a list of CIDRs in the kernel (programming it, and each new flow). Times are medians of paired runs; start is
 * given beside a bare `node -e 0` of the same Node.
 *
 * usage: bench.ts [--node PATH] (another Node to start the agent with) [--full] (longer, for figures to publish)
 *   [--only config|commands|start|rules] [--sizes N,N] (parts of it)
 * What the agent costs: the configuration (parse and compile, refuse garbage), start to rules in place, idle
 * memory; how soon it acts on changes, what it costs while there are none and while others commit all the time; a list of
 * CIDRs in the kernel (programming it, and each new flow). Times are medians of paired runs; start is given beside a bare
 * `node -e 0` of the same Node.
 *
 * usage: bench.ts [--node PATH] (another Node to start the agent with) [--full] (longer, for figures to publish)
 *   [--only config|start|react|idle|storm|rules] (a part of it)
 *   [--trials N] (of each reaction) [--seconds N] (of each storm) [--sizes N,N] (lengths of the list)
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { measureCommands } from "./commands.ts";
import { configChild, measureConfig } from "./config.ts";
import { atTheEnd } from "./end.ts";
import { IDLE_FULL, IDLE_SHORT, measureIdle } from "./idle.ts";
import { probeChild } from "./probe.ts";
import { measureReactions } from "./react.ts";
import { extentOf, measureRules } from "./rules.ts";
import { measureScrapes } from "./scrape.ts";
import { senderChild } from "./sender.ts";
import type { BackendName } from "./standing.ts";
import { measureStart } from "./start.ts";
import { committerChild, measureStorms } from "./storm.ts";

const { argv } = process;

// What has to be a process of its own is this program with another task.
if (argv.includes("--config-only")) configChild(argv.at(-1) ?? "");
else if (argv.includes("--sender")) senderChild();
else if (argv.includes("--probe")) void probeChild(argv.at(-2) as BackendName, argv.at(-1) ?? "");
else if (argv.includes("--committer")) void committerChild();
else void main();

async function main(): Promise<void> {
  const path = argument("--node");
  const node = path === undefined ? process.execPath : resolve(path);
  const only = argument("--only");
  const wanted = (part: string) => only === undefined || only === part;
  const root = process.getuid?.() === 0;
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-bench-"));
  atTheEnd(() => rmSync(directory, { recursive: true, force: true }));
  console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  if (wanted("config")) measureConfig(node, directory);
  if (wanted("commands")) measureCommands(node, directory);
  if (!root) console.log("all but configurations and commands: SKIPPED, it needs root (network namespaces)");
  if (root && wanted("start")) await measureStart(node, directory);
  const full = argv.includes("--full");
  const count = (name: string, usual: number) => Number(argument(name) ?? usual);
  if (root && wanted("react")) await measureReactions(node, count("--trials", full ? 200 : 40));
  if (root && wanted("idle")) await measureIdle(node, full ? IDLE_FULL : IDLE_SHORT);
  if (root && wanted("storm")) await measureStorms(node, count("--seconds", full ? 60 : 15));
  if (root && wanted("scrape")) await measureScrapes(node);
  if (root && wanted("rules")) await measureRules(node, extentOf(full, sizes()));
}

function sizes(): number[] {
  return (argument("--sizes") ?? "").split(",").filter(Boolean).map(Number);
}

function argument(name: string): string | undefined {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv[at + 1];
}
