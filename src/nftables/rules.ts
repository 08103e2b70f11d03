/**
 * The rules of our chain, which both families share. No set or map in braces: they are made with their rule, and look empty
 * for a moment. So each link has rules of its own, and so has each address of a pool.
 */

import { MAX_MASQUERADE_RULES, multiplyingLists } from "../backend/masquerade-rules.ts";
import { NFT_FAMILIES } from "../core/cidr.ts";
import { type PortRange, rangeShares } from "../core/ports.ts";
import type { AddressPool, Ruleset } from "../core/ruleset.ts";
import { slots } from "../core/slots.ts";
import { COUNTER, type ObservedStatement, type Statement } from "../netlink/operations.ts";

/** The names of a family's sets; without `from`, every source is ours. */
export interface SetNames {
  readonly keep: string;
  readonly from?: string;
}

const RETURN: Statement = { kind: "verdict", verdict: "return" };

/** The destinations that the Go program's jump excludes: `! --dst-type LOCAL`. This is slower than the sets, so its rule comes after them. */
const LOCAL: Statement = { kind: "fib daddr type", type: "local" };

/** All rules of the chain, in order; `sets` has the names of each ruleset's sets. */
export function tableRules(rulesets: readonly Ruleset[], sets: readonly SetNames[]): Statement[][] {
  const keep = rulesets.map(({ family }, i): Statement[] => [
    { kind: "daddr", family: NFT_FAMILIES[family], set: sets[i]?.keep ?? "", negated: false },
    COUNTER,
    RETURN,
  ]);
  const from = rulesets.flatMap(({ family }, i): Statement[][] => {
    const set = sets[i]?.from;
    if (set === undefined) return [];
    return [[{ kind: "saddr", family: NFT_FAMILIES[family], set, negated: true }, COUNTER, RETURN]];
  });
  return [...keep, ...from, [LOCAL, COUNTER, RETURN], ...rulesets.flatMap(familyRules)];
}

/** Whether rules with these statements decide by more than the destination which packets are masqueraded. */
export function isScoped(statements: readonly ObservedStatement[]): boolean {
  return statements.some(({ kind }) => kind === "saddr" || kind === "oifname");
}

/** Why a family's rules are too many, if they are: of ports alone, that is for the size of a transaction to say. */
export function tooManyForFamily(ruleset: Ruleset): string | undefined {
  if (!hasOurKeys(ruleset)) return undefined;
  const count = masqueradeRules(ruleset).length;
  if (count <= MAX_MASQUERADE_RULES) return undefined;
  const lists = multiplyingLists(ruleset).join(", ");
  return `${ruleset.family}: ${lists} would take ${count} masquerade rules, and at most ${MAX_MASQUERADE_RULES} are possible: shorten these lists`;
}

/** Whether keys that the Go program does not have multiply the rules. */
export function hasOurKeys({ scope, masquerade }: Ruleset): boolean {
  return (scope?.interfaces.length ?? 0) > 0 || masquerade.pool !== undefined;
}

/** The masquerade rules; and where links decide, one that counts the packets that leave through others. */
function familyRules(ruleset: Ruleset): Statement[][] {
  const { family, scope } = ruleset;
  const rest: Statement[] = [{ kind: "nfproto", family: NFT_FAMILIES[family] }, COUNTER, RETURN];
  return [...masqueradeRules(ruleset), ...((scope?.interfaces.length ?? 0) === 0 ? [] : [rest])];
}

function masqueradeRules(ruleset: Ruleset): Statement[][] {
  const names = ruleset.scope?.interfaces ?? [];
  const links = names.length === 0 ? [[]] : names.map((name) => [linkStatement(name)]);
  return links.flatMap((link) => partsOf(ruleset).flatMap((part) => partRules(ruleset, part, link)));
}

/** `+` at the end of a name is iptables' `*`. */
function linkStatement(name: string): Statement {
  const isPrefix = name.endsWith("+");
  return { kind: "oifname", name: isPrefix ? name.slice(0, -1) : name, isPrefix };
}

/** A part of all sources, and the addresses that its flows take; undefined: the kernel's choice. */
interface Part {
  readonly first: Statement;
  readonly addresses: readonly (bigint | undefined)[];
}

/** One for each slot of a pool. The last is for all that are left. */
function partsOf({ family, masquerade: { pool } }: Ruleset): Part[] {
  const name = NFT_FAMILIES[family];
  const all: Statement = { kind: "nfproto", family: name };
  if (pool === undefined) return [{ first: all, addresses: [undefined] }];
  const parts = poolParts(pool);
  const mask = BigInt(parts.length - 1);
  return parts.map((addresses, i) => ({
    first: i === parts.length - 1 ? all : { kind: "saddr bits", family: name, mask, value: BigInt(i) },
    addresses,
  }));
}

/** By flow every source may take each of the addresses. */
function poolParts(pool: AddressPool): readonly (readonly bigint[])[] {
  if (pool.by === "flow") return [pool.addresses];
  return slots(pool).addresses.map((address) => [address]);
}

const PROTOCOLS = ["tcp", "udp", "sctp"] as const;

function partRules(
  { family, masquerade }: Ruleset,
  { first, addresses }: Part,
  link: Statement[],
): Statement[][] {
  const flags = masquerade.randomFully ? (["fully-random"] as const) : [];
  const translate = (address: bigint | undefined, range: PortRange | undefined): Statement => {
    const ports =
      range === undefined ? {} : { ports: { first: Number(range.first), last: Number(range.last) } };
    return address === undefined
      ? { kind: "masquerade", ...ports, flags }
      : { kind: "snat", family: NFT_FAMILIES[family], address, ...ports, flags };
  };
  /** A rule for each address and range; every port of every address is equally likely. */
  const choose = (head: readonly Statement[], ranges: readonly (PortRange | undefined)[]): Statement[][] => {
    const choices = addresses.flatMap((address) => ranges.map((range) => ({ address, range })));
    const shares = rangeShares(choices.map(({ range = ONE }) => range));
    return choices.map(({ address, range }, i) => {
      const { size = 0, left = 0 } = shares[i] ?? {};
      const share: Statement[] = size === left ? [] : [{ kind: "numgen random", modulus: left, below: size }];
      return [...head, ...link, ...share, COUNTER, translate(address, range)];
    });
  };
  return [
    ...PROTOCOLS.flatMap((protocol) => choose([first, { kind: "l4proto", protocol }], masquerade.toPorts)),
    ...choose([first], [undefined]),
  ];
}

/** Of addresses without ports, each is as likely as another. */
const ONE: PortRange = { first: 0n, last: 0n };
