/**
 * Operations as netlink messages. Pure: the same operations and sequence number are always the same bytes.
 *
 * Each operation becomes one message, elements as many as they need. A batch puts a transaction around them: the
 * kernel applies all of it or nothing. The last message asks for an acknowledgement, which the kernel sends after
 * the commit; that of the batch's end would come only from Linux 6.10 on (its commit bf2ac490d28c).
 */
import {
  addFlags,
  closeMessage,
  createWriter,
  lengthOf,
  openMessage,
  putBytes,
  putNest,
  putString,
  putU32,
  putU64,
  type Writer,
  written,
} from "./attributes.ts";
import { messageCost } from "./budget.ts";
import { HOOKS, KEYS, NFNL, NFTA, NLM_F, SET_FLAGS, VERDICTS } from "./constants.ts";
import { elementsBudget, elementsBytes, writeElements } from "./elements.ts";
import { putStatements } from "./encode-rule.ts";
import { headerOf } from "./messages.ts";
import type {
  AddChain,
  AddRule,
  AddSet,
  AddTable,
  BaseChain,
  ChainName,
  ChangeElements,
  DeleteByHandle,
  Operation,
  SetName,
} from "./operations.ts";
import { commentData, setData } from "./userdata.ts";
import { assertValid } from "./validate.ts";

export interface EncodedBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of the batch's beginning; the operations' messages follow, then the batch's end. */
  readonly firstSequence: number;
  /** The last operation's number: its acknowledgement says that the batch is applied. */
  readonly lastSequence: number;
  /** For each message between beginning and end, the index of its operation. */
  readonly owners: readonly number[];
  /** How much of a batch's budget the messages take. */
  readonly budget: number;
}

/** Everything but elements: a small message. */
type PlainOperation = Exclude<Operation, ChangeElements>;

/** The bytes of one transaction. */
export function encodeBatch(operations: readonly Operation[], firstSequence: number): EncodedBatch {
  const writer = createWriter(capacityFor(operations));
  const owners: number[] = [];
  let last = 0;
  let budget = 0;
  writeMarker(writer, NFNL.MSG_BATCH_BEGIN, firstSequence);
  for (const [index, operation] of operations.entries()) {
    assertValid(operation);
    for (const start of writeOperation(writer, operation, firstSequence + 1 + owners.length)) {
      owners.push(index);
      last = start;
      budget += messageCost(lengthOf(writer, start));
    }
  }
  const lastSequence = firstSequence + owners.length;
  if (owners.length > 0) addFlags(writer, last, NLM_F.ACK);
  writeMarker(writer, NFNL.MSG_BATCH_END, lastSequence + 1);
  return { bytes: written(writer), firstSequence, lastSequence, owners, budget };
}

/** The most that an operation takes of a batch's budget. */
export function operationBudget(operation: Operation): number {
  if (isElements(operation)) return elementsBudget(operation);
  const writer = createWriter();
  writePlain(writer, operation, 0);
  return messageCost(writer.length);
}

export function isElements(operation: Operation): operation is ChangeElements {
  return operation.op === "add elements" || operation.op === "delete elements";
}

/** Elements are the only big thing; the rest may let the buffer grow. */
function capacityFor(operations: readonly Operation[]): number {
  return operations.filter(isElements).reduce((sum, each) => sum + elementsBytes(each), 1024);
}

/** The beginning or the end of a batch, which name the subsystem. */
function writeMarker(writer: Writer, type: number, sequence: number): void {
  const header = { type, flags: NLM_F.REQUEST, sequence, family: 0, resource: NFNL.SUBSYS_NFTABLES };
  closeMessage(writer, openMessage(writer, header));
}

/** Returns where each message begins. */
function writeOperation(writer: Writer, operation: Operation, sequence: number): number[] {
  if (isElements(operation)) return writeElements(writer, operation, sequence);
  return [writePlain(writer, operation, sequence)];
}

function writePlain(writer: Writer, operation: PlainOperation, sequence: number): number {
  const start = openMessage(writer, headerOf(operation, sequence));
  putOperation(writer, operation);
  closeMessage(writer, start);
  return start;
}

function putOperation(writer: Writer, operation: PlainOperation): void {
  switch (operation.op) {
    case "add table":
      putTable(writer, operation);
      break;
    case "delete table":
      putString(writer, NFTA.TABLE.NAME, operation.table);
      break;
    case "add chain":
      putChain(writer, operation);
      break;
    case "delete chain":
      putString(writer, NFTA.CHAIN.TABLE, operation.table);
      putString(writer, NFTA.CHAIN.NAME, operation.chain);
      break;
    case "flush table":
      putString(writer, NFTA.RULE.TABLE, operation.table);
      break;
    case "flush chain":
      putRuleChain(writer, operation);
      break;
    case "rename chain":
      putString(writer, NFTA.CHAIN.TABLE, operation.table);
      putU64(writer, NFTA.CHAIN.HANDLE, BigInt(operation.handle));
      putString(writer, NFTA.CHAIN.NAME, operation.name);
      break;
    case "delete by handle":
      putHandle(writer, operation);
      break;
    case "add set":
      putSet(writer, operation);
      break;
    case "delete set":
      putSetName(writer, operation);
      break;
    case "delete rule":
      putRuleChain(writer, operation);
      putU64(writer, NFTA.RULE.HANDLE, BigInt(operation.handle));
      break;
    case "add rule":
      putRule(writer, operation);
  }
}

/** nft always sends the flags, though none is set. */
function putTable(writer: Writer, { table, comment }: AddTable): void {
  putString(writer, NFTA.TABLE.NAME, table);
  putU32(writer, NFTA.TABLE.FLAGS, 0);
  if (comment !== undefined) putBytes(writer, NFTA.TABLE.USERDATA, commentData(comment));
}

function putChain(writer: Writer, { table, chain, base }: AddChain): void {
  putString(writer, NFTA.CHAIN.TABLE, table);
  putString(writer, NFTA.CHAIN.NAME, chain);
  if (base !== undefined) putBase(writer, base);
}

function putBase(writer: Writer, { type, hook, priority, policy }: BaseChain): void {
  putString(writer, NFTA.CHAIN.TYPE, type);
  putU32(writer, NFTA.CHAIN.POLICY, VERDICTS[policy]);
  putNest(writer, NFTA.CHAIN.HOOK, () => {
    putU32(writer, NFTA.HOOK.HOOKNUM, HOOKS.indexOf(hook));
    putU32(writer, NFTA.HOOK.PRIORITY, priority);
  });
}

/** The kernel wants a number by which messages of the same batch may name the set; ours use its name. */
function putSet(writer: Writer, operation: AddSet): void {
  const { type, bytes } = KEYS[operation.key];
  putSetName(writer, operation);
  putU32(writer, NFTA.SET.FLAGS, SET_FLAGS.interval);
  putU32(writer, NFTA.SET.KEY_TYPE, type);
  putU32(writer, NFTA.SET.KEY_LEN, bytes);
  putU32(writer, NFTA.SET.ID, 1);
  const { size } = operation;
  if (size !== undefined) putNest(writer, NFTA.SET.DESC, () => putU32(writer, NFTA.SET_DESC.SIZE, size));
  putBytes(writer, NFTA.SET.USERDATA, setData(operation.comment));
}

function putSetName(writer: Writer, { table, set }: SetName): void {
  putString(writer, NFTA.SET.TABLE, table);
  putString(writer, NFTA.SET.NAME, set);
}

const BY_KIND = {
  chain: NFTA.CHAIN,
  set: NFTA.SET,
  object: NFTA.OBJ,
  flowtable: NFTA.FLOWTABLE,
} as const;

function putHandle(writer: Writer, { table, kind, handle, type }: DeleteByHandle): void {
  const { TABLE, HANDLE } = BY_KIND[kind];
  putString(writer, TABLE, table);
  if (type !== undefined) putU32(writer, NFTA.OBJ.TYPE, type);
  putU64(writer, HANDLE, BigInt(handle));
}

function putRuleChain(writer: Writer, { table, chain }: ChainName): void {
  putString(writer, NFTA.RULE.TABLE, table);
  putString(writer, NFTA.RULE.CHAIN, chain);
}

function putRule(writer: Writer, operation: AddRule): void {
  putRuleChain(writer, operation);
  putStatements(writer, operation.family, operation.statements);
  if (operation.comment !== undefined) putBytes(writer, NFTA.RULE.USERDATA, commentData(operation.comment));
}
