/**
 * One rule of our chain as a value: the text for iptables-restore, and the text of `iptables -S`. Reading a listing gives the
 * same canonical text as writing the rule, so rules compare as strings.
 */
import {
  ADDRESS_BITS,
  type Cidr,
  type Family,
  formatCidr,
  isCidr,
  isPassedOn,
  parseCidr,
} from "../core/cidr.ts";
import { formatRange, type PortRange, rangeProbabilities } from "../core/ports.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";

/** A rule; an absent field is not matched on, or not set. */
interface Rule {
  readonly destination?: Cidr;
  /** The set that has the destination. */
  readonly set?: string;
  readonly protocol?: string;
  readonly comment: string;
  /** Share of the packets that the rule takes, from 0 to 1. */
  readonly probability?: number;
  readonly target: "RETURN" | "MASQUERADE";
  readonly toPorts?: PortRange;
  readonly randomFully: boolean;
}

// People grep for these texts: they are the Go program's, but for the exception's, which it does not have.
const RETURN_COMMENT = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const MASQUERADE_COMMENT = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";
const EXCEPTION_COMMENT = "ip-masq-agent: destination is subject to MASQUERADE although a wider range is not";

/** Protocols whose source port can be chosen; a rule for ports needs one. */
const PORT_PROTOCOLS = ["tcp", "udp", "sctp"];

/**
 * The rules of the chain, in order. `randomFully` is true if the flag is set and the tool knows it; `set` holds the CIDRs
 * that are not in the ruleset's entries.
 */
export function chainRules(ruleset: Ruleset, randomFully: boolean, set?: string): readonly Rule[] {
  const masquerade = { comment: MASQUERADE_COMMENT, target: "MASQUERADE", randomFully } as const;
  return [
    ...ruleset.entries.map((entry) => entryRule(entry, randomFully)),
    ...(set === undefined
      ? []
      : [{ set, comment: RETURN_COMMENT, target: "RETURN", randomFully: false } as const]),
    ...portRules(ruleset.masquerade.toPorts, masquerade),
    masquerade,
  ];
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
 * Canonical text of a listed rule after `-A CHAIN`: the destination in RFC 5952 form (iptables prints
 * inet_ntop's), probabilities in the kernel's steps, options in our order. Anything unknown is kept as it is.
 */
export function canonicalListing(family: Family, listed: string): string {
  const rule = parseRule(family, tokenize(listed));
  return rule === undefined ? listed : canonicalRule(rule);
}

/** Words of a line; double quotes group, and a backslash takes the next character as it is (iptables' xtables_save_string). */
export function tokenize(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? "") : quoted.replace(/\\(.)/g, "$1"),
  );
}

function entryRule({ cidr, verdict }: Entry, randomFully: boolean): Rule {
  return verdict === "return"
    ? { destination: cidr, comment: RETURN_COMMENT, target: "RETURN", randomFully: false }
    : { destination: cidr, comment: EXCEPTION_COMMENT, target: "MASQUERADE", randomFully };
}

function portRules(ranges: readonly PortRange[], masquerade: Rule): Rule[] {
  const probabilities = rangeProbabilities(ranges);
  return PORT_PROTOCOLS.flatMap((protocol) =>
    ranges.map((toPorts, i) => {
      const probability = probabilities[i];
      return { ...masquerade, protocol, toPorts, ...(probability === undefined ? {} : { probability }) };
    }),
  );
}

function matches(rule: Rule, destination: string | undefined): string[] {
  const { protocol, probability } = rule;
  return [
    ...(destination === undefined ? [] : [`-d ${destination}`]),
    ...(rule.set === undefined ? [] : [`-m set --match-set ${rule.set} dst`]),
    ...(protocol === undefined ? [] : [`-p ${protocol}`]),
    ...(probability === undefined
      ? []
      : [`-m statistic --mode random --probability ${quantize(probability)}`]),
  ];
}

function action(rule: Rule): string[] {
  return [
    `-j ${rule.target}`,
    ...(rule.toPorts === undefined ? [] : [`--to-ports ${formatRange(rule.toPorts)}`]),
    ...(rule.randomFully ? ["--random-fully"] : []),
  ];
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

/** The rule that the words of a listing describe, or undefined if we never write one of them. */
function parseRule(family: Family, words: readonly string[]): Rule | undefined {
  const rule: { -readonly [Key in keyof Rule]?: Rule[Key] } = { randomFully: false };
  for (let i = 0; i < words.length; ) {
    const read = OPTIONS.get(words[i] ?? "");
    if (read === undefined || !read.into(rule, words[i + 1] ?? "", family)) return undefined;
    i += read.words;
  }
  const { comment, target, randomFully } = rule;
  if (comment === undefined || target === undefined || randomFully === undefined) return undefined;
  return { ...rule, comment, target, randomFully };
}

interface Option {
  readonly words: 1 | 2;
  /** False for a value that we never write. */
  readonly into: (
    rule: { -readonly [Key in keyof Rule]?: Rule[Key] },
    value: string,
    family: Family,
  ) => boolean;
}

/** Protocol numbers for names that a tool without /etc/protocols may not know. */
const PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map([
  ["6", "tcp"],
  ["17", "udp"],
  ["132", "sctp"],
]);

const OPTIONS: ReadonlyMap<string, Option> = new Map(
  Object.entries<Option>({
    "-m": { words: 2, into: (_rule, value) => ["comment", "statistic", "set"].includes(value) },
    // Its second word, the direction, is read as an option of its own.
    "--match-set": { words: 2, into: (rule, value) => assign(rule, "set", value) },
    dst: { words: 1, into: (rule) => rule.set !== undefined },
    "--mode": { words: 2, into: (_rule, value) => value === "random" },
    "--comment": { words: 2, into: (rule, value) => assign(rule, "comment", value) },
    "-p": { words: 2, into: (rule, value) => assign(rule, "protocol", PROTOCOL_NAMES.get(value) ?? value) },
    "--random-fully": { words: 1, into: (rule) => assign(rule, "randomFully", true) },
    "--probability": { words: 2, into: (rule, value) => assign(rule, "probability", Number(value)) },
    "-d": {
      words: 2,
      into: (rule, value, family) => {
        const cidr = parseCidr(value.includes("/") ? value : `${value}/${ADDRESS_BITS[family]}`);
        return isCidr(cidr) && cidr.family === family && assign(rule, "destination", cidr);
      },
    },
    "-j": {
      words: 2,
      into: (rule, value) => (value === "RETURN" || value === "MASQUERADE") && assign(rule, "target", value),
    },
    "--to-ports": {
      words: 2,
      into: (rule, value) => {
        const [first = "", last = first] = value.split("-");
        if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) return false;
        return assign(rule, "toPorts", { first: BigInt(first), last: BigInt(last) });
      },
    },
  }),
);

function assign<Key extends keyof Rule>(
  rule: { -readonly [K in keyof Rule]?: Rule[K] },
  key: Key,
  value: Rule[Key],
): true {
  rule[key] = value;
  return true;
}
