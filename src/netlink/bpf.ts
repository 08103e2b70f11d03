/** Classic BPF programs that read a netlink message and say how much of it a socket gets (linux/filter.h, linux/bpf_common.h). */

/** BPF_LD | BPF_ABS | BPF_H, _B and _W; BPF_JMP | BPF_JEQ | BPF_K; BPF_RET | BPF_K. */
export const OP = {
  loadHalf: 0x28,
  loadByte: 0x30,
  loadWord: 0x20,
  jumpIfEqual: 0x15,
  return: 0x06,
} as const;

export interface Instruction {
  readonly code: number;
  /** How many instructions are skipped if the jump's condition holds, and if not. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value: number;
}

const INSTRUCTION_BYTES = 8;

/** Headers are little-endian on every platform of the addon, and the program reads big-endian. */
export function swapped(half: number): number {
  return ((half & 0xff) << 8) | (half >> 8);
}

/** The program's bytes: an array of struct sock_filter. */
export function encodeProgram(instructions: readonly Instruction[]): Uint8Array<ArrayBuffer> {
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
