/**
 * A nat table in memory that answers as iptables 1.8.9 does, for the options that we use. It shares no code
 * with the backend, so that both must agree with iptables rather than with each other.
 */
import type { Answer, Script } from "../../../src/system/script.ts";

/** The table of one family; rules are texts as `iptables -S` prints them, without `-A CHAIN`. */
export interface Nat {
  readonly chains: Map<string, string[]>;
  run(script: Script): Answer;
}

interface Words {
  readonly source?: string;
  readonly destination?: string;
  readonly out?: string;
  readonly protocol?: string;
  /** Matches and target, in the order given, as printed. */
  readonly rest: readonly string[];
  readonly target: string;
}

const OK: Answer = { exitCode: 0, stdout: "", stderr: "" };
const PROTOCOLS: Readonly<Record<string, string>> = { "6": "tcp", "17": "udp", "132": "sctp" };

/** An empty table. */
export function createNat(family: "IPv4" | "IPv6", version = "v1.8.9 (nf_tables)"): Nat {
  const chains = new Map<string, string[]>([["POSTROUTING", []]]);
  const refuse = (exitCode: number, stderr: string): Answer => ({ exitCode, stdout: "", stderr });
  const printRule = (args: readonly string[]) => print(read(args, family));

  const restore = (text: string): Answer => {
    const fresh = new Map([...chains].map(([name, rules]) => [name, [...rules]]));
    for (const [index, line] of text.split("\n").entries()) {
      const chain = /^:(\S+) - \[0:0\]$/.exec(line)?.[1];
      if (chain !== undefined) fresh.set(chain, []);
      const [command, target = "", ...args] = split(line);
      if (command !== "-A") continue;
      try {
        fresh.get(target)?.push(printRule(args));
      } catch (error) {
        return refuse(2, `${(error as Error).message}\nError occurred at line: ${index + 1}\n`);
      }
    }
    for (const [name, rules] of fresh) chains.set(name, rules);
    return OK;
  };

  const command = (args: readonly string[]): Answer => {
    const [verb = "", chain = "", ...rest] = args[0] === "-w" ? args.slice(args[1] === "5" ? 2 : 1) : args;
    const rules = chains.get(chain);
    if (verb === "--version") return { ...OK, stdout: `iptables ${version}\n` };
    if (verb === "-N") {
      if (rules !== undefined) return refuse(1, "iptables: Chain already exists.\n");
      chains.set(chain, []);
      return OK;
    }
    if (rules === undefined) return refuse(1, "iptables: No chain/target/match by that name.\n");
    if (verb === "-S") {
      const head = chain === "POSTROUTING" ? "-P POSTROUTING ACCEPT" : `-N ${chain}`;
      return { ...OK, stdout: [head, ...rules.map((rule) => `-A ${chain} ${rule}`), ""].join("\n") };
    }
    if (verb === "-F") {
      chains.set(chain, []);
      return OK;
    }
    if (verb === "-X") {
      const isJumpedTo = [...chains.values()].flat().some((rule) => rule.endsWith(` -j ${chain}`));
      if (rules.length > 0 || isJumpedTo)
        return refuse(4, "iptables: CHAIN_DEL failed (Device or resource busy)\n");
      chains.delete(chain);
      return OK;
    }
    const table = rest.indexOf("-t");
    const rule = printRule([...rest.slice(0, table), ...rest.slice(table + 2)]);
    const target = rest.at(-1) ?? "";
    if (!chains.has(target)) return refuse(2, `iptables: Chain '${target}' does not exist\n`);
    if (verb === "-C") return rules.includes(rule) ? OK : refuse(1, "iptables: Bad rule\n");
    if (verb === "-D") {
      const at = rules.indexOf(rule);
      if (at < 0) return refuse(1, "iptables: Bad rule\n");
      rules.splice(at, 1);
      return OK;
    }
    if (verb !== "-A") throw new Error(`the model knows no ${verb}`);
    rules.push(rule);
    return OK;
  };

  return {
    chains,
    run: (script) => (script.stdin === undefined ? command(script.args) : restore(script.stdin)),
  };
}

/** Words of a line of iptables-restore's input; double quotes group. */
function split(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? "");
}

function read(args: readonly string[], family: "IPv4" | "IPv6"): Words {
  const rest: string[] = [];
  let words: Words = { rest, target: "" };
  for (let i = 0; i < args.length; i++) {
    const [word = "", value = ""] = args.slice(i, i + 2);
    if (word === "-d") words = { ...words, ...destination(value, family) };
    else if (word === "-s") words = { ...words, ...source(value, family) };
    else if (word === "-o") words = { ...words, out: value };
    else if (word === "-p") words = { ...words, protocol: PROTOCOLS[value] ?? value };
    else if (word === "-j") words = { ...words, target: value };
    else if (word === "--comment") rest.push("--comment", /[^\w-]/.test(value) ? `"${value}"` : value);
    else if (word === "--probability") rest.push(word, probability(value));
    else if (word === "--to-ports") rest.push(word, ports(value));
    else if (word === "--to-source") rest.push(word, value);
    else {
      rest.push(word);
      continue;
    }
    i++;
  }
  return words;
}

function print({ source, destination, out, protocol, rest, target }: Words): string {
  const options = rest.findIndex((word) => ["--to-ports", "--to-source", "--random-fully"].includes(word));
  const at = options < 0 ? rest.length : options;
  return [
    ...(source === undefined ? [] : ["-s", source]),
    ...(destination === undefined ? [] : ["-d", destination]),
    ...(out === undefined ? [] : ["-o", out]),
    ...(protocol === undefined ? [] : ["-p", protocol]),
    ...rest.slice(0, at),
    "-j",
    target,
    ...rest.slice(at),
  ].join(" ");
}

function probability(text: string): string {
  return (Math.round(Number(text) * 0x80000000) / 0x80000000).toFixed(11);
}

function ports(text: string): string {
  const [first = "", last = first] = text.split("-");
  if (Number(last) > 65535) throw new Error(`Port \`${text}' not valid`);
  return first === last ? first : text;
}

function destination(text: string, family: "IPv4" | "IPv6"): { destination?: string } {
  const [address = "", mask = ""] = text.split("/");
  const bits = /^0[0-7]+$/.test(mask) ? Number.parseInt(mask, 8) : Number(mask);
  const max = family === "IPv4" ? 32 : 128;
  if (/^0\d*[89]/.test(mask) || bits > max || (family === "IPv4" && address.includes(":")))
    throw new Error(`invalid mask \`${mask}' specified`);
  if (bits === 0) return {};
  return {
    destination: `${family === "IPv4" ? masked(address, bits) : compressed(masked6(address, bits))}/${bits}`,
  };
}

/** A mask that has no length is printed as it is. */
function source(text: string, family: "IPv4" | "IPv6"): { source?: string } {
  if (/\/.*[.:]/.test(text)) return { source: text };
  const { destination: block } = destination(text, family);
  return block === undefined ? {} : { source: block };
}

function masked(address: string, bits: number): string {
  const value = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const base = value - (value % 2 ** (32 - bits));
  return [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".");
}

function masked6(address: string, bits: number): string {
  const groups = (part = "") => part.split(":").filter((group) => group !== "");
  const [head, tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const zeros = Array(8 - groups(head).length - groups(tail).length).fill("0");
  const mask = (group: string, i: number) =>
    Number.parseInt(group, 16) & (0xffff << Math.min(16, Math.max(0, 16 * (i + 1) - bits)));
  return [...groups(head), ...zeros, ...groups(tail)]
    .map((group, i) => mask(group, i).toString(16))
    .join(":");
}

/** inet_ntop: as browsers print it, but for addresses whose first 96 bits are zero. */
function compressed(address: string): string {
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const tail = /^::([0-9a-f]+):([0-9a-f]+)$/.exec(text);
  if (tail === null) return text;
  const [high = 0, low = 0] = tail.slice(1).map((group) => Number.parseInt(group, 16));
  return `::${[high >> 8, high & 255, low >> 8, low & 255].join(".")}`;
}

/** A new flow, as conditions ask for it. */
export interface FlowOfRules {
  readonly protocol: string;
  readonly isTo: (cidr: string) => boolean;
  /** Whether it has a source within an address, and a length or mask; where rules ask for sources. */
  readonly isFrom?: (masked: string) => boolean;
  readonly link?: string;
  /** Whether a set has its destination (`dst`) or source (`src`), where rules look up any. */
  readonly isIn?: (set: string, direction: string) => boolean;
}

/** What a chain's rules do to such flows, as first-match decides: shares of verdicts. */
export function walk(rules: readonly string[], flow: FlowOfRules): ReadonlyMap<string, number> {
  const { protocol, isTo, isFrom = () => false, link = "", isIn = () => false } = flow;
  const shares = new Map<string, number>();
  let left = 1;
  for (const rule of rules) {
    const option = (name: string) => new RegExp(`(?:^| )${name} (\\S+)`).exec(rule)?.[1];
    const [destination, source, out] = [option("-d"), option("-s"), option("-o")];
    if (destination !== undefined && !isTo(destination)) continue;
    if (source !== undefined && !isFrom(source)) continue;
    const isThere = out?.endsWith("+") ? link.startsWith(out.slice(0, -1)) : link === out;
    if (out !== undefined && !isThere) continue;
    const [, not, set, direction] = /(! )?--match-set (\S+) (\S+)/.exec(rule) ?? [];
    if (set !== undefined && isIn(set, direction ?? "") === (not !== undefined)) continue;
    if ((option("-p") ?? protocol) !== protocol) continue;
    const to = [option("-j"), option("--to-source"), option("--to-ports")];
    const verdict = to.filter((part) => part !== undefined).join(" ");
    const share = left * Number(option("--probability") ?? 1);
    shares.set(verdict, (shares.get(verdict) ?? 0) + share);
    left -= share;
    if (left <= 0) break;
  }
  if (left > 0) shares.set("end of chain", left);
  return shares;
}
