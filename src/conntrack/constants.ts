/** Numbers of the kernel's connection tracking, as tables named after the headers they come from. It has only the numbers that we use. */

/** linux/netfilter/nfnetlink.h. */
export const SUBSYS_CTNETLINK = 1;

/** enum cntl_msg_types: linux/netfilter/nfnetlink_conntrack.h, as the attributes below. */
export const CT_MSG = { GET: 1, DELETE: 2, GET_STATS_CPU: 4, GET_STATS: 5 } as const;

export const CTA = {
  TUPLE_ORIG: 1,
  TUPLE_REPLY: 2,
  STATUS: 3,
  PROTOINFO: 4,
  TIMEOUT: 7,
  ID: 12,
  ZONE: 18,
  FILTER: 25,
  STATUS_MASK: 26,
} as const;
export const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
export const CTA_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
export const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3 } as const;
export const CTA_PROTOINFO_TCP = 1;
export const CTA_PROTOINFO_TCP_STATE = 1;
export const CTA_FILTER = { ORIG_FLAGS: 1, REPLY_FLAGS: 2 } as const;
/** CTA_FILTER_F_...: net/netfilter/nf_internals.h. */
export const FILTER_FLAG = { IP_SRC: 1, IP_DST: 2, PROTO_NUM: 8, SRC_PORT: 0x10, DST_PORT: 0x20 } as const;

/** IPS_...: linux/netfilter/nf_conntrack_common.h. */
export const STATUS = { SEEN_REPLY: 0x02, SRC_NAT: 0x10, DST_NAT: 0x20 } as const;

/** IPPROTO_ICMP and IPPROTO_ICMPV6. */
export const ICMP = { IPv4: 1, IPv6: 58 } as const;

export const CTA_STATS_GLOBAL = { ENTRIES: 1, MAX_ENTRIES: 2 } as const;
export const CTA_STATS = { INVALID: 4, INSERT_FAILED: 9, DROP: 10, EARLY_DROP: 11 } as const;

/** enum tcp_conntrack: linux/netfilter/nf_conntrack_tcp.h, position by position. */
export const TCP_STATES = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2",
] as const;
