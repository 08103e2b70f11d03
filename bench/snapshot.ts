/** The agent's rules in the kernel as one text, which is equal if they are: read over netlink, in some hundred microseconds. */
import { jumpComment } from "../src/iptables/plan.ts";
import { ifFound } from "../src/netlink/errors.ts";
import type { SetKey } from "../src/netlink/operations.ts";
import { chains, elements, ruleImages, rules, sets, table } from "../src/netlink/query.ts";
import type { Nftables } from "../src/netlink/socket/transport.ts";
import { CHAIN, TABLE } from "../src/nftables/sets.ts";
import { CHAIN as IPTABLES_CHAIN } from "../test/lab/network/iptables.ts";

export type BackendName = "iptables" | "nftables";

/** For IPv4: an agent with default options programs no other family. */
export const SNAPSHOT: Readonly<Record<BackendName, (nftables: Nftables) => Promise<string>>> = {
  async iptables(nftables) {
    const nat = { family: "ip", table: "nat" } as const;
    const own = await nftables.read(ruleImages({ ...nat, chain: IPTABLES_CHAIN }));
    const all = await nftables.read(ruleImages({ ...nat, chain: "POSTROUTING" }));
    const jumps = all.filter((image) => image.includes(jumpComment(IPTABLES_CHAIN)));
    return [...own, ...jumps].join("\n");
  },
  async nftables(nftables) {
    const found = await ifFound(readTable(nftables));
    return found === undefined ? "no table" : canonical(found);
  },
};

/** The handles of the rules in nftables' chain, in their order. */
export async function ruleHandles(nftables: Nftables): Promise<readonly number[]> {
  return (await nftables.read(rules(CHAIN))).map(({ handle }) => handle);
}

async function readTable(nftables: Nftables): Promise<unknown> {
  const { dormant } = await nftables.read(table(TABLE));
  const filled = [];
  for (const { set, key } of await nftables.read(sets(TABLE)))
    filled.push({ set, elements: await nftables.read(elements({ ...TABLE, set, key: key as SetKey })) });
  filled.sort((a, b) => (plain(a.set) < plain(b.set) ? -1 : 1));
  return {
    dormant,
    filled,
    chains: await nftables.read(chains(TABLE)),
    rules: await nftables.read(rules(CHAIN)),
  };
}

/** Without parts that differ each time: handles, counters, and which of its two names a set has. */
function canonical(found: unknown): string {
  const IGNORED = ["handle", "packets", "bytes", "count"];
  return plain(
    JSON.stringify(found, (key, value) =>
      IGNORED.includes(key) ? undefined : typeof value === "bigint" ? String(value) : value,
    ),
  );
}

function plain(text: string): string {
  return text.replace(/keep-(ipv\d)-next/g, "keep-$1");
}
