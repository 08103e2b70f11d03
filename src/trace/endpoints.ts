/** Applies NAT to a packet: the destinations and sources that a rule's targets lead to. */
import type { Packet, Target } from "./model.ts";

/** More are not followed one by one. */
export const MANY_ENDPOINTS = 4096;

/** Of a range of addresses the kernel takes one; a longer range is not followed. */
const MANY_ADDRESSES = 256n;

/** The packet with each destination that it may get; undefined if they are not known, or too many. */
export function redirected(
  packet: Packet,
  targets: readonly Target[] | undefined,
  isRange: boolean,
): Packet[] | undefined {
  const packets: Packet[] = [];
  for (const target of targets ?? []) {
    const before = packet.destination;
    const moved = { ...packet, original: originalOf(packet), isTranslated: true };
    if (target.isHere === true) {
      packets.push(withPort({ ...moved, isHere: true }, target));
      continue;
    }
    const addresses = addressesOf(target, before);
    // Each address of a range becomes another one.
    const isEach = target.isPrefix === true || target.addresses === undefined;
    if (addresses === undefined || (isEach && isRange)) return undefined;
    for (const destination of addresses) packets.push(withPort({ ...moved, destination }, target));
    if (packets.length > MANY_ENDPOINTS) return undefined;
  }
  return packets.length === 0 ? undefined : packets;
}

/** The packet with the source that it gets, if that is known. */
export function translated(packet: Packet, targets: readonly Target[] | undefined): Packet {
  const { source, sources: _, ...kept } = packet;
  const rest = { ...kept, original: originalOf(packet) };
  const [target, ...more] = targets ?? [];
  if (target === undefined || more.length > 0 || (source === undefined && target.isPrefix === true))
    return rest;
  const [address, ...others] = addressesOf(target, source ?? 0n) ?? [];
  return address === undefined || others.length > 0 ? rest : { ...rest, source: address };
}

function originalOf({ original, source, destination, port }: Packet): NonNullable<Packet["original"]> {
  return original ?? { source, destination, port };
}

function addressesOf({ addresses, isPrefix, isHere }: Target, current: bigint): bigint[] | undefined {
  if (isHere === true) return undefined;
  if (addresses === undefined) return [current];
  const { first, last } = addresses;
  const size = last - first + 1n;
  if (isPrefix === true) return [first | (current & (size - 1n))];
  if (size > MANY_ADDRESSES) return undefined;
  return Array.from({ length: Number(size) }, (_, i) => first + BigInt(i));
}

function withPort(packet: Packet, { ports }: Target): Packet {
  if (ports === undefined) return packet;
  const { port: _, ...rest } = packet;
  return ports.first === ports.last ? { ...rest, port: ports.first } : rest;
}
