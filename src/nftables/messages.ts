/** Which message of nf_tables each operation is, and with which flags: nft's own choice for the same command. */

import type { Header } from "./attributes.ts";
import { FAMILIES, NFNL, NFT_MSG, NLM_F } from "./constants.ts";
import type { Family, Operation } from "./operations.ts";

interface MessageKind {
  readonly type: number;
  readonly flags: number;
}

export const MESSAGES: Readonly<Record<Operation["op"], MessageKind>> = {
  "add table": { type: NFT_MSG.NEWTABLE, flags: 0 },
  "create table": { type: NFT_MSG.NEWTABLE, flags: NLM_F.EXCL },
  "delete table": { type: NFT_MSG.DELTABLE, flags: 0 },
  "add chain": { type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE },
  "create chain": { type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE | NLM_F.EXCL },
  // Rules without a handle are all rules, and no elements all elements.
  "flush chain": { type: NFT_MSG.DELRULE, flags: 0 },
  "delete chain": { type: NFT_MSG.DELCHAIN, flags: 0 },
  "add set": { type: NFT_MSG.NEWSET, flags: NLM_F.CREATE },
  "create set": { type: NFT_MSG.NEWSET, flags: NLM_F.CREATE | NLM_F.EXCL },
  "flush set": { type: NFT_MSG.DELSETELEM, flags: 0 },
  "delete set": { type: NFT_MSG.DELSET, flags: 0 },
  "add elements": { type: NFT_MSG.NEWSETELEM, flags: NLM_F.CREATE },
  "delete elements": { type: NFT_MSG.DELSETELEM, flags: 0 },
  "add rule": { type: NFT_MSG.NEWRULE, flags: NLM_F.CREATE | NLM_F.APPEND },
  "insert rule": { type: NFT_MSG.NEWRULE, flags: NLM_F.CREATE },
  "replace rule": { type: NFT_MSG.NEWRULE, flags: NLM_F.REPLACE },
  "delete rule": { type: NFT_MSG.DELRULE, flags: 0 },
};

/** A message's type, of which the high byte is the subsystem. */
export function messageType(type: number): number {
  return (NFNL.SUBSYS_NFTABLES << 8) | type;
}

/** What precedes the attributes of an operation's message. */
export function headerOf({ op, family }: { op: Operation["op"]; family: Family }, sequence: number): Header {
  const { type, flags } = MESSAGES[op];
  return { type: messageType(type), flags: NLM_F.REQUEST | flags, sequence, family: FAMILIES[family] };
}
