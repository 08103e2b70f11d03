/**
 * Addresses as the kernel's bytes, 16 bits in each character: two characters are IPv4, eight are IPv6. A table has hundreds of
 * thousands; such a text is made, compared and looked up in a tenth of the time of a bigint or of a printed address.
 */
import { type Family, formatAddress, parseAddress } from "../core/cidr.ts";

export type PackedAddress = string;

/** The address in a part of a message; undefined if it has another length. */
export function packBytes(bytes: Uint8Array, from: number, to: number): PackedAddress | undefined {
  const at = (i: number) => ((bytes[from + i] ?? 0) << 8) | (bytes[from + i + 1] ?? 0);
  if (to - from === 4) return String.fromCharCode(at(0), at(2));
  if (to - from !== 16) return undefined;
  return String.fromCharCode(at(0), at(2), at(4), at(6), at(8), at(10), at(12), at(14));
}

/** The bytes of an address, as the kernel wants them. */
export function unpackBytes(address: PackedAddress): Uint8Array {
  return Uint8Array.from({ length: address.length * 2 }, (_, i) => {
    const unit = address.charCodeAt(i >> 1);
    return i % 2 === 0 ? unit >> 8 : unit & 255;
  });
}

/** A printed address; undefined if it is none. */
export function packAddress(text: string): PackedAddress | undefined {
  const parsed = parseAddress(text);
  return parsed && packValue(parsed.family, parsed.value);
}

export function familyOf(address: PackedAddress): Family {
  return address.length === 2 ? "IPv4" : "IPv6";
}

export function printAddress(address: PackedAddress): string {
  return formatAddress(familyOf(address), addressValue(address));
}

/** The address as a number. */
export function addressValue(address: PackedAddress): bigint {
  let value = 0n;
  for (let i = 0; i < address.length; i++) value = (value << 16n) | BigInt(address.charCodeAt(i));
  return value;
}

/** The reverse. */
export function packValue(family: Family, value: bigint): PackedAddress {
  const length = family === "IPv4" ? 2 : 8;
  const unit = (i: number) => Number((value >> BigInt(16 * (length - 1 - i))) & 0xffffn);
  return String.fromCharCode(...Array.from({ length }, (_, i) => unit(i)));
}

/** `10.0.0.1:443`, `[fd00::1]:443` */
export function printEndpoint(address: PackedAddress, port: number): string {
  const text = printAddress(address);
  return familyOf(address) === "IPv4" ? `${text}:${port}` : `[${text}]:${port}`;
}
