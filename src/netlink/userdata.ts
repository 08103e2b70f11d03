/**
 * Data that nft keeps in the kernel with its objects: records of one byte each for type and length, then the value
 * (libnftnl/udata.h). The kernel does not read it; without it `nft list` shows no comments.
 */
import { cString, readString } from "./attributes.ts";
import { UDATA } from "./constants.ts";

/** The comment of a table or a rule. */
export function commentData(comment: string): Uint8Array {
  return record(UDATA.COMMENT, cString(comment));
}

/** A set's comment, and that its keys are in network order, as nft notes of every set of addresses. */
export function setData(comment: string | undefined): Uint8Array {
  const order = record(UDATA.SET_KEY_BYTEORDER, Uint8Array.of(UDATA.BYTEORDER_BIG_ENDIAN, 0, 0, 0));
  if (comment === undefined) return order;
  return Uint8Array.of(...order, ...record(UDATA.SET_COMMENT, cString(comment)));
}

/** nft's note at an element that starts an interval up to the last address. */
export const OPEN_INTERVAL: Uint8Array = record(
  UDATA.SET_ELEM_FLAGS,
  Uint8Array.of(UDATA.SET_ELEM_F_INTERVAL_OPEN, 0, 0, 0),
);

/** The comment in a table's or rule's data. */
export function commentOf(data: Uint8Array | undefined): string | undefined {
  return readString(findRecord(data, UDATA.COMMENT));
}

export function setCommentOf(data: Uint8Array | undefined): string | undefined {
  return readString(findRecord(data, UDATA.SET_COMMENT));
}

function record(type: number, value: Uint8Array): Uint8Array {
  return Uint8Array.of(type, value.length, ...value);
}

function findRecord(data: Uint8Array | undefined, wanted: number): Uint8Array | undefined {
  if (data === undefined) return undefined;
  for (let at = 0; at + 2 <= data.length; ) {
    const length = data[at + 1] ?? 0;
    if (data[at] === wanted) return data.subarray(at + 2, at + 2 + length);
    at += 2 + length;
  }
  return undefined;
}
