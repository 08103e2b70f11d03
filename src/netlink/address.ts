/** Addresses and intervals as nft's language writes them. */
import { KEYS } from "./constants.ts";
import type { ElementInterval, SetKey } from "./operations.ts";

/** `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`, whichever is shortest, as `nft list` does. */
export function formatInterval(key: SetKey, { first, last }: ElementInterval): string {
  if (first === last) return formatAddress(key, first);
  const length = prefixLength(KEYS[key].bytes * 8, first, last);
  if (length !== undefined) return `${formatAddress(key, first)}/${length}`;
  return `${formatAddress(key, first)}-${formatAddress(key, last)}`;
}

/** The length of the prefix that has exactly these addresses, if there is one. */
function prefixLength(bits: number, first: bigint, last: bigint): number | undefined {
  const size = last - first + 1n;
  const isPowerOfTwo = (size & (size - 1n)) === 0n;
  if (!isPowerOfTwo || first % size !== 0n) return undefined;
  return bits - (size.toString(2).length - 1);
}

/** An address, in dotted decimals or as RFC 5952 has it. */
export function formatAddress(key: SetKey, value: bigint): string {
  return key === "ipv4_addr" ? formatIpv4(Number(value)) : formatIpv6(value);
}

function formatIpv4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

/** RFC 5952: the first of the longest runs of two or more zero groups is left out. */
function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    Number((value >> BigInt(112 - 16 * index)) & 0xffffn),
  );
  const text = groups.map((group) => group.toString(16)).join(":");
  const runs = [...text.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.reduce((best, [run]) => (run.length > best.length ? run : best), "");
  if (longest === "") return text;
  const at = runs.find(([run]) => run === longest)?.index ?? 0;
  return `${text.slice(0, at).replace(/:$/, "")}::${text.slice(at + longest.length).replace(/^:/, "")}`;
}
