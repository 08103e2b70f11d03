/**
 * The classic BPF program of a socket that listens to nf_tables' events (linux/filter.h, linux/bpf_common.h): the
 * kernel does not queue what it rejects. It lets through
 * - the end of each commit (NFT_MSG_NEWGEN), which names the process that made it, and
 * - messages that begin with one about the table of interest, cut off after the headers: they show that it was changed.
 *
 * The kernel packs a commit's messages together and the program sees only the first of a pack. So a commit that is not
 * known to change the table may still do so, in a later message; only the reverse is certain.
 */
import { cString } from "./attributes.ts";
import { FAMILIES, NFNL, NFT_MSG } from "./constants.ts";
import { messageType } from "./messages.ts";
import type { TableName } from "./operations.ts";

/** BPF_LD | BPF_ABS | BPF_H, _B and _W; BPF_JMP | BPF_JEQ | BPF_K; BPF_RET | BPF_K. */
const OP = { loadHalf: 0x28, loadByte: 0x30, loadWord: 0x20, jumpIfEqual: 0x15, return: 0x06 } as const;

/** Offsets in a message: netlink's header, nfnetlink's, and the first attribute, which names the table. */
const AT = { type: 4, subsystem: 5, family: 16, nameLength: 20, name: 24 } as const;

/** How much of a message gets through: all, or the headers, which have the generation. */
const WHOLE_BYTES = 0xffff;
const HEADER_BYTES = 20;
const INSTRUCTION_BYTES = 8;

interface Instruction {
  readonly code: number;
  /** How many instructions are skipped if the jump's condition holds, and if not. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value: number;
}

/** The program's bytes: an array of struct sock_filter. */
export function commitFilter(table: TableName): Uint8Array<ArrayBuffer> {
  const conditions = [
    equals(OP.loadByte, AT.subsystem, NFNL.SUBSYS_NFTABLES),
    equals(OP.loadByte, AT.family, FAMILIES[table.family]),
    ...nameConditions(table.table),
  ].flat();
  const isNewGen = equals(OP.loadHalf, AT.type, swapped(messageType(NFT_MSG.NEWGEN)));
  const tail: Instruction[] = [
    { code: OP.return, value: HEADER_BYTES },
    { code: OP.return, value: 0 },
    { code: OP.return, value: WHOLE_BYTES },
  ];
  return encode([
    ...isNewGen.map((one) =>
      one.code === OP.jumpIfEqual ? { ...one, ifTrue: conditions.length + 2, ifFalse: 0 } : one,
    ),
    // A condition that does not hold jumps to the return of nothing, after the conditions that follow and one return.
    ...conditions.map((one, i) =>
      one.code === OP.jumpIfEqual ? { ...one, ifTrue: 0, ifFalse: conditions.length - i } : one,
    ),
    ...tail,
  ]);
}

function equals(code: number, at: number, value: number): Instruction[] {
  return [
    { code, value: at },
    { code: OP.jumpIfEqual, value },
  ];
}

/** The attribute's length, and the name with its NUL, word by word and the rest byte by byte. */
function nameConditions(name: string): Instruction[][] {
  const bytes = cString(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const conditions = [equals(OP.loadHalf, AT.nameLength, swapped(4 + bytes.length))];
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4)
    conditions.push(equals(OP.loadWord, AT.name + at, view.getUint32(at)));
  for (; at < bytes.length; at++) conditions.push(equals(OP.loadByte, AT.name + at, view.getUint8(at)));
  return conditions;
}

/** Headers are little-endian on every platform of the addon, and the program reads big-endian. */
function swapped(half: number): number {
  return ((half & 0xff) << 8) | (half >> 8);
}

function encode(instructions: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { code, ifTrue = 0, ifFalse = 0, value }] of instructions.entries()) {
    const at = i * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, value, true);
  }
  return bytes;
}
