/**
 * The classic BPF program of a socket that listens to nf_tables' events: the kernel does not queue what it rejects. It
 * lets through
 * - the end of each commit (NFT_MSG_NEWGEN), which names the process that made it, and
 * - messages that begin with one about the table of interest, cut off after the headers: they show that it was changed.
 *
 * The kernel packs a commit's messages together and the program sees only the first of a pack. So a commit that is not
 * known to change the table may still do so, in a later message; only the reverse is certain.
 */
import { cString } from "./attributes.ts";
import { encodeProgram, type Instruction, OP, swapped } from "./bpf.ts";
import { FAMILIES, NFNL, NFT_MSG } from "./constants.ts";
import { messageType } from "./messages.ts";
import type { TableName } from "./operations.ts";

/** Offsets in a message: netlink's header, nfnetlink's, and the first attribute, which names the table. */
const AT = { type: 4, subsystem: 5, family: 16, nameLength: 20, name: 24 } as const;

/** How much of a message gets through: all, or the headers, which have the generation. */
const WHOLE_BYTES = 0xffff;
const HEADER_BYTES = 20;

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
  return encodeProgram([
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
