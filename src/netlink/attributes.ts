/**
 * Netlink's framing, both ways: messages of a 16 byte header, nfnetlink's 4 bytes and attributes
 * (linux/netlink.h, linux/netfilter/nfnetlink.h). Attributes are written into one growing buffer and their
 * lengths filled in afterwards, so that nothing is copied twice.
 *
 * Headers are in the machine's byte order: little-endian on every platform that Node and the addon run on.
 * nf_tables' own numbers are big-endian.
 */

export interface Writer {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length: number;
}

const HEADER_BYTES = 20;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const text = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/** An empty buffer with room for `capacity` bytes; it grows. */
export function createWriter(capacity = 1024): Writer {
  const bytes = new Uint8Array(capacity);
  return { bytes, view: new DataView(bytes.buffer), length: 0 };
}

/** Makes room for `count` more bytes. New memory is zero, so padding needs no writing. */
export function reserve(writer: Writer, count: number): void {
  const needed = writer.length + count;
  if (needed <= writer.bytes.length) return;
  const bytes = new Uint8Array(Math.max(needed, writer.bytes.length * 2));
  bytes.set(writer.bytes.subarray(0, writer.length));
  writer.bytes = bytes;
  writer.view = new DataView(bytes.buffer);
}

/** The bytes written so far. */
export function written(writer: Writer): Uint8Array<ArrayBuffer> {
  return writer.bytes.subarray(0, writer.length);
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** Writes an attribute's header and makes room for its payload; returns where that begins. */
function putHeader(writer: Writer, type: number, payloadBytes: number): number {
  const at = writer.length;
  reserve(writer, align(4 + payloadBytes));
  writer.view.setUint16(at, 4 + payloadBytes, true);
  writer.view.setUint16(at + 2, type, true);
  writer.length = at + align(4 + payloadBytes);
  return at + 4;
}

export function putBytes(writer: Writer, type: number, payload: Uint8Array): void {
  const at = putHeader(writer, type, payload.length);
  writer.bytes.set(payload, at);
}

/** A number of 32 bits, negative ones as two's complement. */
export function putU32(writer: Writer, type: number, value: number): void {
  const at = putHeader(writer, type, 4);
  writer.view.setUint32(at, value);
}

export function putU64(writer: Writer, type: number, value: bigint): void {
  const at = putHeader(writer, type, 8);
  writer.view.setBigUint64(at, value);
}

/** A text with the NUL that the kernel wants after it. */
export function putString(writer: Writer, type: number, value: string): void {
  putBytes(writer, type, cString(value));
}

/** A text as C keeps it. */
export function cString(value: string): Uint8Array {
  return text.encoder.encode(`${value}\0`);
}

/** An attribute of attributes, which `fill` writes. */
export function putNest(writer: Writer, type: number, fill: () => void): void {
  const start = openNest(writer, type);
  fill();
  closeNest(writer, start);
}

/** Begins an attribute of attributes. */
export function openNest(writer: Writer, type: number): number {
  const start = writer.length;
  putHeader(writer, type | NESTED, 0);
  return start;
}

export function closeNest(writer: Writer, start: number): void {
  writer.view.setUint16(start, writer.length - start, true);
}

/** A message's headers, before its attributes. `resource` is the subsystem of a batch's first and last message. */
export interface Header {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly family: number;
  readonly resource?: number;
}

/** Begins a message; returns its place, for `closeMessage`. */
export function openMessage(writer: Writer, header: Header): number {
  const start = writer.length;
  reserve(writer, HEADER_BYTES);
  writer.view.setUint16(start + 4, header.type, true);
  writer.view.setUint16(start + 6, header.flags, true);
  writer.view.setUint32(start + 8, header.sequence, true);
  writer.bytes[start + 16] = header.family;
  writer.view.setUint16(start + 18, header.resource ?? 0);
  writer.length = start + HEADER_BYTES;
  return start;
}

export function closeMessage(writer: Writer, start: number): void {
  writer.view.setUint32(start, writer.length - start, true);
}

/** The length of a message that is written already. */
export function lengthOf(writer: Writer, start: number): number {
  return writer.view.getUint32(start, true);
}

/** Adds flags to a message that is written already. */
export function addFlags(writer: Writer, start: number, flags: number): void {
  writer.view.setUint16(start + 6, writer.view.getUint16(start + 6, true) | flags, true);
}

/** A message as received. `payload` is everything after the header, `attributes` what follows nfnetlink's part. */
export interface Message extends Header {
  readonly payload: Uint8Array;
  readonly attributes: Uint8Array;
}

/** The messages in bytes that were received at once; one that is cut off at the end is left out. */
export function parseMessages(bytes: Uint8Array): Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) break;
    messages.push(parseMessage(view, bytes, at, length));
    at += align(length);
  }
  return messages;
}

function parseMessage(view: DataView, bytes: Uint8Array, at: number, length: number): Message {
  const payload = bytes.subarray(at + 16, at + length);
  return {
    type: view.getUint16(at + 4, true),
    flags: view.getUint16(at + 6, true),
    sequence: view.getUint32(at + 8, true),
    family: payload[0] ?? 0,
    payload,
    attributes: payload.subarray(4),
  };
}

/** Calls `visit` for each attribute in a part of `bytes`, with its type and where its payload begins and ends. */
export function scanAttributes(
  bytes: Uint8Array,
  from: number,
  to: number,
  visit: (type: number, from: number, to: number) => void,
): void {
  for (let at = from; at + 4 <= to; ) {
    const length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    const type = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
    if (length < 4 || at + length > to) return;
    visit(type & TYPE_MASK, at + 4, at + length);
    at += align(length);
  }
}

/** Calls `visit` for each attribute. */
export function eachAttribute(bytes: Uint8Array, visit: (type: number, payload: Uint8Array) => void): void {
  scanAttributes(bytes, 0, bytes.length, (type, from, to) => visit(type, bytes.subarray(from, to)));
}

export type Attributes = ReadonlyMap<number, Uint8Array>;

/** Attributes by type. */
export function readAttributes(bytes: Uint8Array | undefined): Attributes {
  const attributes = new Map<number, Uint8Array>();
  if (bytes !== undefined) eachAttribute(bytes, (type, payload) => attributes.set(type, payload));
  return attributes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A number of 32 bits, or nothing if the attribute is missing or of another size. */
export function readU32(bytes: Uint8Array | undefined): number | undefined {
  return bytes?.length === 4 ? viewOf(bytes).getUint32(0) : undefined;
}

export function readI32(bytes: Uint8Array | undefined): number | undefined {
  return bytes?.length === 4 ? viewOf(bytes).getInt32(0) : undefined;
}

export function readU64(bytes: Uint8Array | undefined): bigint | undefined {
  return bytes?.length === 8 ? viewOf(bytes).getBigUint64(0) : undefined;
}

/** A text up to its NUL. */
export function readString(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return text.decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
