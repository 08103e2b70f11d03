/** Our own table of nf_tables for `doctor`, and which tables there are, over netlink. */

import { attempt } from "../backend/attempt.ts";
import type { ObservedStatement } from "../netlink/operations.ts";
import { chains, rules, sets, tables } from "../netlink/query.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { TABLE } from "../nftables/sets.ts";
import type { Fact } from "../system/fact.ts";
import type { OwnTable } from "./facts.ts";

/** Reads our table, over a connection of its own; undefined if there is none. */
export function readOwnTable(open: () => Promise<Nftables>): Promise<Fact<OwnTable | undefined>> {
  return attempt("rules of nftables", () => connected(open, read));
}

async function read(nftables: Nftables): Promise<OwnTable | undefined> {
  const all = await nftables.read(tables());
  const own = all.find(({ family, table }) => family === TABLE.family && table === TABLE.table);
  if (own === undefined) return undefined;
  const base = (await nftables.read(chains(TABLE))).find(
    (one) => one.base?.type === "nat" && one.base.hook === "postrouting",
  );
  const listed = base === undefined ? [] : await nftables.read(rules({ ...TABLE, chain: base.chain }));
  return {
    comment: own.comment,
    dormant: own.dormant,
    sets: (await nftables.read(sets(TABLE))).length,
    rules: listed.length,
    masquerades: endsWithMasquerade(listed),
  };
}

/** Where links decide, a last rule counts and returns the packets that leave through others. */
function endsWithMasquerade(
  rules: readonly { readonly statements: readonly ObservedStatement[] }[],
): boolean {
  const kindsOf = (at: number) => rules.at(at)?.statements.map(({ kind }) => kind) ?? [];
  const masquerades = (at: number) => kindsOf(at).some((kind) => kind === "masquerade" || kind === "snat");
  const isCounting = kindsOf(-1).join() === "nfproto,counter,verdict";
  return masquerades(-1) || (isCounting && masquerades(-2));
}
