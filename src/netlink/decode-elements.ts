/**
 * Elements of interval sets as intervals again. The kernel lists, in descending order, first addresses and, flagged,
 * those after the last; nft also puts a flagged 0 before the first interval of a set, which ends nothing.
 * Intervals that touch stay two. A set may have 200,000 elements, so they are read in place.
 */
import { type Message, scanAttributes } from "./attributes.ts";
import { KEYS, NFTA, SET_ELEM_INTERVAL_END } from "./constants.ts";
import { LAST_ADDRESS } from "./elements.ts";
import type { ElementInterval, SetKey } from "./operations.ts";

/** An element as the kernel keeps it: an interval's first address, or the one after its last. */
interface Boundary {
  readonly at: bigint;
  readonly isEnd: boolean;
}

/** The intervals in the messages of one set, sorted. Keys of another length are not addresses, and are left out. */
export function readIntervals(messages: readonly Message[], key: SetKey): ElementInterval[] {
  const boundaries = messages.flatMap((message) => boundariesIn(message, key));
  // Cheap for what is sorted already, in either direction.
  boundaries.sort(inOrder);
  return pair(boundaries, LAST_ADDRESS[key]);
}

function boundariesIn({ attributes }: Message, key: SetKey): Boundary[] {
  const view = new DataView(attributes.buffer, attributes.byteOffset, attributes.length);
  const boundaries: Boundary[] = [];
  eachElement(attributes, ({ from, length, isEnd }) => {
    if (length === KEYS[key].bytes) boundaries.push({ at: addressAt(view, from, length), isEnd });
  });
  return boundaries;
}

/** By address; an interval ends before the next one begins at the same place. */
function inOrder(a: Boundary, b: Boundary): number {
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return Number(b.isEnd) - Number(a.isEnd);
}

/** One without an end goes up to the last address. */
function pair(boundaries: readonly Boundary[], lastAddress: bigint): ElementInterval[] {
  const intervals: ElementInterval[] = [];
  let first: bigint | undefined;
  for (const { at, isEnd } of boundaries) {
    if (isEnd && first !== undefined) intervals.push({ first, last: at - 1n });
    first = isEnd ? undefined : at;
  }
  if (first !== undefined) intervals.push({ first, last: lastAddress });
  return intervals;
}

/** Where an element's key is, and whether it is flagged as an end. */
interface Place {
  readonly from: number;
  readonly length: number;
  readonly isEnd: boolean;
}

function eachElement(bytes: Uint8Array, visit: (place: Place) => void): void {
  scanAttributes(bytes, 0, bytes.length, (type, from, to) => {
    if (type === NFTA.SET_ELEM_LIST.ELEMENTS)
      scanAttributes(bytes, from, to, (_, start, end) => {
        visit(placeOf(bytes, start, end));
      });
  });
}

/** The flags are a big-endian number whose lowest bit counts; the key is an attribute in an attribute. */
function placeOf(bytes: Uint8Array, start: number, end: number): Place {
  const place = { from: start, length: 0, isEnd: false };
  scanAttributes(bytes, start, end, (type, from, to) => {
    if (type === NFTA.SET_ELEM.FLAGS) place.isEnd = ((bytes[to - 1] ?? 0) & SET_ELEM_INTERVAL_END) !== 0;
    if (type !== NFTA.SET_ELEM.KEY) return;
    place.from = from + 4;
    place.length = to - from - 4;
  });
  return place;
}

function addressAt(view: DataView, from: number, length: number): bigint {
  if (length === 4) return BigInt(view.getUint32(from));
  return (view.getBigUint64(from) << 64n) | view.getBigUint64(from + 8);
}
