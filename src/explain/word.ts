/** Reads a destination as operators write it: an address, a CIDR or a name, with or without a port, or a URL. */
import { parseAddress } from "../core/cidr.ts";

/** A parsed operand. A host is an address or a name. */
export type Word =
  | { readonly kind: "cidr" }
  | {
      readonly kind: "host";
      readonly host: string;
      readonly isAddress: boolean;
      readonly port?: number;
      /** As a URL says it. */
      readonly protocol?: string;
    }
  /** `why` continues the message after the word. */
  | { readonly kind: "bad"; readonly why: string };

/** The characters that RFC 1123 allows in a name, and the underscore that people use. */
const NAME = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?$/;

/** Names of which the last part is a number are read as addresses by some programs, each in its own way: `010.1`, `0x7f.1`. */
const NUMBER = /(^|\.)(\d+|0x[0-9a-f]*)\.?$/i;

/** Ports that URLs leave out. */
const SCHEME_PORTS: Readonly<Record<string, number>> = {
  http: 80,
  https: 443,
  ws: 80,
  wss: 443,
  ftp: 21,
  ssh: 22,
  sftp: 22,
  smtp: 25,
  ldap: 389,
  ldaps: 636,
  postgres: 5432,
  postgresql: 5432,
  mysql: 3306,
  mongodb: 27017,
  redis: 6379,
  rediss: 6379,
  amqp: 5672,
  amqps: 5671,
};

/** Schemes that name a protocol. */
const TRANSPORTS = ["tcp", "udp", "sctp"];

/** Reads a word, without looking it up. */
export function readWord(word: string): Word {
  const url = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(word);
  if (url !== null) return readUrl(url[1]?.toLowerCase() ?? "", url[2] ?? "");
  if (word.includes("/")) return { kind: "cidr" };
  return readHost(word);
}

function readUrl(scheme: string, authority: string): Word {
  const read = readHost(authority);
  if (read.kind !== "host") return read;
  const isTransport = TRANSPORTS.includes(scheme);
  const port = read.port ?? SCHEME_PORTS[scheme];
  if (port === undefined)
    return {
      kind: "bad",
      why: `has no port, and ${scheme}:// has none that everybody knows: try ${scheme}://${authority}:PORT`,
    };
  return { ...read, port, protocol: isTransport ? scheme : "tcp" };
}

/** `HOST`, `HOST:PORT`, `IPV6`, `[IPV6]` or `[IPV6]:PORT`. */
function readHost(text: string): Word {
  const [, bracketed, behind] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) {
    const isIpv6 = bracketed.includes(":") && parseAddress(bracketed) !== undefined;
    return isIpv6
      ? withPort(bracketed, true, behind)
      : { kind: "bad", why: "has no IPv6 address in its brackets" };
  }
  if (parseAddress(text) !== undefined) return { kind: "host", host: text, isAddress: true };
  const [, host = text, port] = /^([^:]*):([^:]*)$/.exec(text) ?? [];
  if (parseAddress(host) !== undefined) return withPort(host, true, port);
  if (NUMBER.test(host)) return { kind: "bad", why: badNumber(host) };
  if (!NAME.test(host))
    return {
      kind: "bad",
      why: "is not an address, a CIDR, a host name or a URL: try 10.1.2.3, 10.0.0.0/8, [fd00::1]:443 or example.com",
    };
  return withPort(host, false, port);
}

function withPort(host: string, isAddress: boolean, text: string | undefined): Word {
  if (text === undefined) return { kind: "host", host, isAddress };
  const port = Number(text);
  if (!/^[1-9]\d{0,4}$/.test(text) || port > 65535)
    return { kind: "bad", why: "has a port that is not a number from 1 to 65535" };
  return { kind: "host", host, isAddress, port };
}

function badNumber(host: string): string {
  const hint = /^(\d{1,3}\.){3}\d{1,3}$/.test(host)
    ? `programs disagree on it: write four numbers up to 255 without leading zeros${decimalHint(host)}`
    : "an IPv4 address has four numbers from 0 to 255, such as 10.1.2.3";
  return `is not an address: ${hint}`;
}

/** The text without leading zeros, if that is an address. */
function decimalHint(host: string): string {
  const decimal = host.split(".").map(Number).join(".");
  return parseAddress(decimal) === undefined ? "" : `, perhaps ${decimal}`;
}
