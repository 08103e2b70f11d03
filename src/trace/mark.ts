/** What is known of a packet's mark after a rule that may change it. */
import type { MarkChange, Packet } from "./model.ts";

/** The packet after a change that is made for sure, or perhaps: then the bits that differ are not known. */
export function markPacket(packet: Packet, { and, xor, unknown = 0 }: MarkChange, isSure: boolean): Packet {
  const { mark, unknownMark = 0, ...rest } = packet;
  const before =
    mark === undefined ? { value: 0, unknown: 0xffffffff } : { value: mark, unknown: unknownMark };
  const value = (before.value & and) ^ xor;
  const left = (before.unknown & and) | unknown;
  const after = isSure
    ? { value, unknown: left }
    : { value: before.value, unknown: before.unknown | left | (before.value ^ value) };
  if (after.unknown >>> 0 === 0xffffffff) return rest;
  const known = { ...rest, mark: (after.value & ~after.unknown) >>> 0 };
  return after.unknown === 0 ? known : { ...known, unknownMark: after.unknown >>> 0 };
}
