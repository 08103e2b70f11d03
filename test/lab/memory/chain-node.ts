/** A node in memory with iptables and ipset, for the iptables backend's plans: what its passes do, and what flows then meet. */
import { type Cidr, type Family, isCidr, lastAddress, parseCidr } from "../../../src/core/cidr.ts";
import { renderDrift } from "../../../src/core/drift.ts";
import type { Ruleset } from "../../../src/core/ruleset.ts";
import { ownSets } from "../../../src/iptables/ipset.ts";
import type { Capabilities, IptablesPlanner } from "../../../src/iptables/planner.ts";
import type { Script } from "../../../src/system/script.ts";
import { createIpset, hasAddress } from "./ipset.ts";
import { createNat, walk } from "./nat.ts";

/** What current tools can. */
export const CAPABILITIES: Capabilities = {
  version: "1.8.9",
  variant: "nf_tables",
  check: true,
  wait: [],
  restoreWait: [],
  randomFully: true,
  ipset: true,
};

/** A new flow at POSTROUTING. */
export interface MemoryFlow {
  readonly destination: bigint;
  readonly source?: bigint;
  readonly link?: string;
  readonly protocol?: string;
}

/** A node with both tools; `pass` does what an agent's pass does, and calls `after` after each script. */
export function createChainNode(backend: IptablesPlanner, family: Family = "IPv4", chain = "IP-MASQ-AGENT") {
  const nat = createNat(family);
  const rules = () => nat.chains.get(chain) ?? [];
  const ipset = createIpset((name) => rules().some((rule) => rule.includes(` --match-set ${name} `)));
  const calls: string[] = [];
  const run = (script: Script) => {
    const { file, args, accept = [], otherwise } = script;
    calls.push([file, ...args].join(" ").replace(/ -m comment .*$/, " ..."));
    const answer = file === "ipset" ? ipset.run(script) : nat.run(script);
    if (answer.exitCode === 1 && otherwise !== undefined) return run(otherwise);
    if (answer.exitCode !== 0 && !accept.includes(answer.exitCode)) throw new Error(answer.stderr);
    return answer;
  };
  const observe = (ruleset: Ruleset) => {
    const answers = backend.inspection(ruleset, CAPABILITIES).map((script) => ({ ...nat.run(script) }));
    const found = ownSets(ruleset).flatMap((set) => {
      const elements = backend.parseSet(ipset.run(backend.inspectSet(set)));
      return elements === undefined ? [] : [[set.role, elements] as const];
    });
    return { ...backend.parse(ruleset, CAPABILITIES, answers), sets: Object.fromEntries(found) };
  };
  const plan = (ruleset: Ruleset) => backend.plan(ruleset, CAPABILITIES, observe(ruleset));
  const pass = (ruleset: Ruleset, after = () => {}) => {
    const { steps, drift } = plan(ruleset);
    calls.length = 0;
    for (const step of steps) {
      run(step);
      after();
    }
    return { calls: calls.slice(), drift: drift.map(renderDrift) };
  };
  /** What the chain's rules do to a new flow: each verdict that it may get. */
  const verdict = ({ destination, source = 0n, protocol = "tcp", link = "eth0" }: MemoryFlow): string =>
    [
      ...walk(rules(), {
        protocol,
        link,
        isTo: (text) => contains(blockOf(family, text), destination),
        isFrom: (text) => isMasked(family, text, source),
        isIn: (name, direction) =>
          hasAddress(ipset.sets.get(name) ?? [], direction === "dst" ? destination : source),
      }).keys(),
    ].join();
  return { nat, ipset, rules, plan, pass, verdict };
}

function blockOf(family: Family, text: string): Cidr | undefined {
  const cidr = parseCidr(text.includes("/") ? text : `${text}/${family === "IPv4" ? 32 : 128}`);
  return isCidr(cidr) ? cidr : undefined;
}

function contains(cidr: Cidr | undefined, address: bigint): boolean {
  return cidr !== undefined && cidr.base <= address && address <= lastAddress(cidr);
}

function isMasked(family: Family, text: string, address: bigint): boolean {
  const [base = "", mask = ""] = text.split("/");
  if (/^\d+$/.test(mask) || mask === "") return contains(blockOf(family, text), address);
  const [wanted, bits] = [base, mask].map((one) => blockOf(family, one)?.base ?? 0n) as [bigint, bigint];
  return (address & bits) === wanted;
}
