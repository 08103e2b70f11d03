/**
 * Elements of interval sets as messages. The kernel keeps an interval as two elements: its first address, and the
 * one after its last, with a flag; one up to the last address of all has no second. A set of 100,000 intervals is
 * 4 MB of them (IPv4), so they are written by hand into memory of the right size.
 */
import {
  closeMessage,
  closeNest,
  cString,
  openMessage,
  openNest,
  putString,
  reserve,
  type Writer,
} from "./attributes.ts";
import { bytesWithin, messageCost } from "./budget.ts";
import { KEYS, NFTA, SET_ELEM_INTERVAL_END } from "./constants.ts";
import { headerOf } from "./messages.ts";
import type { ChangeElements, ElementInterval, SetKey } from "./operations.ts";
import { OPEN_INTERVAL } from "./userdata.ts";

/** The longest message of elements. A list is one attribute, whose length has 16 bits: 64 KB would be possible, and no faster. */
const MESSAGE_BYTES = 32_256;
/** The headers of an element, of its key and of the key's value. */
const ELEMENT_BYTES = 12;
const FLAGS_BYTES = 8;
const NEST = 0x8000;

/** The highest address of a family. */
export const LAST_ADDRESS: Readonly<Record<SetKey, bigint>> = {
  ipv4_addr: (1n << 32n) - 1n,
  ipv6_addr: (1n << 128n) - 1n,
};

/** Bytes of the message around the elements. */
function envelopeBytes(operation: ChangeElements): number {
  const name = (value: string) => 4 + ((cString(value).length + 3) & ~3);
  return 20 + name(operation.table) + name(operation.set) + 4;
}

/** Bytes of one interval; one up to the last address takes less. */
function intervalBytes(key: SetKey): number {
  return 2 * (ELEMENT_BYTES + KEYS[key].bytes) + FLAGS_BYTES;
}

function intervalsPerMessage(operation: ChangeElements): number {
  return Math.floor((MESSAGE_BYTES - envelopeBytes(operation)) / intervalBytes(operation.key));
}

/** The most bytes that an operation's messages have together. */
export function elementsBytes(operation: ChangeElements): number {
  const count = operation.elements.length;
  const messages = Math.ceil(count / intervalsPerMessage(operation));
  return messages * envelopeBytes(operation) + count * intervalBytes(operation.key);
}

/** The most that an operation takes of a batch's budget. */
export function elementsBudget(operation: ChangeElements): number {
  const perMessage = intervalsPerMessage(operation);
  const rest = operation.elements.length % perMessage;
  const whole = (operation.elements.length - rest) / perMessage;
  const messageBudget = (count: number) =>
    messageCost(envelopeBytes(operation) + count * intervalBytes(operation.key));
  return whole * messageBudget(perMessage) + (rest === 0 ? 0 : messageBudget(rest));
}

/** How many intervals of an operation a budget allows. */
export function intervalsWithin(operation: ChangeElements, budget: number): number {
  const perMessage = intervalsPerMessage(operation);
  const envelope = envelopeBytes(operation);
  const each = intervalBytes(operation.key);
  const messageBudget = messageCost(envelope + perMessage * each);
  const whole = Math.floor(budget / messageBudget);
  const rest = bytesWithin(budget - whole * messageBudget) - envelope;
  return whole * perMessage + Math.max(0, Math.floor(rest / each));
}

/** Writes the messages, whose sequence numbers count up from `sequence`; returns where each begins. */
export function writeElements(writer: Writer, operation: ChangeElements, sequence: number): number[] {
  const perMessage = intervalsPerMessage(operation);
  reserve(writer, elementsBytes(operation));
  const starts: number[] = [];
  for (let from = 0; from < operation.elements.length; from += perMessage) {
    const to = Math.min(from + perMessage, operation.elements.length);
    starts.push(writeElementMessage(writer, operation, { from, to, sequence: sequence + starts.length }));
  }
  return starts;
}

/** One message of the elements from one index up to another. */
function writeElementMessage(
  writer: Writer,
  operation: ChangeElements,
  { from, to, sequence }: { from: number; to: number; sequence: number },
): number {
  const start = openMessage(writer, headerOf(operation, sequence));
  putString(writer, NFTA.SET_ELEM_LIST.TABLE, operation.table);
  putString(writer, NFTA.SET_ELEM_LIST.SET, operation.set);
  const list = openNest(writer, NFTA.SET_ELEM_LIST.ELEMENTS);
  for (let index = from; index < to; index++)
    putInterval(writer, operation.key, operation.elements[index] as ElementInterval);
  closeNest(writer, list);
  closeMessage(writer, start);
  return start;
}

/** The attributes in the order in which nft writes them. */
function putInterval(writer: Writer, key: SetKey, { first, last }: ElementInterval): void {
  const keyBytes = KEYS[key].bytes;
  if (last === LAST_ADDRESS[key]) {
    putElementHeader(writer, ELEMENT_BYTES + keyBytes + 4 + 8);
    putKey(writer, keyBytes, first);
    putOpen(writer);
    return;
  }
  putElementHeader(writer, ELEMENT_BYTES + keyBytes);
  putKey(writer, keyBytes, first);
  putElementHeader(writer, ELEMENT_BYTES + keyBytes + FLAGS_BYTES);
  putEnd(writer);
  putKey(writer, keyBytes, last + 1n);
}

function putHeader(writer: Writer, length: number, type: number): void {
  writer.view.setUint16(writer.length, length, true);
  writer.view.setUint16(writer.length + 2, type, true);
  writer.length += 4;
}

function putElementHeader(writer: Writer, length: number): void {
  putHeader(writer, length, NEST | NFTA.LIST.ELEM);
}

function putEnd(writer: Writer): void {
  putHeader(writer, 8, NFTA.SET_ELEM.FLAGS);
  writer.view.setUint32(writer.length, SET_ELEM_INTERVAL_END);
  writer.length += 4;
}

function putKey(writer: Writer, keyBytes: number, value: bigint): void {
  putHeader(writer, 8 + keyBytes, NEST | NFTA.SET_ELEM.KEY);
  putHeader(writer, 4 + keyBytes, NFTA.DATA.VALUE);
  const { view, length } = writer;
  if (keyBytes === 4) view.setUint32(length, Number(value));
  else {
    view.setBigUint64(length, value >> 64n);
    view.setBigUint64(length + 8, value);
  }
  writer.length += keyBytes;
}

/** Six bytes, which is what its length says, and two of padding. */
function putOpen(writer: Writer): void {
  putHeader(writer, 4 + OPEN_INTERVAL.length, NFTA.SET_ELEM.USERDATA);
  writer.bytes.set(OPEN_INTERVAL, writer.length);
  writer.length += 8;
}
