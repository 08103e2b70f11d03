/** The rules that masquerade: for each link, each block of sources and each address, one for every range of ports. */

import { ADDRESS_BITS, type Cidr } from "../core/cidr.ts";
import { probabilitiesOf, rangeSize } from "../core/ports.ts";
import type { AddressPool, Masquerade, Ruleset } from "../core/ruleset.ts";
import { slots } from "../core/slots.ts";
import { type MaskedAddress, maskedPrefix, prefixMask, type Rule } from "./rule.ts";

const COMMENT = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";

/** Protocols whose source port can be chosen; a rule for ports needs one. */
const PORT_PROTOCOLS = ["tcp", "udp", "sctp"];

/** In the order of the file's names and of the blocks' addresses. `ours` are blocks of sources, each address of which is ours. */
export function masqueradeRules(
  { family, scope, masquerade }: Ruleset,
  ours: readonly Cidr[],
  randomFully: boolean,
): Rule[] {
  const links =
    scope === undefined || scope.interfaces.length === 0
      ? [{}]
      : scope.interfaces.map((outInterface) => ({ outInterface }));
  return links.flatMap((link) =>
    ours.flatMap((block) =>
      waysOf(block, masquerade.pool).flatMap(({ source, addresses }) => {
        const rule = { ...source, ...link, comment: COMMENT, randomFully };
        const targets =
          addresses === undefined
            ? [{ ...rule, target: "MASQUERADE" } as const]
            : addresses.map(
                (address) => ({ ...rule, target: "SNAT", toSource: { family, address } }) as const,
              );
        return spread(targets, masquerade);
      }),
    ),
  );
}

/** The number of rules that masquerade, for blocks of sources; made for lists that are far too long to write them. */
export function countMasqueradeRules({ scope, masquerade }: Ruleset, blocks: readonly Cidr[]): number {
  const { toPorts, pool } = masquerade;
  const each = PORT_PROTOCOLS.length * toPorts.length + 1;
  const ways = blocks.reduce((sum, block) => sum + countWays(block, pool), 0);
  return Math.max(1, scope?.interfaces.length ?? 0) * ways * each;
}

function countWays(block: Cidr, pool: AddressPool | undefined): number {
  if (pool === undefined) return 1;
  return pool.by === "flow" ? pool.addresses.length : 2 ** freeBits(block, slots(pool).bits);
}

/** Sources, and the addresses that each of their flows may leave with; without any, the kernel chooses. */
interface Way {
  readonly source: Pick<Rule, "source">;
  readonly addresses?: readonly bigint[];
}

/** The last rule of a block catches all that are left, so it asks for no slot. */
function waysOf(block: Cidr, pool: AddressPool | undefined): Way[] {
  const whole = fromBlock(block);
  if (pool === undefined) return [{ source: whole }];
  if (pool.by === "flow") return [{ source: whole, addresses: pool.addresses }];
  const { bits, addresses } = slots(pool);
  // The block's own bits fix the rest of a slot's number.
  const free = freeBits(block, bits);
  const fixed = BigInt.asUintN(bits, block.base);
  const low = (1n << BigInt(bits)) - 1n;
  const mask = prefixMask(block.family, block.bits) | low;
  return Array.from({ length: 2 ** free }, (_, i) => {
    const slot = fixed | BigInt(i);
    const own = addresses.slice(Number(slot), Number(slot) + 1);
    const source: MaskedAddress = { family: block.family, address: block.base | slot, mask };
    return { source: i === 2 ** free - 1 ? whole : { source }, addresses: own };
  });
}

/** The bits of a slot's number that differ within a block. */
function freeBits({ family, bits }: Cidr, slotBits: number): number {
  return Math.min(slotBits, ADDRESS_BITS[family] - bits);
}

/** A condition only where the block has fewer than all addresses. */
export function fromBlock(block: Cidr): Pick<Rule, "source"> {
  const source = maskedPrefix(block);
  return source === undefined ? {} : { source };
}

/** Every port of every target is equally likely; packets without ports, every target. */
function spread(targets: readonly Rule[], { toPorts }: Pick<Masquerade, "toPorts">): Rule[] {
  const withPorts = targets.flatMap((rule) =>
    toPorts.map((range) => ({ rule: { ...rule, toPorts: range }, size: rangeSize(range) })),
  );
  return [
    ...PORT_PROTOCOLS.flatMap((protocol) => inTurn(withPorts).map((rule) => ({ ...rule, protocol }))),
    ...inTurn(targets.map((rule) => ({ rule, size: 1 }))),
  ];
}

/** Each takes its share of what the ones before have left, and the last all. */
function inTurn(sized: readonly { readonly rule: Rule; readonly size: number }[]): Rule[] {
  const probabilities = probabilitiesOf(sized.map(({ size }) => size));
  return sized.map(({ rule }, i) => {
    const probability = probabilities[i];
    return probability === undefined ? rule : { ...rule, probability };
  });
}
