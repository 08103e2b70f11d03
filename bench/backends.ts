/** The ways to keep a list of CIDRs that are compared, and the rule that all are compared with. */
import type { BenchNode } from "./testbed.ts";

/** A tool to be run, as `node.run` takes it. */
export interface ToolRun {
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin?: string;
}

export interface BenchBackend {
  readonly name: string;
  /** Measured in the same rounds: a walk through a long chain leaves nothing of a set in the processor's caches. */
  readonly group: "chains" | "sets";
  /** The flags with which the agent uses it. */
  readonly flags: readonly string[];
  /** Lists the rules with their counters. */
  readonly listing: ToolRun;
}

const LIST_NFT: ToolRun = { file: "nft", args: ["-t", "list", "ruleset"] };
const LIST_LEGACY: ToolRun = { file: "iptables-legacy-save", args: ["-c", "-t", "nat"] };

/** All of them, in the order in which they are shown. */
export const BACKENDS: readonly BenchBackend[] = [
  iptables("iptables chain (nft)", "chains", ["--iptables-mode=nft", "--ipset-threshold=0"], LIST_NFT),
  iptables(
    "iptables chain (legacy)",
    "chains",
    ["--iptables-mode=legacy", "--ipset-threshold=0"],
    LIST_LEGACY,
  ),
  iptables("iptables + ipset", "sets", ["--iptables-mode=nft", "--ipset-threshold=1"], LIST_NFT),
  { name: "nftables", group: "sets", flags: ["--backend=nftables"], listing: LIST_NFT },
];

/** The floor: masquerading without any exception. */
export const FLOOR: ToolRun = {
  file: "iptables-nft-restore",
  args: ["--noflush"],
  stdin: "*nat\n-A POSTROUTING -j MASQUERADE --random-fully\nCOMMIT\n",
};

/** Runs a tool in a node. */
export async function runTool(node: BenchNode, { file, args, stdin }: ToolRun): Promise<string> {
  return node.run(file, args, stdin);
}

function iptables(
  name: string,
  group: BenchBackend["group"],
  flags: readonly string[],
  listing: ToolRun,
): BenchBackend {
  return { name, group, flags: ["--backend=iptables", ...flags], listing };
}
