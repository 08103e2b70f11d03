/**
 * A batch's bytes as operations again: the inverse of encode.ts, by which tests know that nothing is lost and people
 * can look at what was sent.
 */
import { type Message, parseMessages, readAttributes, readString } from "./attributes.ts";
import { NFNL, NFT_MSG, NFTA, NLM_F } from "./constants.ts";
import { readChain, readFlowtable, readObject, readRule, readSet, readTable } from "./decode.ts";
import { keyIn, readIntervals } from "./decode-elements.ts";
import type { DeleteByHandle, Operation } from "./operations.ts";

/** The operations in a batch. Elements that were cut into several messages are as many operations. */
export function readOperations(bytes: Uint8Array): Operation[] {
  const messages = parseMessages(bytes).filter(({ type }) => type >> 8 === NFNL.SUBSYS_NFTABLES);
  // They were written from operations, so that what is read from them is of their types.
  return messages.map((message) => READERS[message.type & 0xff]?.(message) as Operation);
}

const READERS: Readonly<Record<number, (message: Message) => object>> = {
  [NFT_MSG.NEWTABLE](message) {
    const { handle: _, dormant: __, ...table } = readTable(message);
    return { op: `${addOrCreate(message)} table`, ...table };
  },
  [NFT_MSG.DELTABLE](message) {
    const { family, table } = readTable(message);
    return { op: "delete table", family, table };
  },
  [NFT_MSG.NEWCHAIN](message) {
    const { handle, ...chain } = readChain(message);
    // The message does not tell the old name.
    if (handle !== 0) return { op: "rename chain", ...chain, chain: "", handle, name: chain.chain };
    return { op: `${addOrCreate(message)} chain`, ...chain };
  },
  [NFT_MSG.DELCHAIN](message) {
    const { family, table, chain, handle } = readChain(message);
    return handle === 0 ? { op: "delete chain", family, table, chain } : byHandle(message, "chain", handle);
  },
  [NFT_MSG.NEWSET](message) {
    const { handle: _, flags: __, ...set } = readSet(message);
    return { op: `${addOrCreate(message)} set`, ...set };
  },
  [NFT_MSG.DELSET](message) {
    const { family, table, set, handle } = readSet(message);
    return handle === 0 ? { op: "delete set", family, table, set } : byHandle(message, "set", handle);
  },
  [NFT_MSG.DELOBJ](message) {
    const { kind, handle, type } = readObject(message);
    return { ...byHandle(message, kind, handle), type };
  },
  [NFT_MSG.DELFLOWTABLE](message) {
    const { kind, handle } = readFlowtable(message);
    return byHandle(message, kind, handle);
  },
  [NFT_MSG.NEWSETELEM]: readElements,
  [NFT_MSG.DELSETELEM]: readElements,
  [NFT_MSG.NEWRULE](message) {
    const { handle, ...rule } = readRule(message);
    if ((message.flags & NLM_F.REPLACE) !== 0) return { op: "replace rule", ...rule, handle };
    return { op: (message.flags & NLM_F.APPEND) === 0 ? "insert rule" : "add rule", ...rule };
  },
  [NFT_MSG.DELRULE](message) {
    const { family, table, chain, handle } = readRule(message);
    const name = { family, table, chain };
    if (chain === "") return { op: "flush table", family, table };
    return handle === 0 ? { op: "flush chain", ...name } : { op: "delete rule", ...name, handle };
  },
};

/** The table's name has the same number in all messages. */
function byHandle(message: Message, kind: DeleteByHandle["kind"], handle: number): object {
  const { family, table } = readTable(message);
  return { op: "delete by handle", family, table, kind, handle };
}

function addOrCreate({ flags }: Message): string {
  return (flags & NLM_F.EXCL) === 0 ? "add" : "create";
}

/** Deleting no elements is deleting all. */
function readElements(message: Message): object {
  const names = readAttributes(message.attributes);
  const { family } = readTable(message);
  const table = readString(names.get(NFTA.SET_ELEM_LIST.TABLE));
  const set = readString(names.get(NFTA.SET_ELEM_LIST.SET));
  const key = keyIn(message);
  if (key === undefined) return { op: "flush set", family, table, set };
  const isNew = (message.type & 0xff) === NFT_MSG.NEWSETELEM;
  const op = isNew ? "add elements" : "delete elements";
  return { op, family, table, set, key, elements: readIntervals([message], key) };
}
