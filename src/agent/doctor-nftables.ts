/** nf_tables for `doctor`: chains that set addresses at postrouting, in whatever table. */
import { TABLE } from "../backend/nftables-sets.ts";
import type { Fact, NftAction, NftChain, NftFacts } from "../core/doctor-facts.ts";
import type { Family, ObservedChain, ObservedStatement, ObservedTable } from "../nftables/operations.ts";
import { chains, rules, sets, tables } from "../nftables/query.ts";
import type { Nftables } from "../nftables/transport.ts";
import { attempt } from "./doctor-read.ts";

/** What is there, and whether iptables-nft has a nat table of a family. */
export interface NftRead extends NftFacts {
  readonly natTables: readonly string[];
}

/** Statements that restrict nothing; `immediate` loads what a masquerade beyond our own kind needs. */
const UNRESTRICTING = new Set(["counter", "fib daddr type", "nfproto"]);
const UNRESTRICTING_EXPRESSIONS = new Set(["immediate", "log"]);

/** Reads it over a connection of its own. */
export function readNftables(open: () => Promise<Nftables>): Promise<Fact<NftRead>> {
  return attempt("rules of nftables", async () => {
    const connection = await open();
    try {
      return await read(connection);
    } finally {
      connection.close();
    }
  });
}

async function read(nftables: Nftables): Promise<NftRead> {
  const all = await nftables.read(tables());
  const found: NftChain[] = [];
  for (const table of all.filter(isOfInterest)) found.push(...(await natChains(nftables, table)));
  const own = all.find(({ family, table }) => family === TABLE.family && table === TABLE.table);
  return {
    chains: found,
    own:
      own === undefined
        ? undefined
        : { comment: own.comment, dormant: own.dormant, sets: (await nftables.read(sets(TABLE))).length },
    natTables: all.filter(({ table }) => table === "nat").map(({ family }) => family),
  };
}

/** kube-proxy's table has thousands of chains, and masquerades only what it has marked. */
function isOfInterest({ family, table }: ObservedTable): boolean {
  return ["inet", "ip", "ip6"].includes(family) && table !== "kube-proxy";
}

/** The base chains for nat at postrouting, and the chains that these lead to. */
async function natChains(nftables: Nftables, { family, table }: ObservedTable): Promise<NftChain[]> {
  const name = { family: family as Family, table };
  const all = await nftables.read(chains(name));
  // What iptables lists is read there.
  const isIptables = ({ chain }: ObservedChain) =>
    family !== "inet" && table === "nat" && chain === "POSTROUTING";
  const waiting = all.filter((one) => isNatBase(one) && !isIptables(one));
  const found: NftChain[] = [];
  const seen = new Set<string>();
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { chain, base } = next;
    if (seen.has(chain)) continue;
    seen.add(chain);
    const listed = await nftables.read(rules({ ...name, chain }));
    const read = listed.map(({ statements }) => describeRule(statements));
    found.push({ family, table, chain, priority: base?.priority, rules: read });
    const targets = new Set(read.flatMap(({ action }) => (action.kind === "jump" ? action.to : [])));
    waiting.push(...all.filter((one) => targets.has(one.chain)));
  }
  return found;
}

function isNatBase({ base }: ObservedChain): boolean {
  return base?.type === "nat" && base.hook === "postrouting";
}

/** What a rule does, and whether for every packet. */
export function describeRule(statements: readonly ObservedStatement[]): NftChain["rules"][number] {
  const action = statements.map(actionOf).find(({ kind }) => kind !== "other") ?? { kind: "other" };
  const unconditional = statements.every(
    (one) =>
      actionOf(one).kind !== "other" ||
      UNRESTRICTING.has(one.kind) ||
      (one.kind === "unknown" && UNRESTRICTING_EXPRESSIONS.has(one.name)),
  );
  return { action, unconditional };
}

function actionOf(statement: ObservedStatement): NftAction {
  if (statement.kind === "masquerade") return { kind: "masquerade" };
  if (statement.kind === "unknown" && ["masq", "nat"].includes(statement.name)) return { kind: "nat" };
  if (statement.kind === "verdict" && (statement.verdict === "jump" || statement.verdict === "goto"))
    return { kind: "jump", to: statement.chain };
  return { kind: "other" };
}
