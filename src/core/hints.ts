/** What an operator could write instead: hints to the problems of a configuration. */
import { type Cidr, type CidrFailure, formatCidr, isCidr, parseAddress, parseCidr } from "./cidr.ts";
import { CONFIG_KEYS } from "./config-fields.ts";
import { nearest } from "./near.ts";
import type { Problem } from "./problem.ts";

const TYPE_HINTS = {
  nonMasqueradeCIDRs: 'write a list: "- 10.0.0.0/8" on a line of its own for each entry, or [] for none',
  masqueradeCIDRs: 'write a list: "- 10.20.0.0/16" on a line of its own for each entry',
  cidrLimit: "write digits, without quotes or a fraction",
  masqLinkLocal: "write true or false, without quotes",
  masqLinkLocalIPv6: "write true or false, without quotes",
  resyncInterval: 'write a number with a unit, such as "60s" or "1m30s"',
} as const;

/** What to do about a problem, unless its message says it. */
export function hintFor({ code, key = "", text }: Problem): string | undefined {
  switch (code) {
    case "unknown-key":
      return suggest(nearest(key, CONFIG_KEYS));
    case "cidr":
      return text === undefined ? undefined : cidrHint(text);
    case "duration":
      return /^\d+$/.test(text ?? "") ? suggest(`"${text}s"`) : TYPE_HINTS.resyncInterval;
    case "type":
      return key === ""
        ? 'write keys with values: "nonMasqueradeCIDRs:" and its entries below'
        : TYPE_HINTS[key as keyof typeof TYPE_HINTS];
    case "limit":
      return "raise cidrLimit, or unite entries";
    case "conflict":
      return "remove it from one of the two lists";
    case "encoding":
      return "is this a text file, and in UTF-8?";
    default:
      return undefined;
  }
}

function suggest(text: string | undefined): string | undefined {
  return text === undefined ? undefined : `did you mean ${text}?`;
}

function cidrHint(text: string): string | undefined {
  const parsed = parseCidr(text);
  if (isCidr(parsed)) return undefined;
  if (parsed.reason === "unaligned") return `${text} has host bits: did you mean ${parsed.network}?`;
  for (const repair of REPAIRS) {
    const repaired = repair(text);
    const result = repaired === undefined ? undefined : networkOf(parseCidr(repaired));
    if (result !== undefined) return suggest(result);
  }
  return /[,;\s]/.test(text.trim()) ? "write each CIDR as an entry of its own" : undefined;
}

function networkOf(parsed: Cidr | CidrFailure): string | undefined {
  if (isCidr(parsed)) return parsed.text;
  return parsed.reason === "unaligned" ? parsed.network : undefined;
}

/** Usual ways of writing a CIDR that Go does not read; one that fits yields text that should be read. */
const REPAIRS: readonly ((text: string) => string | undefined)[] = [
  (text) => (text === text.trim() ? undefined : text.trim()),
  (text) => addressCidr(text),
  (text) => shortCidr(text),
  (text) => text.replace(/(^|\.)0+(?=\d)/g, "$1"),
  (text) => maskCidr(text),
];

/** A single address. */
function addressCidr(text: string): string | undefined {
  const address = parseAddress(text.trim());
  if (address === undefined) return undefined;
  return formatCidr({
    family: address.family,
    base: address.value,
    bits: address.family === "IPv4" ? 32 : 128,
  });
}

/** `10/8`, `172.16/12`. */
function shortCidr(text: string): string | undefined {
  const match = /^(\d+(?:\.\d+){0,2})\.?(\/\d+)$/.exec(text);
  if (match === null) return undefined;
  const octets = (match[1] ?? "").split(".");
  return `${[...octets, "0", "0", "0"].slice(0, 4).join(".")}${match[2]}`;
}

/** `10.0.0.0/255.0.0.0`. */
function maskCidr(text: string): string | undefined {
  const [address, mask = ""] = text.split("/");
  const bits = parseAddress(mask)?.value.toString(2).padStart(32, "0") ?? "";
  return /^1*0*$/.test(bits) && bits.length === 32
    ? `${address}/${bits.indexOf("0") < 0 ? 32 : bits.indexOf("0")}`
    : undefined;
}
