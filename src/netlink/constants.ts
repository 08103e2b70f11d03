/**
 * Numbers of the kernel's interface, as tables named after the headers they come from. Only what this library
 * uses is here; names are the header's without their prefix.
 */

/** Message types and flags: linux/netlink.h. */
export const NLMSG = { ERROR: 2, DONE: 3 } as const;
export const NLM_F = {
  REQUEST: 0x1,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  /** Of requests that read: NLM_F_ROOT | NLM_F_MATCH. */
  DUMP: 0x300,
  /** Of requests that write. */
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/** linux/netfilter/nfnetlink.h; a message's type is the subsystem's number in the high byte and its own in the low. */
export const NETLINK_NETFILTER = 12;
export const NFNL = { MSG_BATCH_BEGIN: 0x10, MSG_BATCH_END: 0x11, SUBSYS_NFTABLES: 10 } as const;

/** enum nf_tables_msg_types: linux/netfilter/nf_tables.h, as all of the following. */
export const NFT_MSG = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  DELCHAIN: 5,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  GETSET: 10,
  DELSET: 11,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
  NEWGEN: 15,
  GETGEN: 16,
  GETOBJ: 19,
  DELOBJ: 20,
  GETFLOWTABLE: 23,
  DELFLOWTABLE: 24,
} as const;

/** The attributes of messages, and of what is nested in them, by enum. */
export const NFTA = {
  LIST: { ELEM: 1 },
  TABLE: { NAME: 1, FLAGS: 2, HANDLE: 4, USERDATA: 6, OWNER: 7 },
  CHAIN: { TABLE: 1, HANDLE: 2, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, FLAGS: 10, USERDATA: 12 },
  HOOK: { HOOKNUM: 1, PRIORITY: 2 },
  SET: {
    TABLE: 1,
    NAME: 2,
    FLAGS: 3,
    KEY_TYPE: 4,
    KEY_LEN: 5,
    DESC: 9,
    ID: 10,
    USERDATA: 13,
    HANDLE: 16,
    /** Since Linux 6.16. */
    COUNT: 20,
  },
  SET_DESC: { SIZE: 1 },
  SET_ELEM: { KEY: 1, DATA: 2, FLAGS: 3, USERDATA: 6, KEY_END: 10 },
  SET_ELEM_LIST: { TABLE: 1, SET: 2, ELEMENTS: 3 },
  OBJ: { TABLE: 1, NAME: 2, TYPE: 3, HANDLE: 6 },
  FLOWTABLE: { TABLE: 1, NAME: 2, HANDLE: 5 },
  RULE: { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, COMPAT: 5, USERDATA: 7 },
  EXPR: { NAME: 1, DATA: 2 },
  DATA: { VALUE: 1, VERDICT: 2 },
  VERDICT: { CODE: 1, CHAIN: 2 },
  GEN: { ID: 1, PROC_PID: 2, PROC_NAME: 3 },
} as const;

/** The attributes of expressions, by the expression's name in the kernel. */
export const EXPRESSION = {
  meta: { DREG: 1, KEY: 2, SREG: 3 },
  cmp: { SREG: 1, OP: 2, DATA: 3 },
  range: { SREG: 1, OP: 2, FROM: 3, TO: 4 },
  bitwise: { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5, OP: 6, DATA: 7 },
  ct: { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 },
  payload: { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4, SREG: 5 },
  lookup: { SET: 1, SREG: 2, DREG: 3, FLAGS: 5 },
  nat: { TYPE: 1, FAMILY: 2, REG_ADDR_MIN: 3, REG_ADDR_MAX: 4, REG_PROTO_MIN: 5, REG_PROTO_MAX: 6, FLAGS: 7 },
  redir: { REG_PROTO_MIN: 1, REG_PROTO_MAX: 2 },
  hash: { DREG: 2, MODULUS: 4 },
  objref: { TYPE: 1 },
  /** One expression for each element, and since Linux 5.11 a list of them. */
  dynset: { EXPR: 7, EXPRESSIONS: 10 },
  /** Modules of xtables. */
  match: { NAME: 1, REV: 2, INFO: 3 },
  target: { NAME: 1, REV: 2, INFO: 3 },
  fib: { DREG: 1, RESULT: 2, FLAGS: 3 },
  numgen: { DREG: 1, MODULUS: 2, TYPE: 3, OFFSET: 4 },
  byteorder: { SREG: 1, DREG: 2, OP: 3, LEN: 4, SIZE: 5 },
  counter: { BYTES: 1, PACKETS: 2 },
  immediate: { DREG: 1, DATA: 2 },
  masq: { FLAGS: 1, REG_PROTO_MIN: 2, REG_PROTO_MAX: 3 },
} as const;

/** Values of expressions' attributes. */
export const REGISTER = { VERDICT: 0, FIRST: 1, SECOND: 2, THIRD: 3 } as const;
export const META = { OIFNAME: 7, NFPROTO: 15, L4PROTO: 16 } as const;
export const CMP = { EQ: 0, NEQ: 1, LT: 2, LTE: 3, GT: 4, GTE: 5 } as const;
export const PAYLOAD_NETWORK_HEADER = 1;
export const PAYLOAD_TRANSPORT_HEADER = 2;
export const LOOKUP_F_INV = 1;
export const FIB = { RESULT_ADDRTYPE: 3, F_SADDR: 1, F_DADDR: 2, F_IIF: 8 } as const;
/** NFT_BITWISE_MASK_XOR: `(value & mask) ^ xor`. */
export const BITWISE_MASK_XOR = 0;
/** NFT_NAT_SNAT. */
export const NAT_SOURCE = 0;
/** NF_NAT_RANGE_NETMAP of linux/netfilter/nf_nat.h. */
export const NAT_NETMAP = 0x40;
export const NG_RANDOM = 1;
export const BYTEORDER_HTON = 1;

/** enum nft_verdicts, and the two of linux/netfilter.h. */
export const VERDICTS = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** enum nft_set_flags, by nft's names. */
export const SET_FLAGS = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  dynamic: 0x20,
  object: 0x40,
  concat: 0x80,
  expressions: 0x100,
} as const;
export const SET_ELEM_INTERVAL_END = 1;
export const SET_ELEM_CATCHALL = 2;

/** NF_NAT_RANGE_* of linux/netfilter/nf_nat.h; the kernel sets the first itself if there is an address. */
export const NAT_MAP_IPS = 0x1;
export const NAT_PROTO_SPECIFIED = 0x2;
/** In the order in which nft prints them. */
export const NAT_FLAGS = { random: 0x4, "fully-random": 0x10, persistent: 0x8 } as const;

/** Families: NFPROTO_* of linux/netfilter.h. */
export const FAMILIES = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;

/** enum nf_inet_hooks: linux/netfilter.h, position by position. */
export const HOOKS = ["prerouting", "input", "forward", "output", "postrouting", "ingress"] as const;
/** enum nf_dev_hooks: linux/netfilter.h. */
export const DEVICE_HOOKS = ["ingress", "egress"] as const;

/** Protocol numbers: IPPROTO_* of linux/in.h. */
export const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** RTN_LOCAL of linux/rtnetlink.h. */
export const ROUTE_TYPE_LOCAL = 2;

/** Addresses in sets (`type` and `len` are nft's: enum datatypes in its datatype.h) and in packets. */
export const KEYS = {
  ipv4_addr: { type: 7, bytes: 4 },
  ipv6_addr: { type: 8, bytes: 16 },
} as const;
/** Where they are in a header, by nft's names. */
export const ADDRESSES = {
  ip: { nfproto: FAMILIES.ip, bytes: 4, saddr: 12, daddr: 16 },
  ip6: { nfproto: FAMILIES.ip6, bytes: 16, saddr: 8, daddr: 24 },
} as const;
/** IFNAMSIZ of linux/if.h, the NUL after a name included. */
export const INTERFACE_NAME_BYTES = 16;

/**
 * Data that nft keeps in the kernel for itself, type-length-value in one byte each: libnftnl/udata.h. A comment's type
 * is 0 for tables and rules too.
 */
export const UDATA = {
  COMMENT: 0,
  SET_KEY_BYTEORDER: 0,
  SET_COMMENT: 7,
  SET_ELEM_FLAGS: 1,
  BYTEORDER_BIG_ENDIAN: 2,
  SET_ELEM_F_INTERVAL_OPEN: 1,
  COMMENT_MAX_BYTES: 128,
} as const;

/** linux/rtnetlink.h, if_link.h and if_addr.h: links, addresses and routes. Their numbers are in the machine's byte order. */
export const NETLINK_ROUTE = 0;
export const RTM = { GETLINK: 18, NEWADDR: 20, DELADDR: 21, GETADDR: 22, GETROUTE: 26, GETRULE: 34 } as const;
/** RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR: multicast groups of changed addresses. */
export const RTNLGRP = { IPV4_IFADDR: 5, IPV6_IFADDR: 9 } as const;
/** The bytes of each kind's own header, before its attributes. */
export const RTM_HEADER_BYTES = { LINK: 16, ADDR: 8, ROUTE: 12, RULE: 12 } as const;
export const IFLA = { IFNAME: 3, MASTER: 10, LINKINFO: 18, INFO_KIND: 1 } as const;
export const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;
/** RT_SCOPE_UNIVERSE, of addresses that are valid anywhere. */
export const SCOPE_UNIVERSE = 0;
/** `ifa_flags`; the first says "secondary" for IPv4. */
export const IFA_F = { TEMPORARY: 0x01, DADFAILED: 0x08, DEPRECATED: 0x20, TENTATIVE: 0x40 } as const;
export const RTA = {
  DST: 1,
  SRC: 2,
  IIF: 3,
  OIF: 4,
  GATEWAY: 5,
  MULTIPATH: 9,
  TABLE: 15,
  MARK: 16,
  VIA: 18,
  IP_PROTO: 27,
  DPORT: 29,
} as const;
/** Asks for the entry of the table instead of what comes of it: it shows whether it has several ways. */
export const RTM_F_FIB_MATCH = 0x2000;
/** linux/fib_rules.h. */
export const FRA = {
  SRC: 2,
  IIFNAME: 3,
  FWMARK: 10,
  UID_RANGE: 20,
  IP_PROTO: 22,
  SPORT: 23,
  DPORT: 24,
} as const;
export const ROUTE_TYPES: Readonly<Record<number, "unicast" | "local" | "blackhole">> = {
  1: "unicast",
  2: "local",
  6: "blackhole",
  7: "blackhole",
  8: "blackhole",
};
export const ROUTE_TABLE_MAIN = 254;
export const ROUTE_PROTOCOL_KERNEL = 2;
