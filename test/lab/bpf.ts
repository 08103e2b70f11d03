/** Classic BPF programs without a kernel. */

/** How much of a message a classic BPF program lets through, as the kernel runs it (net/core/filter.c). */
export function letThrough(program: Uint8Array, message: Uint8Array): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const packet = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let accumulator = 0;
  for (let pc = 0; pc * 8 < program.length; pc++) {
    const value = code.getUint32(pc * 8 + 4, true);
    const reads = { 40: 2, 48: 1, 32: 4 }[code.getUint16(pc * 8, true)];
    if (code.getUint16(pc * 8, true) === 0x06) return Math.min(value, message.length);
    if (reads !== undefined) {
      // A load beyond the packet's end ends the program with nothing.
      if (value + reads > message.length) return 0;
      accumulator = {
        1: () => packet.getUint8(value),
        2: () => packet.getUint16(value),
        4: () => packet.getUint32(value),
      }[reads as 1 | 2 | 4]();
    } else pc += code.getUint8(pc * 8 + (accumulator === value ? 2 : 3));
  }
  throw new Error("the program does not end");
}
