/** Our objects in a lab's node, on every packet filter, in the words that an operator would search for. */
import type { Lab } from "./lab.ts";

const NODE_PROC = { iptables: "/proc/net/ip_tables_names", ip6tables: "/proc/net/ip6_tables_names" } as const;

/** Lines of iptables-save and ip6tables-save of both variants, and names of sets. */
export async function iptablesState(lab: Lab): Promise<readonly string[]> {
  const outputs: string[] = [];
  for (const tool of ["iptables", "ip6tables"] as const) {
    outputs.push(await output(lab, `${tool}-nft-save`, []));
    // The look itself would create the legacy table, in the node that an agent must leave as it is.
    const tables = await output(lab, "cat", [NODE_PROC[tool]]);
    if (tables.includes("nat")) outputs.push(await output(lab, `${tool}-legacy-save`, ["-t", "nat"]));
  }
  const ours = outputs
    .join("\n")
    .split("\n")
    .filter((line) => /ip-masq/i.test(line));
  return [...ours, ...(await ipsets(lab))];
}

/** The names of all sets of the ipset tool. */
export async function ipsets(lab: Lab): Promise<readonly string[]> {
  return (await output(lab, "ipset", ["list", "-n"])).split("\n").filter((line) => line !== "");
}

/** Lines of `nft list ruleset` that have to do with our table. */
export async function nftablesState(lab: Lab): Promise<readonly string[]> {
  const ruleset = await output(lab, "nft", ["list", "ruleset"]);
  const ours = /^table inet ip-masq-agent \{.*?^\}/ms.exec(ruleset)?.[0];
  return ours?.split("\n") ?? [];
}

async function output(lab: Lab, file: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.inNode(file, args);
  if (code !== 0) throw new Error(`${file}: ${code}: ${stderr}`);
  return stdout;
}
