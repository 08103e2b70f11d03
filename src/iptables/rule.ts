/**
 * One rule of our chain as a value: the text for iptables-restore, and the text of `iptables -S`. Reading a listing gives the
 * same canonical text as writing the rule, so rules compare as strings.
 */
import {
  ADDRESS_BITS,
  type Cidr,
  type Family,
  formatAddress,
  formatCidr,
  isCidr,
  isPassedOn,
  parseAddress,
  parseCidr,
} from "../core/cidr.ts";
import { everything } from "../core/intervals.ts";
import { formatRange, type PortRange } from "../core/ports.ts";

/** A rule; an absent field is not matched on, or not set. */
export interface Rule {
  readonly source?: MaskedAddress;
  /** The link's name; `+` at the end matches any rest. */
  readonly outInterface?: string;
  readonly destination?: Cidr;
  readonly set?: SetMatch;
  readonly protocol?: string;
  readonly comment: string;
  /** Share of the packets that the rule takes, from 0 to 1. */
  readonly probability?: number;
  readonly target: "RETURN" | "MASQUERADE" | "SNAT";
  /** The address of SNAT. */
  readonly toSource?: Address;
  readonly toPorts?: PortRange;
  readonly randomFully: boolean;
}

/** An address of a family. */
export interface Address {
  readonly family: Family;
  readonly address: bigint;
}

/** The addresses that equal `address` in the bits of `mask`, which need not be the first ones. */
export interface MaskedAddress extends Address {
  readonly mask: bigint;
}

/** A set that has the packet's destination, or does not have its source: we need no other pairs. */
export interface SetMatch {
  readonly name: string;
  readonly has: "destination" | "no source";
}

/** A prefix as the mask that it is; undefined for every address, which needs no condition. */
export function maskedPrefix({ family, base, bits }: Cidr): MaskedAddress | undefined {
  return bits === 0 ? undefined : { family, address: base, mask: prefixMask(family, bits) };
}

/** The mask with ones in the first `bits` bits. */
export function prefixMask(family: Family, bits: number): bigint {
  return everything(family).last ^ ((1n << BigInt(ADDRESS_BITS[family] - bits)) - 1n);
}

/** The rule as a line of iptables-restore's input. The CIDR's own text is passed on: iptables has the last word on it. */
export function renderRule(chain: string, rule: Rule): string {
  return [
    "-A",
    chain,
    "-m comment --comment",
    `"${rule.comment}"`,
    ...matches(rule, rule.destination?.text),
    ...action(rule),
  ].join(" ");
}

/** The rule as `iptables -S` of any version would show it, without `-A CHAIN`. */
export function canonicalRule(rule: Rule): string {
  const comment = rule.comment.replace(/[\\"]/g, "\\$&");
  const destination = rule.destination === undefined ? undefined : asIptablesReads(rule.destination);
  return ["-m comment --comment", `"${comment}"`, ...matches(rule, destination), ...action(rule)].join(" ");
}

/**
 * Canonical text of a listed rule after `-A CHAIN`: addresses in RFC 5952 form (iptables prints
 * inet_ntop's), probabilities in the kernel's steps, options in our order. Anything unknown is kept as it is.
 */
export function canonicalListing(family: Family, listed: string): string {
  const rule = parseRule(family, tokenize(listed));
  return rule === undefined ? listed : canonicalRule(rule);
}

/** Whether a canonical rule looks up the set `name`. */
export function looksUp(canonical: string, name: string): boolean {
  return canonical.includes(`--match-set ${name} `);
}

/** Words of a line; double quotes group, and a backslash takes the next character as it is (iptables' xtables_save_string). */
export function tokenize(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? "") : quoted.replace(/\\(.)/g, "$1"),
  );
}

const SET_MATCHES: Readonly<Record<SetMatch["has"], (name: string) => string>> = {
  destination: (name) => `-m set --match-set ${name} dst`,
  "no source": (name) => `-m set ! --match-set ${name} src`,
};

function matches(rule: Rule, destination: string | undefined): string[] {
  const { source, outInterface, set, protocol, probability } = rule;
  return [
    ...(source === undefined ? [] : [`-s ${formatMasked(source)}`]),
    ...(destination === undefined ? [] : [`-d ${destination}`]),
    ...(outInterface === undefined ? [] : [`-o ${outInterface}`]),
    ...(set === undefined ? [] : [SET_MATCHES[set.has](set.name)]),
    ...(protocol === undefined ? [] : [`-p ${protocol}`]),
    ...(probability === undefined
      ? []
      : [`-m statistic --mode random --probability ${quantize(probability)}`]),
  ];
}

function action({ target, toSource, toPorts, randomFully }: Rule): string[] {
  const ports = toPorts === undefined ? undefined : formatRange(toPorts);
  const to =
    toSource === undefined ? ports && `--to-ports ${ports}` : `--to-source ${translation(toSource, ports)}`;
  return [`-j ${target}`, ...(to === undefined ? [] : [to]), ...(randomFully ? ["--random-fully"] : [])];
}

/** Brackets around an IPv6 address only where ports follow, as iptables prints it. */
function translation({ family, address }: Address, ports: string | undefined): string {
  const text = formatAddress(family, address);
  if (ports === undefined) return text;
  return `${family === "IPv6" ? `[${text}]` : text}:${ports}`;
}

/** A length, as of a CIDR, where the mask has one. */
function formatMasked({ family, address, mask }: MaskedAddress): string {
  const zeros = everything(family).last ^ mask;
  const bits = ADDRESS_BITS[family] - (zeros === 0n ? 0 : zeros.toString(2).length);
  const isPrefix = mask === prefixMask(family, bits);
  return `${formatAddress(family, address)}/${isPrefix ? bits : formatAddress(family, mask)}`;
}

/** The kernel keeps a probability in steps of 2^-31 (xt_statistic.h), and iptables prints eleven digits of it. */
function quantize(probability: number): string {
  return (Math.round(probability * 2 ** 31) / 2 ** 31).toFixed(11);
}

/** The block that iptables makes of our text: `strtoul` with base 0 takes `/010` for 8; no text at all for `/0`. */
function asIptablesReads(cidr: Cidr): string | undefined {
  if (!isPassedOn(cidr)) return cidr.bits === 0 ? undefined : formatCidr(cidr);
  const digits = cidr.text.slice(cidr.text.indexOf("/") + 1);
  const isMapped = cidr.family === "IPv4" && cidr.text.includes(":");
  // iptables rejects a mapped address and digits that are not octal: a rejected rule equals no existing one.
  if (isMapped || !/^0[0-7]+$/.test(digits)) return cidr.text;
  const bits = Number.parseInt(digits, 8);
  const hostBits = BigInt(ADDRESS_BITS[cidr.family] - bits);
  const base = (cidr.base >> hostBits) << hostBits;
  return bits === 0 ? undefined : formatCidr({ family: cidr.family, base, bits });
}

type Draft = { -readonly [Key in keyof Rule]?: Rule[Key] };

/** The rule that the words of a listing describe, or undefined if we never write one of them. */
function parseRule(family: Family, words: readonly string[]): Rule | undefined {
  const rule: Draft = {};
  for (let i = 0; i < words.length; ) {
    // Only a set's match is ever negated.
    const word = words[i] === "!" ? `! ${words[i + 1]}` : (words[i] ?? "");
    const at = words[i] === "!" ? i + 2 : i + 1;
    const read = OPTIONS.get(word);
    if (read === undefined || !read.into(rule, words.slice(at, at + read.values), family)) return undefined;
    i = at + read.values;
  }
  const { comment, target, toSource, toPorts, randomFully = false } = rule;
  if (comment === undefined || target === undefined) return undefined;
  const isWhole = target === "SNAT" ? toSource !== undefined : toSource === undefined;
  const isPlain = target !== "RETURN" || (toPorts === undefined && !randomFully);
  return isWhole && isPlain ? { ...rule, comment, target, randomFully } : undefined;
}

interface Option {
  /** The number of words that follow. */
  readonly values: number;
  /** False for a value that we never write. */
  readonly into: (rule: Draft, values: readonly string[], family: Family) => boolean;
}

/** Protocol numbers for names that a tool without /etc/protocols may not know. */
const PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map([
  ["6", "tcp"],
  ["17", "udp"],
  ["132", "sctp"],
]);

const TARGETS: readonly string[] = ["RETURN", "MASQUERADE", "SNAT"];

const OPTIONS: ReadonlyMap<string, Option> = new Map(
  Object.entries<Option>({
    "-m": one((_rule, value) => ["comment", "statistic", "set"].includes(value)),
    "--match-set": matchSet("destination", "dst"),
    "! --match-set": matchSet("no source", "src"),
    "--mode": one((_rule, value) => value === "random"),
    "--comment": one((rule, value) => assign(rule, "comment", value)),
    "-p": one((rule, value) => assign(rule, "protocol", PROTOCOL_NAMES.get(value) ?? value)),
    "--random-fully": { values: 0, into: (rule) => assign(rule, "randomFully", true) },
    "--probability": one((rule, value) => assign(rule, "probability", Number(value))),
    "-s": one((rule, value, family) => assign(rule, "source", parseMasked(value, family))),
    "-o": one((rule, value) => assign(rule, "outInterface", value)),
    "-d": one((rule, value, family) => {
      const cidr = parseCidr(value.includes("/") ? value : `${value}/${ADDRESS_BITS[family]}`);
      return isCidr(cidr) && cidr.family === family && assign(rule, "destination", cidr);
    }),
    "-j": one((rule, value) => TARGETS.includes(value) && assign(rule, "target", value as Rule["target"])),
    "--to-ports": one((rule, value) => assign(rule, "toPorts", parseRange(value))),
    "--to-source": one((rule, value, family) => {
      const [, address = "", ports] = /^(.*?)(?::([\d-]+))?$/.exec(value) ?? [];
      const isPlain = family === "IPv6" && !value.startsWith("[");
      const text = isPlain ? value : address.replace(/^\[(.*)\]$/, "$1");
      const parsed = parseAddress(text);
      const hasPorts = !isPlain && ports !== undefined;
      if (hasPorts && !assign(rule, "toPorts", parseRange(ports))) return false;
      return parsed?.family === family && assign(rule, "toSource", { family, address: parsed.value });
    }),
  }),
);

function one(into: (rule: Draft, value: string, family: Family) => boolean): Option {
  return { values: 1, into: (rule, [value = ""], family) => into(rule, value, family) };
}

function matchSet(has: SetMatch["has"], direction: string): Option {
  return {
    values: 2,
    into: (rule, [name = "", flags]) => flags === direction && assign(rule, "set", { name, has }),
  };
}

function parseRange(text: string): PortRange | undefined {
  const [first = "", last = first] = text.split("-");
  if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) return undefined;
  return { first: BigInt(first), last: BigInt(last) };
}

/** An address, or one with a length or a mask. */
function parseMasked(text: string, family: Family): MaskedAddress | undefined {
  const [address = "", length = String(ADDRESS_BITS[family])] = text.split("/");
  const parsed = parseAddress(address);
  const mask = /^\d+$/.test(length) ? prefixMask(family, Number(length)) : parseAddress(length)?.value;
  if (parsed?.family !== family || mask === undefined) return undefined;
  return { family, address: parsed.value, mask };
}

/** False for no value, and for an option that was there already: of a rule with two, we wrote none. */
function assign<Key extends keyof Rule>(rule: Draft, key: Key, value: Rule[Key] | undefined): boolean {
  if (value === undefined || rule[key] !== undefined) return false;
  rule[key] = value;
  return true;
}
