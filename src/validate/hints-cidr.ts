/** The likely meaning of a text that is not a valid CIDR. */
import {
  ADDRESS_BITS,
  type Cidr,
  type CidrFailure,
  formatCidr,
  isCidr,
  parseAddress,
  parseCidr,
} from "../core/cidr.ts";
import { decompose } from "../core/intervals.ts";
import { escapeHint, lookalikeHint, templateHint, withoutLookalikes } from "../core/text-hints.ts";

/** Longer than any address and any usual way to write several. */
const LONGEST = 1_000;

/** The replacement for an entry of the list `key`; undefined if there is none. */
export function cidrHint(text: string, key: string): string | undefined {
  if (text.length > LONGEST) return undefined;
  const parsed = parseCidr(text);
  if (isCidr(parsed)) return undefined;
  if (parsed.reason === "unaligned") return `${text} has host bits: did you mean ${parsed.network}?`;
  if (text.trim() === "")
    return "an entry without a value: was a variable not set? Remove it, or write a CIDR";
  return (
    templateHint(text) ?? lookalikeIn(text) ?? escapeHint(text) ?? repairHint(text) ?? kindHint(text, key)
  );
}

/** Names a character that looks like another, and shows the text without it. */
function lookalikeIn(text: string): string | undefined {
  const hint = lookalikeHint(text);
  const plain =
    hint &&
    networkOf(
      withoutLookalikes(text)
        .replace(/["'\s]/g, "")
        .replace(/^-/, ""),
    );
  return plain === undefined ? hint : `${hint?.replace(/: write .*$/, "")}: did you mean ${plain}?`;
}

function networkOf(text: string | undefined): string | undefined {
  const parsed: Cidr | CidrFailure | undefined = text === undefined ? undefined : parseCidr(text.trim());
  if (parsed === undefined) return undefined;
  if (isCidr(parsed)) return parsed.text;
  return parsed.reason === "unaligned" ? parsed.network : undefined;
}

/** Usual ways to write a CIDR that Go does not read: the fault, and the corrected text. */
const REPAIRS: readonly (readonly [string, (text: string) => string | undefined])[] = [
  ["it contains spaces", (text) => without(text, /\s+/g)],
  ["it contains quotes", (text) => without(text, /["'`]/g)],
  ["a comma follows it", (text) => without(text.trim(), /,$/)],
  ["a semicolon follows it", (text) => without(text.trim(), /;$/)],
  ["a comment needs a space before #", (text) => without(text, /#.*$/s)],
  ["a comment in YAML begins with #", (text) => without(text, /\/\/.*$/s)],
  ["it is in brackets", (text) => without(text, /[[\](){}]/g)],
  ["it contains a backslash", (text) => (text.includes("\\") ? text.replaceAll("\\", "/") : undefined)],
  ["it contains a zone", (text) => without(text, /%[^/]*/)],
  ["the prefix length is missing", addressCidr],
  ["octets are missing", shortCidr],
  ["octets are missing", wildcardCidr],
  ["an octet begins with 0", (text) => without(text, /(?<=^|\.)0+(?=\d)/g)],
  ["it has a netmask", maskCidr],
];

function repairHint(text: string): string | undefined {
  for (const [what, repair] of REPAIRS) {
    const network = networkOf(repair(text));
    if (network !== undefined) return `${what}: did you mean ${network}?`;
  }
  return undefined;
}

function without(text: string, what: RegExp): string | undefined {
  const rest = text.replace(what, "");
  return rest === text ? undefined : rest;
}

/** A single address. */
function addressCidr(text: string): string | undefined {
  const address = parseAddress(text);
  if (address === undefined) return undefined;
  return formatCidr({ ...address, base: address.value, bits: ADDRESS_BITS[address.family] });
}

/** `10/8`, `172.16/12`. */
function shortCidr(text: string): string | undefined {
  const match = /^(\d+(?:\.\d+){0,2})\.?(\/\d+)$/.exec(text);
  if (match === null) return undefined;
  const octets = (match[1] ?? "").split(".");
  return `${[...octets, "0", "0", "0"].slice(0, 4).join(".")}${match[2]}`;
}

/** `10.*`, `10.1.*.*`. */
function wildcardCidr(text: string): string | undefined {
  const octets = /^(\d+(?:\.\d+){0,2})(?:\.\*){1,3}$/.exec(text)?.[1]?.split(".");
  return octets && `${[...octets, "0", "0", "0"].slice(0, 4).join(".")}/${8 * octets.length}`;
}

/** `10.0.0.0/255.0.0.0`. */
function maskCidr(text: string): string | undefined {
  const [address, mask = ""] = text.split(/\/|\s+/);
  const bits = parseAddress(mask)?.value.toString(2).padStart(32, "0") ?? "";
  return /^1*0*$/.test(bits) && bits.length === 32
    ? `${address}/${bits.indexOf("0") < 0 ? 32 : bits.indexOf("0")}`
    : undefined;
}

/** The kind of text, where it cannot become a CIDR. */
function kindHint(text: string, key: string): string | undefined {
  return (
    rangeHint(text) ??
    severalHint(text) ??
    exceptionHint(text, key) ??
    lengthHint(text) ??
    octetHint(text) ??
    nameHint(text)
  );
}

/** `10.0.0.1-10.0.0.9`. */
function rangeHint(text: string): string | undefined {
  const ends = text.split(/-|\.{2,}/).map((end) => parseAddress(end.trim()));
  const [first, last] = ends;
  if (ends.length !== 2 || first === undefined || last?.family !== first.family || last.value < first.value)
    return undefined;
  const cidrs = decompose(first.family, { first: first.value, last: last.value }).map(formatCidr);
  const shown = cidrs.length <= 4 ? cidrs.join(", ") : `${cidrs.length} of them cover it`;
  return `a range is not supported: write CIDRs (${shown})`;
}

/** Several CIDRs in one entry, also because the next line is indented too far and so belongs to this one. */
function severalHint(text: string): string | undefined {
  if (/\s-\s+\S/.test(text)) return "the lines below were read as part of this entry: indent each dash alike";
  const parts = text.split(/[,;|\s]+/).filter((part) => part !== "");
  return parts.length > 1 && parts.every((part) => /[\d:]/.test(part))
    ? "several CIDRs in one entry: write each as an entry of its own"
    : undefined;
}

/** The list of exceptions from the list that a path leads to or into. */
export function counterpart(path: string): string {
  const key = path.replace(/\[.*$/, "");
  return key.startsWith("nonM") ? key.replace("nonM", "m") : key.replace("m", "nonM");
}

function exceptionHint(text: string, key: string): string | undefined {
  if (networkOf(/^(?:!|not )\s*(.+)$/.exec(text)?.[1]) === undefined) return undefined;
  return `an exception is an entry of ${counterpart(key)}, without the mark`;
}

function lengthHint(text: string): string | undefined {
  const [address = "", length = "", ...more] = text.split("/");
  const parsed = parseAddress(address);
  if (parsed === undefined) return undefined;
  const most = parsed.width;
  if (length === "" || more.length > 0) return `write one prefix length after the address: /0 to /${most}`;
  if (/^\d+$/.test(length))
    return `the prefix length of an ${parsed.family} CIDR goes from /0 to /${most}, not to /${length}`;
  return `"${length}" is not a valid prefix length: write /0 to /${most}`;
}

function octetHint(text: string): string | undefined {
  const octets = /^(\d+(?:\.\d+){3,})(?:\/|$)/.exec(text)?.[1]?.split(".");
  if (octets === undefined) return undefined;
  if (octets.length > 4) return `${octets.length} octets: an IPv4 address has four`;
  const high = octets.find((octet) => Number(octet) > 255);
  return high === undefined ? undefined : `an octet goes up to 255, not to ${high.slice(0, 20)}`;
}

function nameHint(text: string): string | undefined {
  if (/^\d+(?:\.\d+){3}:\d/.test(text)) return "ports are not supported: destinations are CIDRs alone";
  if (/^(?:https?:\/\/)?[a-z_][\w.-]*(?:[:/].*)?$/i.test(text) && !/^[\da-f:.]+(?:\/|$)/i.test(text))
    return "this is a name: the agent looks up no names, write the CIDRs instead";
  return undefined;
}
