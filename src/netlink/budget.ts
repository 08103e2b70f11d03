/**
 * What a batch may have. The send buffer has to take all of it. And should the kernel refuse every message, the receive buffer
 * has to take as many answers, or the refusal that matters could be lost. Answers come without the message that was refused
 * (NETLINK_CAP_ACK in netlink.c), so that each takes the same: a message counts as the larger of its length and its answer.
 */

/** An answer's `truesize`: its packet's memory and struct sk_buff (__alloc_skb() of net/core/skbuff.c). */
const ANSWER_BYTES = 1280;

/** What a message of so many bytes counts. */
export function messageCost(bytes: number): number {
  return Math.max(ANSWER_BYTES, bytes);
}

/** How long one message may be that counts no more than `cost`; negative, if none may. */
export function bytesWithin(cost: number): number {
  return cost < ANSWER_BYTES ? -1 : cost;
}
