/**
 * What a batch may have. The send buffer has to take all of it. And should the kernel refuse every message, the
 * receive buffer has to take as many answers, each with the refused message in it: an overflow would not just lose
 * them, netlink 0.3.0 then aborts the process (binding.cc makes its error's text from a null pointer when polling
 * fails, and the exception meets nobody). So a message counts as what the answer to it would take, which is more.
 *
 * That is the kernel's `truesize`: the answer and what belongs to a packet's memory, rounded up to a power of two,
 * and the packet's own structure (__alloc_skb() of net/core/skbuff.c, netlink_ack() of net/netlink/af_netlink.c).
 */

/** An answer's headers and the kernel's struct skb_shared_info. */
const ANSWER_BYTES = 400;
/** The least that is taken for a packet's memory. */
const LEAST_BYTES = 1024;
/** The kernel's struct sk_buff. */
const PACKET_BYTES = 256;

/** What a message of so many bytes counts. */
export function messageCost(bytes: number): number {
  return Math.max(LEAST_BYTES, 2 ** Math.ceil(Math.log2(bytes + ANSWER_BYTES))) + PACKET_BYTES;
}

/** How long one message may be that counts no more than `cost`; negative, if none may. */
export function bytesWithin(cost: number): number {
  if (cost < LEAST_BYTES + PACKET_BYTES) return -1;
  return 2 ** Math.floor(Math.log2(cost - PACKET_BYTES)) - ANSWER_BYTES;
}
