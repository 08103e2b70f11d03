/** What a rule of iptables asks and does, from its words in a listing: the model of model.ts. */
import {
  ADDRESS_BITS,
  type Cidr,
  type Family,
  isCidr,
  lastAddress,
  parseAddress,
  parseCidr,
} from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { SetContent } from "./ipset.ts";
import { type Action, type Condition, type MarkChange, type Side, unknownMark } from "./model.ts";
import { protocolName } from "./protocols.ts";

/** The elements of ipsets by name; a set that is not there is not known. */
export type Sets = ReadonlyMap<string, SetContent>;

interface Context {
  readonly family: Family;
  readonly sets: Sets;
  /** The module whose options come, as `-m` says. */
  module: string;
}

/** An option with its words, `!` taken off. */
interface Option {
  readonly name: string;
  readonly values: readonly string[];
  readonly negated: boolean;
}

/** Modules that ask nothing unless by their options. */
const QUIET = [
  "comment",
  "mark",
  "addrtype",
  "conntrack",
  "state",
  "set",
  "iprange",
  "statistic",
  "multiport",
];
const PROTOCOL_MODULES = ["tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "esp", "ah"];

/** Targets after which the next rule is asked. */
const CONTINUING = "LOG NFLOG ULOG TRACE AUDIT CLASSIFY TOS DSCP SET SECMARK CONNSECMARK TCPMSS TTL HL".split(
  " ",
);

const TARGETS: Readonly<
  Record<
    string,
    Action["kind"] & ("accept" | "drop" | "return" | "masquerade" | "translate" | "redirect" | "untrack")
  >
> = {
  ACCEPT: "accept",
  DROP: "drop",
  REJECT: "drop",
  RETURN: "return",
  MASQUERADE: "masquerade",
  SNAT: "translate",
  NETMAP: "translate",
  SAME: "translate",
  DNAT: "redirect",
  REDIRECT: "redirect",
  TPROXY: "redirect",
  NOTRACK: "untrack",
};

/** The conditions and the action that the words behind `-A CHAIN` say. */
export function readRule(
  words: readonly string[],
  family: Family,
  sets: Sets,
  isChain: (name: string) => boolean,
): { readonly conditions: readonly Condition[]; readonly action: Action } {
  const target = words.findIndex((word) => word === "-j" || word === "-g");
  const context: Context = { family, sets, module: "" };
  const options = splitOptions(target < 0 ? words : words.slice(0, target));
  const conditions = options.flatMap((option) => readOption(option, context));
  const action = target < 0 ? ({ kind: "continue" } as const) : readTarget(words.slice(target), isChain);
  return { conditions, action };
}

function splitOptions(words: readonly string[]): Option[] {
  const options: { name: string; values: string[]; negated: boolean }[] = [];
  let negated = false;
  for (const word of words) {
    const current = options.at(-1);
    const isText = current?.name === "--comment" && current.values.length === 0;
    if (word === "!" && !isText) negated = true;
    else if (current === undefined || (/^--?[a-z]/.test(word) && !isText)) {
      options.push({ name: word, values: [], negated });
      negated = false;
    } else {
      current.values.push(word);
      // Tools before 1.4.3 say `-d ! ADDRESS`.
      current.negated ||= negated;
      negated = false;
    }
  }
  return options;
}

function readOption(option: Option, context: Context): Condition[] {
  const { name, values } = option;
  const value = values[0] ?? "";
  const head = { text: textOf(option), negated: option.negated };
  const unknown: Condition[] = [{ ...head, negated: false, kind: "unknown" }];
  if (name === "-m") {
    context.module = value;
    return QUIET.includes(value) || PROTOCOL_MODULES.includes(value) ? [] : unknown;
  }
  if (name === "--comment") return [];
  if (name === "-s" || name === "-d")
    return (
      addresses(
        head,
        name === "-s" ? "source" : "destination",
        context.family,
        cidrInterval(value, context.family),
      ) ?? unknown
    );
  if (name === "-o") return [{ ...head, kind: "out", names: [value.replace(/\+$/, "*")] }];
  if (name === "-p") return protocol(head, value);
  if (name === "--mark" && context.module === "mark") return mark(head, value) ?? unknown;
  if (name === "--dst-type" || name === "--src-type")
    return value === "LOCAL"
      ? [{ ...head, kind: "local", side: name === "--src-type" ? "source" : "destination" }]
      : unknown;
  if (name === "--ctstate" || name === "--state")
    return [{ ...head, kind: "state", states: value.toLowerCase().split(",") }];
  if (name === "--src-range" || name === "--dst-range")
    return (
      addresses(
        head,
        name === "--src-range" ? "source" : "destination",
        context.family,
        rangeInterval(value, context.family),
      ) ?? unknown
    );
  if (name === "--match-set") return matchSet(head, values, context) ?? unknown;
  return unknown;
}

type Head = Pick<Condition, "text" | "negated">;

function textOf({ name, values, negated }: Option): string {
  return [...(negated ? ["!"] : []), name, ...values].join(" ");
}

function addresses(
  head: Head,
  side: Side,
  family: Family,
  interval: Interval | undefined,
): Condition[] | undefined {
  return interval === undefined
    ? undefined
    : [{ ...head, kind: "address", side, family, intervals: [interval] }];
}

function cidrInterval(text: string, family: Family): Interval | undefined {
  const cidr = parseCidr(text.includes("/") ? text : `${text}/${ADDRESS_BITS[family]}`);
  return isCidr(cidr) && cidr.family === family ? blockOf(cidr) : undefined;
}

function blockOf(cidr: Cidr): Interval {
  return { first: cidr.base, last: lastAddress(cidr) };
}

function rangeInterval(text: string, family: Family): Interval | undefined {
  const [from = "", to = from] = text.split("-");
  const first = parseAddress(from);
  const last = parseAddress(to);
  if (first?.family !== family || last?.family !== family) return undefined;
  return { first: first.value, last: last.value };
}

function protocol(head: Head, value: string): Condition[] {
  if (value === "all" || value === "0") return [];
  return [{ ...head, kind: "protocol", protocols: [protocolName(value)] }];
}

function mark(head: Head, text: string): Condition[] | undefined {
  const numbers = masked(text);
  return numbers === undefined ? undefined : [{ ...head, kind: "mark", ...numbers }];
}

function masked(text: string): { value: number; mask: number } | undefined {
  const [value, mask = 0xffffffff] = text.split("/").map(Number);
  if (value === undefined || !Number.isInteger(value) || !Number.isInteger(mask)) return undefined;
  return { value, mask };
}

function matchSet(
  head: Head,
  [name = "", directions = ""]: readonly string[],
  { family, sets }: Context,
): Condition[] | undefined {
  const set = sets.get(name);
  const sides = directions.split(",");
  if (set === undefined || sides.length !== set.places.length) return undefined;
  const asked = set.places.flatMap((intervals, at): Condition[] => {
    if (intervals === undefined) return [];
    const side = sides[at] === "src" ? "source" : "destination";
    // A set of the other family has no address of this one.
    return [{ ...head, kind: "address", side, family, intervals: set.family === family ? intervals : [] }];
  });
  if (sides.length === 1) return asked;
  // An element's places belong together, and ports are not known: what has these addresses may match.
  const list = asked.map((one) => ({ ...one, negated: false }));
  const rest: Condition = { text: head.text, negated: false, kind: "unknown" };
  return [{ ...head, kind: "either", lists: [[...list, rest]] }];
}

function readTarget(
  [flag = "", target = "", ...options]: readonly string[],
  isChain: (name: string) => boolean,
): Action {
  if (flag === "-g") return { kind: "goto", chain: target };
  const verdict = TARGETS[target];
  if (verdict !== undefined) return { kind: verdict };
  if (target === "MARK") return { kind: "mark", change: markChange(options) };
  if (target === "CONNMARK") return readConnmark(options);
  if (target === "CT") return { kind: options.includes("--notrack") ? "untrack" : "continue" };
  if (CONTINUING.includes(target)) return { kind: "continue" };
  // An extension that we do not know may decide, or not.
  return isChain(target) ? { kind: "jump", chain: target } : { kind: "unknown" };
}

/** Restoring gives the packet a mark of another packet; saving does not. */
function readConnmark(options: readonly string[]): Action {
  if (!options.includes("--restore-mark")) return { kind: "continue" };
  const mask = Number(options[options.indexOf("--nfmask") + 1]);
  const isMasked = options.includes("--nfmask") && Number.isInteger(mask);
  return { kind: "mark", change: unknownMark(isMasked ? mask : undefined) };
}

function markChange([option = "", text = ""]: readonly string[]): MarkChange {
  const numbers = masked(text);
  if (numbers === undefined) return unknownMark();
  const { value, mask } = numbers;
  if (option === "--set-xmark") return { and: ~mask, xor: value };
  if (option === "--set-mark") return { and: ~(mask | value), xor: value };
  if (option === "--xor-mark") return { and: -1, xor: value };
  if (option === "--and-mark") return { and: value, xor: 0 };
  return option === "--or-mark" ? { and: ~value, xor: value } : unknownMark();
}
