/** Destinations as operators name them: addresses, CIDRs, host names and URLs, with ports. */

import { lookup } from "node:dns/promises";
import { isProtocol, type Protocol } from "../../conntrack/flow.ts";
import { type Family, formatAddress, isCidr, lastAddress, parseAddress, parseCidr } from "../../core/cidr.ts";
import type { Destination } from "../../explain/destination.ts";
import { readWord, type Word } from "../../explain/word.ts";
import { goQuote } from "../../go/quote.ts";
import { UsageError } from "../command.ts";

/** The destinations that an operand names, or why it is not valid. A name may have several addresses. */
export type Resolved =
  | { readonly ok: true; readonly destinations: readonly Destination[]; readonly warning?: string }
  | { readonly ok: false; readonly asked: string; readonly message: string };

type Host = Extract<Word, { kind: "host" }>;

/** Reads one word. Throws a `UsageError` if it cannot be a destination at all. */
export async function resolveDestination(word: string): Promise<Resolved> {
  const read = readWord(word);
  if (read.kind === "bad") throw new UsageError(`${goQuote(word)} ${read.why}`);
  if (read.kind === "cidr") return { ok: true, destinations: [readCidr(word)] };
  if (read.isAddress) return { ok: true, destinations: [single(word, read.host, read)] };
  try {
    const found = await lookup(read.host, { all: true });
    const texts = [...new Set(found.map((one) => one.address))];
    const destinations = texts.map((text) => single(`${word} (${text})`, text, read));
    if (texts.length === 1) return { ok: true, destinations };
    const warning = `${read.host} has ${texts.length} addresses now, and a pod may get others: each is answered`;
    return { ok: true, destinations, warning };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return {
      ok: false,
      asked: word,
      message: `cannot resolve ${read.host} (${code}): give its address instead, or check the name and /etc/resolv.conf`,
    };
  }
}

function single(asked: string, text: string, { port, protocol }: Host): Destination {
  // A link-local address may come with its zone.
  const address = parseAddress(text.replace(/%.*$/, ""));
  if (address === undefined) throw new Error(`the resolver gave ${text}`);
  return {
    asked,
    family: address.family,
    interval: { first: address.value, last: address.value },
    ...(port === undefined ? {} : { port }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

function readCidr(word: string): Destination {
  const cidr = parseCidr(word);
  if (isCidr(cidr))
    return { asked: word, family: cidr.family, interval: { first: cidr.base, last: lastAddress(cidr) } };
  if (cidr.reason === "unaligned")
    throw new UsageError(
      `${goQuote(word)} has host bits: did you mean ${cidr.network}, or the address ${cidr.address}?`,
    );
  throw new UsageError(`${goQuote(word)} is not a CIDR: an address and a prefix length, such as 10.0.0.0/8`);
}

/** A flag that is one address. */
export function readAddress(flag: string, text: string): { readonly family: Family; readonly value: bigint } {
  const address = parseAddress(text);
  if (address === undefined) throw new UsageError(`--${flag}=${goQuote(text)} is not an address`);
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

/** An address with or without a port, as `192.0.2.1:443` or `[fd00::1]:443`; `what` names it in the error. */
export function readEndpoint(
  what: string,
  text: string,
): { readonly address: string; readonly port: number | undefined } {
  const read = readWord(text);
  if (read.kind === "bad") throw new UsageError(`${what}${goQuote(text)} ${read.why}`);
  if (read.kind !== "host" || !read.isAddress || text.includes("://"))
    throw new UsageError(
      `${what}${goQuote(text)} is not an address with a port: try 192.0.2.1:443 or [fd00::1]:443`,
    );
  return { address: read.host, port: read.port };
}

/** A flag that is a protocol with ports; undefined if it is empty. */
export function readProtocol(text: string): Protocol | undefined {
  const name = text.toLowerCase();
  if (name === "") return undefined;
  if (!isProtocol(name)) throw new UsageError(`--protocol=${goQuote(text)} is not tcp, udp or sctp`);
  return name;
}
