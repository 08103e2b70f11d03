/** Translates a rule of iptables from its words in a listing into the model of model.ts. */
import { type Family, parseBlock } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { SetContent, SetList } from "./ipset.ts";
import { readMasked, readPortRange, readProxy, readRange, readTarget } from "./iptables-target.ts";
import { type Action, type Condition, constant, type PortRange, type Side, type TraceRule } from "./model.ts";
import { protocolName } from "./protocols.ts";
import { matchSet } from "./set-condition.ts";

/** The elements of ipsets by name; a set that is not there is not known. */
export type Sets = ReadonlyMap<string, SetContent | SetList>;

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

/** Modules that match everything unless their options say otherwise. */
const QUIET = new Set(
  "comment mark connmark addrtype conntrack state set iprange statistic multiport recent rpfilter owner tcp udp udplite sctp dccp icmp icmp6 esp ah".split(
    " ",
  ),
);

/** Options that only say more of another one. */
const ADVERBS: Readonly<Record<string, readonly string[]>> = {
  recent: ["--name", "--mask", "--rsource", "--rdest", "--seconds", "--hitcount", "--reap", "--rttl"],
  statistic: ["--mode", "--packet"],
  rpfilter: ["--loose", "--validmark", "--accept-local"],
};

type RuleWay = Pick<TraceRule, "conditions" | "marks" | "action">;

/** The same of a rule of the table nat, where there is one way. */
export function readRule(...rule: Parameters<typeof readWays>): RuleWay {
  return readWays(...rule)[0];
}

/** The ways through the rule in the words after `-A CHAIN`: one, but for TPROXY. */
export function readWays(
  words: readonly string[],
  family: Family,
  sets: Sets,
  isChain: (name: string) => boolean,
): readonly [RuleWay, ...RuleWay[]] {
  const target = words.findIndex((word) => word === "-j" || word === "-g");
  const context: Context = { family, sets, module: "" };
  const options = splitOptions(target < 0 ? words : words.slice(0, target));
  const conditions = options.flatMap((option) => readOption(option, context));
  if (words[target + 1] === "TPROXY") {
    const { condition, change } = readProxy(words.slice(target + 2));
    return [
      { conditions: [...conditions, condition], marks: [change], action: { kind: "accept" } },
      { conditions, action: { kind: "drop" } },
    ];
  }
  const action: Action = target < 0 ? { kind: "continue" } : readTarget(words.slice(target), family, isChain);
  return [{ conditions, action }];
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

type Head = Pick<Condition, "text" | "negated">;

function readOption(option: Option, context: Context): Condition[] {
  const { name, values } = option;
  const [value = ""] = values;
  const head = { text: textOf(option), negated: option.negated };
  const unknown: Condition[] = [{ ...head, negated: false, kind: "unknown" }];
  if (name === "-m") {
    context.module = value;
    return QUIET.has(value) ? [] : unknown;
  }
  if (name === "--comment" || ADVERBS[context.module]?.includes(name) === true) return [];
  return (name in MODULE_OPTIONS ? MODULE_OPTIONS : OPTIONS)[name]?.(head, values, context) ?? unknown;
}

function textOf({ name, values, negated }: Option): string {
  return [...(negated ? ["!"] : []), name, ...values].join(" ");
}

/** Undefined: not known. */
type Reader = (head: Head, values: readonly string[], context: Context) => Condition[] | undefined;

const addresses =
  (side: Side, read: (text: string, family: Family) => Interval | undefined): Reader =>
  (head, [text = ""], { family }) => {
    const interval = read(text, family);
    if (interval !== undefined) return [{ ...head, kind: "address", side, family, intervals: [interval] }];
    const bits = readBits(text, family);
    return bits === undefined ? undefined : [{ ...head, kind: "bits", side, family, ...bits }];
  };

const interfaces =
  (kind: "in" | "out"): Reader =>
  (head, [name = ""]) => [{ ...head, kind, names: [name.replace(/\+$/, "*")] }];

const ports =
  (side: Side): Reader =>
  (head, [text = ""]) => {
    const ranges = text.split(",").map((one) => readPortRange(one, ":"));
    return ranges.includes(undefined)
      ? undefined
      : [{ ...head, kind: "port", side, ranges: ranges as PortRange[] }];
  };

const local =
  (side: Side): Reader =>
  (head, [type]) =>
    type === "LOCAL" ? [{ ...head, kind: "local", side }] : undefined;

const states: Reader = (head, [list = ""]) => [
  { ...head, kind: "state", states: list.toLowerCase().split(",") },
];

/** The addresses and ports of the connection, as its first packet had them when conntrack saw it. */
function originals(): Readonly<Record<string, Reader>> {
  const mark =
    (read: Reader): Reader =>
    (head, values, context) =>
      read(head, values, context)?.map((one) => ({ ...one, isOriginal: true }) as Condition);
  return {
    "--ctorigsrc": mark(addresses("source", parseBlock)),
    "--ctorigdst": mark(addresses("destination", parseBlock)),
    "--ctorigsrcport": mark(ports("source")),
    "--ctorigdstport": mark(ports("destination")),
  };
}

const OPTIONS: Readonly<Record<string, Reader>> = {
  "-s": addresses("source", parseBlock),
  "-d": addresses("destination", parseBlock),
  "--src-range": addresses("source", readRange),
  "--dst-range": addresses("destination", readRange),
  "-i": interfaces("in"),
  "-o": interfaces("out"),
  "-p": (head, [name = ""]) =>
    name === "all" || name === "0" ? [] : [{ ...head, kind: "protocol", protocols: [protocolName(name)] }],
  "--dport": ports("destination"),
  "--dports": ports("destination"),
  "--sport": ports("source"),
  "--sports": ports("source"),
  "--dst-type": local("destination"),
  "--src-type": local("source"),
  "--ctstate": states,
  ...originals(),
  "--ctdir": (head, [direction]) => [{ ...head, kind: "connection", holds: direction === "ORIGINAL" }],
  // The first packet's connection is not confirmed yet, and NONE is a mask that no status has a bit of.
  "--ctstatus": (head) => [{ ...head, kind: "connection", holds: false }],
  "--ctproto": (head, [name = ""]) => [
    { ...head, kind: "protocol", protocols: [protocolName(name)] },
    { kind: "connection", holds: true, text: head.text, negated: false },
  ],
  "--state": states,
  "--match-set": (head, values, { family, sets }) => matchSet(head, values, family, sets),
  "--syn": (head) => [firstPacket(head, true)],
  "--tcp-flags": (head, [mask = "", flags = ""]) => [
    firstPacket(head, flags === (/\b(SYN|ALL)\b/.test(mask) ? "SYN" : "NONE")),
  ],
};

/** Options that mean something else in another module. */
const MODULE_OPTIONS: Readonly<Record<string, Reader>> = {
  "--mark": (head, [text = ""], { module }) => {
    const numbers = module === "mark" || module === "connmark" ? readMasked(text) : undefined;
    const whose = module === "connmark" ? { isConnections: true as const } : {};
    return numbers === undefined ? undefined : [{ ...head, kind: "mark", ...numbers, ...whose }];
  },
  "--set": (head, _, { module }) => (module === "recent" ? [firstPacket(head, true)] : undefined),
  "--probability": (head) => [{ ...head, negated: false, kind: "chance" }],
  "--every": (head) => [{ ...head, negated: false, kind: "chance" }],
  // A packet from the pod's link comes from its source's direction; it has no socket.
  "--invert": (head, _, { module }) => (module === "rpfilter" ? [firstPacket(head, false)] : undefined),
  "--uid-owner": (head) => [firstPacket(head, false)],
  "--gid-owner": (head) => [firstPacket(head, false)],
  "--socket-exists": (head) => [firstPacket(head, false)],
};

/** Properties that the first packet of a pod's flow always has, or never. */
function firstPacket({ text, negated }: Head, holds: boolean): Condition {
  return { ...constant(text, holds), negated };
}

/** An address and a mask that is no prefix, as the tools print it. */
function readBits(text: string, family: Family): { mask: bigint; value: bigint } | undefined {
  const [address, mask, ...more] = text.split("/").map((part) => parseBlock(part, family)?.first);
  if (address === undefined || mask === undefined || more.length > 0) return undefined;
  return { mask, value: address & mask };
}
