/**
 * Sets in memory that answer as ipset 7 does, for the commands that we use: `restore` from standard input, `save`
 * and `destroy` of one set, `--version`.
 */

import { isCidr, parseCidr } from "../../../src/core/cidr.ts";
import type { Answer, Script } from "../../../src/system/script.ts";

export interface Ipset {
  readonly sets: Map<string, string[]>;
  run(script: Script): Answer;
}

const OK: Answer = { exitCode: 0, stdout: "", stderr: "" };

/** No sets yet; `isUsed` says whether a rule looks one up, and so keeps it from being destroyed. */
export function createIpset(isUsed: (name: string) => boolean = () => false): Ipset {
  const sets = new Map<string, string[]>();
  const refuse = (why: string): Answer => ({ exitCode: 1, stdout: "", stderr: `ipset v7.17: ${why}\n` });
  const missing = () => refuse("The set with the given name does not exist");

  const commands: Readonly<Record<string, (name: string, rest: readonly string[]) => Answer>> = {
    create(name) {
      if (sets.has(name)) return refuse("Set cannot be created: set with the same name already exists");
      if (name.length > 31) return refuse("Syntax error: setname is longer than 31 characters");
      sets.set(name, []);
      return OK;
    },
    add(name, rest) {
      const elements = sets.get(name);
      const [address = ""] = rest;
      if (elements === undefined) return missing();
      if (elements.some((one) => one.split(" ")[0] === address))
        return refuse("Element cannot be added to the set: it's already added");
      if (address.endsWith("/0"))
        return refuse("The value of the CIDR parameter of the IP address is invalid");
      elements.push(rest.join(" "));
      return OK;
    },
    swap(name, [other = ""]) {
      const [a, b] = [sets.get(name), sets.get(other)];
      if (a === undefined || b === undefined)
        return refuse("Sets cannot be swapped: the second set does not exist");
      sets.set(name, b).set(other, a);
      return OK;
    },
    destroy(name) {
      if (isUsed(name)) return refuse("Set cannot be destroyed: it is in use by a kernel component");
      return sets.delete(name) ? OK : missing();
    },
    list(name, [set = ""]) {
      const names = [...sets.keys(), ""].join("\n");
      if (name === "-n") return { ...OK, stdout: names };
      return sets.has(set) ? { ...OK, stdout: `References: ${isUsed(set) ? 1 : 0}\n` } : missing();
    },
    save(name) {
      const elements = sets.get(name);
      if (elements === undefined) return missing();
      return {
        ...OK,
        stdout: [`create ${name} hash:net`, ...elements.map((one) => `add ${name} ${one}`), ""].join("\n"),
      };
    },
  };

  /** Unlike a restore of iptables, one of ipset stops where it fails, with what it has done. */
  const restore = (text: string): Answer => {
    for (const line of text.split("\n").filter((one) => one !== "")) {
      const answer = execute(line.split(" "));
      if (answer.exitCode !== 0) return answer;
    }
    return OK;
  };

  const execute = ([verb = "", name = "", ...rest]: readonly string[]): Answer => {
    if (verb === "--version") return { ...OK, stdout: "ipset v7.17, protocol version: 7\n" };
    const command = commands[verb];
    if (command === undefined) throw new Error(`the model knows no ${verb}`);
    return command(name, rest);
  };

  return { sets, run: ({ args, stdin }) => (stdin === undefined ? execute(args) : restore(stdin)) };
}

/** Whether elements, as ipset shows them, have an address: the longest prefix decides, and may say no. */
export function hasAddress(elements: readonly string[], address: bigint): boolean {
  let best = { bits: -1, nomatch: true };
  for (const element of elements) {
    const [text = "", ...options] = element.split(" ");
    const cidr = parseCidr(text.includes("/") ? text : `${text}${text.includes(":") ? "/128" : "/32"}`);
    if (!isCidr(cidr)) throw new Error(`no CIDR: ${text}`);
    const hostBits = BigInt((cidr.family === "IPv4" ? 32 : 128) - cidr.bits);
    if (cidr.base >> hostBits === address >> hostBits && cidr.bits > best.bits)
      best = { bits: cidr.bits, nomatch: options.includes("nomatch") };
  }
  return !best.nomatch;
}
