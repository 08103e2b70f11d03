/** Which message of nf_tables each operation is, and with which flags: the same as nft's for the same command. */

import type { Header } from "./attributes.ts";
import { FAMILIES, NFNL, NFT_MSG, NLM_F } from "./constants.ts";
import type { DeleteByHandle, Operation } from "./operations.ts";

interface MessageKind {
  readonly type: number;
  readonly flags: number;
}

export const MESSAGES: Readonly<Record<Exclude<Operation["op"], "delete by handle">, MessageKind>> = {
  "add table": { type: NFT_MSG.NEWTABLE, flags: 0 },
  "delete table": { type: NFT_MSG.DELTABLE, flags: 0 },
  // Rules without a chain are those of all chains.
  "flush table": { type: NFT_MSG.DELRULE, flags: 0 },
  "add chain": { type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE },
  // Rules without a handle are all rules of the chain.
  "flush chain": { type: NFT_MSG.DELRULE, flags: 0 },
  "delete chain": { type: NFT_MSG.DELCHAIN, flags: 0 },
  "add set": { type: NFT_MSG.NEWSET, flags: NLM_F.CREATE },
  "delete set": { type: NFT_MSG.DELSET, flags: 0 },
  "add elements": { type: NFT_MSG.NEWSETELEM, flags: NLM_F.CREATE },
  "delete elements": { type: NFT_MSG.DELSETELEM, flags: 0 },
  "add rule": { type: NFT_MSG.NEWRULE, flags: NLM_F.CREATE | NLM_F.APPEND },
  "delete rule": { type: NFT_MSG.DELRULE, flags: 0 },
  "rename chain": { type: NFT_MSG.NEWCHAIN, flags: 0 },
};

const DELETIONS: Readonly<Record<DeleteByHandle["kind"], MessageKind>> = {
  chain: MESSAGES["delete chain"],
  set: MESSAGES["delete set"],
  object: { type: NFT_MSG.DELOBJ, flags: 0 },
  flowtable: { type: NFT_MSG.DELFLOWTABLE, flags: 0 },
};

/** A message's type, of which the high byte is the subsystem. */
export function messageType(type: number): number {
  return (NFNL.SUBSYS_NFTABLES << 8) | type;
}

/** The header of an operation's message. */
export function headerOf(operation: Operation, sequence: number): Header {
  const { op, family } = operation;
  const { type, flags } = op === "delete by handle" ? DELETIONS[operation.kind] : MESSAGES[op];
  return { type: messageType(type), flags: NLM_F.REQUEST | flags, sequence, family: FAMILIES[family] };
}
