/**
 * The ways to keep a list of CIDRs that are compared. `by` says who programs the node whose flows are measured: the agent,
 * or the packet filter's own tools with the same rules, which also are what the agent's programming is compared with.
 */
import type { BenchNode } from "./namespaces.ts";

/** A tool to be run, as `node.run` takes it. */
export interface ToolRun {
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin?: string;
}

export interface BenchBackend {
  readonly name: string;
  /** What is measured in the same rounds: a walk through a long chain leaves nothing of a set in the processor's caches. */
  readonly group: "chains" | "sets";
  readonly by: "agent" | "tools";
  /** What makes the agent use it. */
  readonly flags: readonly string[];
  /** Sets up what does not depend on the list; then the whole list; then one entry more. All can be repeated. */
  readonly prepare: readonly ToolRun[];
  readonly fill: (list: readonly string[]) => ToolRun;
  /** Only where a tool can: a chain is written as a whole. */
  readonly addOne?: (cidr: string) => ToolRun;
  /** What lists the rules with their counters. */
  readonly listing: ToolRun;
}

const LIST_NFT: ToolRun = { file: "nft", args: ["-t", "list", "ruleset"] };
const LIST_LEGACY: ToolRun = { file: "iptables-legacy-save", args: ["-c", "-t", "nat"] };

/** Sets are created for any number of entries that is measured. */
const CREATE_SET = "hash:net maxelem 1048576";

/** All of them, in the order in which they are shown. */
export const BACKENDS: readonly BenchBackend[] = [
  iptablesChain("nft", LIST_NFT),
  iptablesChain("legacy", LIST_LEGACY),
  {
    name: "iptables + ipset",
    group: "sets",
    by: "agent",
    flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=1"],
    prepare: [
      ipset([`create bench ${CREATE_SET} -exist`]),
      restore("nft", ["-A BENCH -m set --match-set bench dst -j RETURN"]),
    ],
    fill: (list) =>
      ipset([
        `create bench-new ${CREATE_SET}`,
        ...list.map((cidr) => `add bench-new ${cidr}`),
        "swap bench-new bench",
        "destroy bench-new",
      ]),
    addOne: (cidr) => ipset([`add bench ${cidr} -exist`]),
    listing: LIST_NFT,
  },
  {
    name: "nftables",
    group: "sets",
    by: "agent",
    flags: ["--backend=nftables"],
    prepare: [
      nft([
        "add table inet bench",
        "add set inet bench keep { type ipv4_addr; flags interval; }",
        "add chain inet bench postrouting { type nat hook postrouting priority 101; }",
        "flush chain inet bench postrouting",
        "add rule inet bench postrouting ip daddr @keep counter return",
        "add rule inet bench postrouting fib daddr type local counter return",
        "add rule inet bench postrouting meta nfproto ipv4 counter masquerade fully-random",
      ]),
    ],
    fill: (list) =>
      nft([
        "flush set inet bench keep",
        ...(list.length > 0 ? [`add element inet bench keep { ${list.join(", ")} }`] : []),
      ]),
    addOne: (cidr) => nft([`add element inet bench keep { ${cidr} }`]),
    listing: LIST_NFT,
  },
];

/** What everything is compared with: masquerading without any exception. */
export const FLOOR: ToolRun = {
  file: "iptables-nft-restore",
  args: ["--noflush"],
  stdin: "*nat\n-A POSTROUTING -j MASQUERADE --random-fully\nCOMMIT\n",
};

/** Runs a tool in a node. */
export async function runTool(node: BenchNode, { file, args, stdin }: ToolRun): Promise<string> {
  return node.run(file, args, stdin);
}

function iptablesChain(variant: "nft" | "legacy", listing: ToolRun): BenchBackend {
  return {
    name: `iptables chain (${variant})`,
    group: "chains",
    by: "agent",
    flags: ["--backend=iptables", `--iptables-mode=${variant}`, "--ipset-threshold=0"],
    prepare: [],
    fill: (list) =>
      restore(
        variant,
        list.map((cidr) => `-A BENCH -d ${cidr} -j RETURN`),
      ),
    listing,
  };
}

/** The chain is emptied and written anew with these rules before the last, as the agent does. */
function restore(variant: "nft" | "legacy", rules: readonly string[]): ToolRun {
  const jump = "POSTROUTING -m addrtype ! --dst-type LOCAL -j BENCH";
  const lines = ["*nat", ":BENCH - [0:0]", ":POSTROUTING - [0:0]", `-A ${jump}`, ...rules];
  const stdin = [...lines, "-A BENCH -j MASQUERADE --random-fully", "COMMIT", ""].join("\n");
  return { file: `iptables-${variant}-restore`, args: ["--noflush"], stdin };
}

function ipset(lines: readonly string[]): ToolRun {
  return { file: "ipset", args: ["restore"], stdin: `${lines.join("\n")}\n` };
}

function nft(lines: readonly string[]): ToolRun {
  return { file: "nft", args: ["-f", "-"], stdin: `${lines.join("\n")}\n` };
}
