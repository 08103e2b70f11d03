/** What the commands that answer cost beyond a bare `node -e 0`, for a list of 100,000 CIDRs. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentBundle } from "../test/lab/network/lab.ts";
import { cidrList, configText, withOneChanged } from "./lists.ts";
import { median } from "./statistics.ts";

const COUNT = 100_000;
const RUNS = 9;

/** Prints a line for each command. */
export function measureCommands(node: string, directory: string): void {
  const list = cidrList(COUNT);
  const [before = "", after = ""] = [list, withOneChanged(list, 1)].map((cidrs, i) => {
    const file = join(directory, `list-${i}`);
    writeFileSync(file, configText(cidrs));
    return file;
  });
  const commands: Readonly<Record<string, readonly string[]>> = {
    "diff of two lists, iptables": ["diff", `--config=${before}`, "--connections=false", after],
    "diff of two lists, nftables": [
      "diff",
      `--config=${before}`,
      "--connections=false",
      "--backend=nftables",
      after,
    ],
    "explain one address": ["explain", `--config=${before}`, "12.0.0.1"],
    "explain 0.0.0.0/0, in all its parts": ["explain", `--config=${before}`, "-o=json", "0.0.0.0/0"],
  };
  for (const [name, args] of Object.entries(commands)) {
    const extra = Array.from({ length: RUNS }, () => {
      const bare = runMs(node, ["-e", "0"]);
      return runMs(node, [agentBundle(), ...args]) - bare;
    });
    console.log(
      `${COUNT.toLocaleString("en")} CIDRs, ${name}: ${median(extra).toFixed(0)} ms beyond node's own start (${Math.min(...extra).toFixed(0)} to ${Math.max(...extra).toFixed(0)})`,
    );
  }
}

function runMs(node: string, args: readonly string[]): number {
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(node, args, { maxBuffer: 1 << 28, encoding: "utf8" });
  if (status !== 0 && status !== 1) throw new Error(`${args.join(" ")}: ${status}: ${stderr}`);
  return performance.now() - startedAt;
}
