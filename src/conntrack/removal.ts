/**
 * Deletes entries of the table. An entry is named by the direction of its first packet, its zone and its number: an entry that has
 * taken its place meanwhile has another number, and stays.
 */
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import {
  closeMessage,
  createWriter,
  openMessage,
  putBytes,
  readAttributes,
  type Writer,
  written,
} from "../netlink/attributes.ts";
import { FAMILIES, NLM_F, NLMSG } from "../netlink/constants.ts";
import { kernelFailure, type NftablesError } from "../netlink/errors.ts";
import type { Channel } from "../netlink/socket/channel.ts";
import { errnoIn, type Listener } from "../netlink/socket/conversation.ts";
import { CT_MSG, CTA, SUBSYS_CTNETLINK } from "./constants.ts";

/** An entry's name, in the bytes of the kernel's own message. */
export interface EntryName {
  readonly family: Family;
  readonly attributes: readonly { readonly type: number; readonly bytes: Uint8Array }[];
}

const NAME: readonly number[] = [CTA.TUPLE_ORIG, CTA.ID, CTA.ZONE];

/** The name of the entry in a message. A copy: the rest of the message need not be kept. */
export function entryName(family: Family, attributes: Uint8Array): EntryName {
  const all = readAttributes(attributes);
  const named = NAME.flatMap((type) => {
    const bytes = all.get(type);
    return bytes === undefined ? [] : { type, bytes: bytes.slice() };
  });
  return { family, attributes: named };
}

/** As many as a socket with small buffers takes at once; the kernel deletes them while they are sent, in 3 ms. */
const AT_ONCE = 200;

/** Deletes entries and closes the channel; returns how many the kernel has deleted. Throws an `NftablesError`. */
export async function removeEntries(
  channel: Channel,
  entries: readonly EntryName[],
  signal?: AbortSignal,
): Promise<number> {
  let removed = 0;
  try {
    for (let from = 0; from < entries.length; from += AT_ONCE) {
      const some = entries.slice(from, from + AT_ONCE);
      const [first, last] = [from + 1, from + some.length];
      const bytes = encode(some, first);
      const request = { what: WHAT, bytes, first, last, listener: listenToRemovals(some.length, last) };
      const settled = await channel.exchange(request, signal);
      removed += settled.state === "done" ? settled.value : 0;
    }
  } finally {
    channel.close();
  }
  return removed;
}

const WHAT = "deleting connections";

function encode(entries: readonly EntryName[], first: number): Uint8Array {
  const writer = createWriter(entries.length * 128);
  for (const [i, entry] of entries.entries()) {
    // Errors come by themselves; one acknowledgement tells that all is done.
    const flags = NLM_F.REQUEST | (i === entries.length - 1 ? NLM_F.ACK : 0);
    putRemoval(writer, entry, first + i, flags);
  }
  return written(writer);
}

function putRemoval(
  writer: Writer,
  { family, attributes }: EntryName,
  sequence: number,
  flags: number,
): void {
  const start = openMessage(writer, {
    type: (SUBSYS_CTNETLINK << 8) | CT_MSG.DELETE,
    flags,
    sequence,
    family: FAMILIES[NFT_FAMILIES[family]],
  });
  for (const { type, bytes } of attributes) putBytes(writer, type, bytes);
  closeMessage(writer, start);
}

/** -ENOENT: it is gone already, as it should be. -EBUSY: hardware forwards the flow, and only the kernel can end that. */
const LEFT: readonly number[] = [-2, -16];

/** Counts the entries of a request that are deleted. */
function listenToRemovals(count: number, last: number): Listener<number> {
  let removed = count;
  let error: NftablesError | undefined;
  return {
    hear(message) {
      if (message.type !== NLMSG.ERROR) return { state: "waiting" };
      const errno = errnoIn(message);
      if (errno !== 0) removed--;
      if (errno !== 0 && !LEFT.includes(errno)) error ??= kernelFailure(errno, WHAT);
      if (message.sequence !== last) return { state: "waiting" };
      return error === undefined ? { state: "done", value: removed } : { state: "failed", error };
    },
    lose: () => ({ state: "interrupted" }),
  };
}
