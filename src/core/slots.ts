/**
 * Which of several addresses a pod's packets leave with. The low bits of the pod's own address choose a slot, and each
 * slot has one address of the pool. So a pod has the same address with every backend, and after every change of rules.
 */
import { type Cidr, lastAddress } from "./cidr.ts";

/** The node's addresses that masqueraded packets leave with. */
export interface AddressPool {
  /** In numeric order; at least one. */
  readonly addresses: readonly bigint[];
  /** One for each pod, or any for each flow. */
  readonly by: "pod" | "flow";
}

/** A pool has no more addresses than a source's low bits have slots. */
export const MAX_POOL = 16;

/** The slots of a pool, by the low bits of a source. */
export interface Slots {
  /** The number of low bits that choose a slot: 0 with one address. */
  readonly bits: number;
  /** The address of each of the `2 ** bits` slots, in the order of their numbers. */
  readonly addresses: readonly bigint[];
}

/** The pool that a node makes of its own addresses: the lowest within the blocks; undefined if none is. */
export function choosePool(
  blocks: readonly Cidr[],
  by: AddressPool["by"],
  own: readonly bigint[],
): AddressPool | undefined {
  const within = [...new Set(own)]
    .filter((address) => blocks.some((block) => block.base <= address && address <= lastAddress(block)))
    .sort((a, b) => (a < b ? -1 : 1));
  return within.length === 0 ? undefined : { addresses: within.slice(0, MAX_POOL), by };
}

/**
 * As many slots as addresses where that is a power of two, so that each has as many pods. Otherwise 16, which the
 * addresses take in turn.
 */
export function slots({ addresses }: Pick<AddressPool, "addresses">): Slots {
  const bits = Math.log2(addresses.length);
  const used = Number.isInteger(bits) ? bits : Math.log2(MAX_POOL);
  return {
    bits: used,
    addresses: Array.from({ length: 2 ** used }, (_, i) => addresses[i % addresses.length] as bigint),
  };
}

/** The address that a pod's packets leave with; undefined if each flow may take any. */
export function addressOf(pool: AddressPool, source: bigint): bigint | undefined {
  if (pool.by === "flow" && pool.addresses.length > 1) return undefined;
  const { bits, addresses } = slots(pool);
  return addresses[Number(BigInt.asUintN(bits, source))];
}
