/** Destinations as operators name them: addresses, CIDRs and host names. */

import { lookup } from "node:dns/promises";
import { type Family, formatAddress, isCidr, lastAddress, parseAddress, parseCidr } from "../../core/cidr.ts";
import type { Destination } from "../../explain/destination.ts";
import { goQuote } from "../../go/quote.ts";
import { UsageError } from "../command.ts";

/** What a word asks about, or why nothing. A name may have several addresses. */
export type Resolved =
  | { readonly ok: true; readonly destinations: readonly Destination[] }
  | { readonly ok: false; readonly asked: string; readonly message: string };

/** What RFC 1123 lets a name have, and the underscore that people use. */
const NAME = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?$/;

/** Reads one word. Throws a `UsageError` if it cannot be a destination at all. */
export async function resolveDestination(word: string): Promise<Resolved> {
  if (word.includes("/")) return { ok: true, destinations: [readCidr(word)] };
  const address = parseAddress(word);
  if (address !== undefined) return { ok: true, destinations: [single(word, word)] };
  if (!NAME.test(word))
    throw new UsageError(
      `${goQuote(word)} is neither an address, nor a CIDR, nor a host name: try 10.1.2.3, 10.0.0.0/8 or example.com`,
    );
  try {
    const found = await lookup(word, { all: true });
    const texts = [...new Set(found.map((one) => one.address))];
    return { ok: true, destinations: texts.map((text) => single(`${word} (${text})`, text)) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return {
      ok: false,
      asked: word,
      message: `cannot resolve ${word} (${code}): give its address instead, or check the name and /etc/resolv.conf`,
    };
  }
}

function single(asked: string, text: string): Destination {
  // A link-local address may come with its zone.
  const address = parseAddress(text.replace(/%.*$/, ""));
  if (address === undefined) throw new Error(`the resolver gave ${text}`);
  return { asked, family: address.family, interval: { first: address.value, last: address.value } };
}

function readCidr(word: string): Destination {
  const cidr = parseCidr(word);
  if (isCidr(cidr))
    return { asked: word, family: cidr.family, interval: { first: cidr.base, last: lastAddress(cidr) } };
  if (cidr.reason === "unaligned")
    throw new UsageError(
      `${goQuote(word)} has host bits: did you mean ${cidr.network}, or the address ${cidr.address}?`,
    );
  throw new UsageError(`${goQuote(word)} is no CIDR: an address and a prefix length, such as 10.0.0.0/8`);
}

/** A flag that is one address. */
export function readAddress(flag: string, text: string): { readonly family: Family; readonly value: bigint } {
  const address = parseAddress(text);
  if (address === undefined) throw new UsageError(`--${flag}=${goQuote(text)} is no address`);
  return address;
}

/** A flag that is a list of addresses, canonically. */
export function readAddresses(flag: string, text: string): string[] {
  const texts = text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  return texts.map((one) => {
    const { family, value } = readAddress(flag, one);
    return formatAddress(family, value);
  });
}
