/**
 * The cost of a new flow with the keys about sources, links and addresses, above today's rules of the same backend, which are
 * measured twice: their distance from each other shows the noise.
 */
import { type Fields, renderRules } from "./agent.ts";
import { type FlowCost, measureFlows, startSender, type Target } from "./flows.ts";
import { machine, table } from "./report.ts";
import type { Run } from "./sides.ts";
import { createTestbed } from "./testbed.ts";

/** As many sources that are not next to each other; the pod's is in the first. */
function sources(count: number): Fields {
  const others = Array.from(
    { length: count - 1 },
    (_, i) => `${20 + (i >> 15)}.${(i >> 7) & 255}.${(2 * i) & 255}.0/24`,
  );
  return { masqueradeSourceCIDRs: ["10.200.0.0/16", ...others], cidrLimit: 1_000_000 };
}

const LINK = { outputInterfaces: ["eth0"] };

function addresses(count: number, by: "pod" | "flow"): Fields {
  return {
    outputAddresses: Array.from({ length: count }, (_, i) => `192.0.2.${i + 1}`),
    outputAddressBy: by,
  };
}

/** The first is the floor. */
const CASES: Readonly<Record<string, Fields>> = {
  "today's rules": {},
  "today's rules again": {},
  "1 source": sources(1),
  "1 source and 1 link": { ...sources(1), ...LINK },
  "8 sources and 1 link": { ...sources(8), ...LINK },
  "8 sources, 4 links": { ...sources(8), outputInterfaces: ["a0", "b0", "c+", "eth0"] },
  "10,000 sources and 1 link": { ...sources(10_000), ...LINK },
  "1 address": addresses(1, "pod"),
  "2 addresses by flow": addresses(2, "flow"),
  "16 addresses by pod": addresses(16, "pod"),
};

const BACKENDS: Readonly<Record<string, readonly string[]>> = {
  nftables: ["--backend=nftables"],
  iptables: ["--backend=iptables", "--iptables-mode=nft"],
};

/** Prints what each case costs above today's rules. */
export async function measurePackets({ sides: [side], full }: Run): Promise<void> {
  const testbed = await createTestbed();
  try {
    const sender = await startSender(testbed);
    const rows: string[][] = [];
    for (const [backend, flags] of Object.entries(BACKENDS)) {
      const targets: Target[] = [];
      for (const [name, fields] of Object.entries(CASES)) {
        const node = await testbed.addNode();
        await node.run("sh", ["-s"], await renderRules(side, testbed.directory, fields, flags));
        targets.push({ name, node, listing: ["nft", "-t", "list", "ruleset"] });
      }
      const costs = await measureFlows(testbed, sender, targets, 0, full ? 120_000 : 30_000);
      rows.push(...costs.map((cost) => [backend, ...row(cost)]));
    }
    sender.end();
    console.log(`\n${machine()}\n\nA new flow, microseconds above today's rules:`);
    console.log(table(["backend", "keys", "above", "rounds"], rows));
  } finally {
    testbed.close();
  }
}

function row({ name, aboveNs, errorNs, rounds }: FlowCost): string[] {
  return [name, `${(aboveNs / 1000).toFixed(2)} ± ${(errorNs / 1000).toFixed(2)}`, String(rounds)];
}
