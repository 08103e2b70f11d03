/**
 * How large a batch may be. The send buffer has to take all of it. If the kernel rejects every message, the receive buffer
 * has to take as many answers, or the one that matters could be lost. An answer does not repeat the rejected message
 * (NETLINK_CAP_ACK in netlink.c), so all have one size: a message counts as the larger of its length and its answer.
 */

/** An answer's `truesize`: its packet's memory and struct sk_buff (__alloc_skb() of net/core/skbuff.c). */
const ANSWER_BYTES = 1280;

/** How much a message of this length counts. */
export function messageCost(bytes: number): number {
  return Math.max(ANSWER_BYTES, bytes);
}

/** The longest message that counts no more than `cost`; negative if there is none. */
export function bytesWithin(cost: number): number {
  return cost < ANSWER_BYTES ? -1 : cost;
}
