/** Reads the action of a rule of iptables, from the words from `-j` or `-g` on. */
import { type Family, parseBlock } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import {
  type Action,
  type Condition,
  type MarkChange,
  type PortRange,
  type Target,
  unknownMark,
} from "./model.ts";

/** Targets after which the next rule is evaluated. */
const CONTINUING =
  "LOG NFLOG ULOG TRACE AUDIT CLASSIFY TOS DSCP ECN SET SECMARK CONNSECMARK TCPMSS TCPOPTSTRIP TTL HL CHECKSUM TEE LED IDLETIMER RATEEST".split(
    " ",
  );

const TARGETS: Readonly<Record<string, Action>> = {
  ACCEPT: { kind: "accept" },
  DROP: { kind: "drop" },
  REJECT: { kind: "drop" },
  RETURN: { kind: "return" },
  MASQUERADE: { kind: "masquerade" },
  SAME: { kind: "translate" },
  NOTRACK: { kind: "untrack" },
};

/** `TPROXY` in words. A packet for which no socket listens is dropped (xt_TPROXY.c). */
export function readProxy(options: readonly string[]): {
  readonly condition: Condition;
  readonly change: MarkChange;
} {
  const textOf = (name: string) => options[options.indexOf(name, 1) + 1] ?? "";
  const { value, mask } = (options.includes("--tproxy-mark") && readMasked(textOf("--tproxy-mark"))) || {
    value: 0,
    mask: 0,
  };
  const text = `a socket listens at port ${options.includes("--on-port") ? textOf("--on-port") : "of the packet"}`;
  return {
    condition: { kind: "unknown", text, negated: false },
    change: { and: ~mask, xor: value, isProxy: true },
  };
}

/** Reads a target; a name that is not an extension may be a chain's. */
export function readTarget(
  [flag = "", target = "", ...options]: readonly string[],
  family: Family,
  isChain: (name: string) => boolean,
): Action {
  if (flag === "-g") return { kind: "goto", chain: target };
  const action = TARGETS[target];
  if (action !== undefined) return action;
  if (target === "MARK") return { kind: "mark", change: markChange(options) };
  if (target === "CONNMARK") return readConnmark(options);
  if (target === "CT") return { kind: options.includes("--notrack") ? "untrack" : "continue" };
  if (target === "DNAT") return withTargets("redirect", readTargets(options, "--to-destination", family));
  if (target === "SNAT") return withTargets("translate", readTargets(options, "--to-source", family));
  if (target === "NETMAP") return withTargets("translate", readNetmap(options, family));
  if (target === "REDIRECT") return withTargets("redirect", readRedirect(options));
  if (CONTINUING.includes(target)) return { kind: "continue" };
  // An extension that we do not know may decide, or not.
  return isChain(target) ? { kind: "jump", chain: target } : { kind: "unknown" };
}

function withTargets(kind: "redirect" | "translate", targets: readonly Target[] | undefined): Action {
  return targets === undefined ? { kind } : { kind, targets };
}

function readTargets(options: readonly string[], name: string, family: Family): Target[] | undefined {
  const texts = options.filter((_, i) => options[i - 1] === name);
  const targets = texts.map((text) => readNatTarget(text, family));
  return targets.length === 0 || targets.includes(undefined) ? undefined : (targets as Target[]);
}

/** `10.0.0.1`, `10.0.0.1-10.0.0.9:80-90`, `:80`, `[fd00::1]:80`, `fd00::1-fd00::9`. */
function readNatTarget(text: string, family: Family): Target | undefined {
  const pattern = family === "IPv6" ? /^(?:(?:\[([^\]]*)\])?(?::(\d.*))?|(.*))$/ : /^([^:]*)(?::(.*))?$/;
  const [, first = "", ports, other] = pattern.exec(text) ?? [];
  const addresses = readRange(other ?? first, family);
  const range = ports === undefined ? undefined : readPortRange(ports, "-");
  if (((other ?? first) !== "" && addresses === undefined) || (ports !== undefined && range === undefined))
    return undefined;
  return {
    ...(addresses === undefined ? {} : { addresses }),
    ...(range === undefined ? {} : { ports: range }),
  };
}

/** Addresses as `FIRST-LAST`, or one. */
export function readRange(text: string, family: Family): Interval | undefined {
  const [from = "", to = from] = text.replaceAll(/[[\]]/g, "").split("-");
  const [first, last] = [from, to].map((one) => parseBlock(one, family)?.first);
  return first === undefined || last === undefined ? undefined : { first, last };
}

/** Ports as `FIRST` and `LAST` with a separator, or one port. */
export function readPortRange(text: string, separator: "-" | ":"): PortRange | undefined {
  // DNAT shifts ports with `/BASE`: which one comes out is not known then.
  const [from = "", to = from] = (text.split("/")[0] ?? "").split(separator);
  const [first, last] = [from === "" ? 0 : Number(from), to === "" ? 65535 : Number(to)];
  return Number.isInteger(first) && Number.isInteger(last) ? { first, last } : undefined;
}

function readNetmap(options: readonly string[], family: Family): Target[] | undefined {
  const text = options[options.indexOf("--to") + 1] ?? "";
  const addresses = parseBlock(text, family);
  return addresses && [{ addresses, isPrefix: true }];
}

function readRedirect(options: readonly string[]): Target[] {
  const at = options.indexOf("--to-ports");
  const ports = at < 0 ? undefined : readPortRange(options[at + 1] ?? "", "-");
  return [{ isHere: true, ...(ports === undefined ? {} : { ports }) }];
}

/** `--set-xmark`, `--save-mark` and `--restore-mark`, as iptables-save prints all of them. */
function readConnmark(options: readonly string[]): Action {
  const [option = ""] = options;
  const maskOf = (name: string) => {
    const at = Math.max(options.indexOf(name), options.indexOf("--mask"));
    return at < 0 ? 0xffffffff : Number(options[at + 1]);
  };
  const [nf, ct] = [maskOf("--nfmask"), maskOf("--ctmask")];
  const isPlain = Number.isInteger(nf) && Number.isInteger(ct) && !options.some((one) => /shift/.test(one));
  if (option === "--save-mark")
    return { kind: "mark", change: isPlain ? savedMark(nf, ct) : { ...unknownMark(), isConnections: true } };
  if (option === "--restore-mark")
    return { kind: "mark", change: isPlain ? restoredMark(nf, ct) : unknownMark() };
  const change = options.length > 2 ? unknownMark() : markChange(options);
  return { kind: "mark", change: { ...change, isConnections: true } };
}

/** The connection's mark after saving to it the bits `nf` of the packet's, in place of its bits `ct`. */
export function savedMark(nf: number, ct: number): MarkChange {
  return { and: ~ct, take: nf, xor: 0, isConnections: true };
}

/** The packet's mark after restoring to it the bits `ct` of its connection's, in place of its bits `nf`. */
export function restoredMark(nf: number, ct: number): MarkChange {
  return { and: ~nf, take: ct, xor: 0 };
}

export function markChange([option = "", text = ""]: readonly string[]): MarkChange {
  const numbers = readMasked(text);
  if (numbers === undefined) return unknownMark();
  const { value, mask } = numbers;
  if (option === "--set-xmark") return { and: ~mask, xor: value };
  if (option === "--set-mark") return { and: ~(mask | value), xor: value };
  if (option === "--xor-mark") return { and: -1, xor: value };
  if (option === "--and-mark") return { and: value, xor: 0 };
  return option === "--or-mark" ? { and: ~value, xor: value } : unknownMark();
}

/** `VALUE/MASK`; without a mask, all bits. */
export function readMasked(text: string): { value: number; mask: number } | undefined {
  const [value, mask = 0xffffffff] = text.split("/").map(Number);
  if (value === undefined || !Number.isInteger(value) || !Number.isInteger(mask)) return undefined;
  return { value, mask };
}
