/** The elements of sets and maps of any type, as the kernel lists them, with their intervals put together again. */
import { SET_ELEM_CATCHALL, SET_ELEM_INTERVAL_END } from "../../netlink/constants.ts";
import type { RawElement, RawVerdict } from "../../netlink/raw.ts";
import { bigEndian, type Range } from "./register.ts";

/** An element; without a range, the one for everything else. */
export interface Member {
  readonly range?: Range;
  readonly verdict?: RawVerdict | undefined;
  readonly data?: Uint8Array | undefined;
}

/** Puts elements together; `isInterval`: of a set with intervals, which without a concatenation are two elements each. */
export function readMembers(elements: readonly RawElement[], isInterval: boolean): Member[] {
  const isRest = ({ flags }: RawElement) => (flags & SET_ELEM_CATCHALL) !== 0;
  const rest = elements.filter(isRest).map(({ verdict, data }) => ({ verdict, data }));
  const some = elements.filter((element) => !isRest(element));
  if (!isInterval || some.some(({ keyEnd }) => keyEnd !== undefined))
    return [
      ...some.map(({ key, keyEnd = key, verdict, data }) => ({
        range: { from: key, to: keyEnd },
        verdict,
        data,
      })),
      ...rest,
    ];
  return [...pair(some), ...rest];
}

function pair(elements: readonly RawElement[]): Member[] {
  const sorted = elements
    .map((element) => ({ element, at: bigEndian(element.key), isEnd: isEnd(element) }))
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : Number(b.isEnd) - Number(a.isEnd)));
  return sorted.flatMap(({ element, isEnd }, i) => {
    if (isEnd) return [];
    const { key, verdict, data } = element;
    const next = sorted[i + 1];
    // One without an end goes up to the last key.
    const to = next === undefined ? new Uint8Array(key.length).fill(0xff) : bytesOf(next.at - 1n, key.length);
    return [{ range: { from: key, to }, verdict, data }];
  });
}

function isEnd({ flags }: RawElement): boolean {
  return (flags & SET_ELEM_INTERVAL_END) !== 0;
}

function bytesOf(number: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = number;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}
