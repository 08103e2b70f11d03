/** The way of a packet through POSTROUTING of the nat table, as far as it can be told from the rules alone. */
import type { NatRule, NatTable } from "./doctor-facts.ts";

/** A rule on the way. */
export interface Passed {
  readonly rule: NatRule;
  /** The rule of POSTROUTING that leads to it: itself, or a jump. */
  readonly from: NatRule;
  /** Whether only packets with a mark come here: kube-proxy and host ports masquerade those, on purpose. */
  readonly marked: boolean;
  /** Whether every packet that is not for the node itself comes here and matches. */
  readonly certain: boolean;
}

/** More rules than this are not followed: a table with that many is not read by people either. */
const MAX_PASSED = 20_000;

/** Targets that set the source address. */
const SOURCE_NAT = new Set(["MASQUERADE", "SNAT", "NETMAP"]);
/** Targets after which the packet leaves POSTROUTING. */
const TERMINAL = new Set([...SOURCE_NAT, "ACCEPT", "DROP"]);

/** What our own jump excludes too. */
const NOT_LOCAL = "-m addrtype ! --dst-type LOCAL";

export function isSourceNat({ target }: NatRule): boolean {
  return SOURCE_NAT.has(target ?? "");
}

/** Whether the rule ends POSTROUTING for what it matches. RETURN does so only there, not in a chain that was jumped to. */
export function isTerminal({ chain, target }: NatRule): boolean {
  return TERMINAL.has(target ?? "") || (chain === "POSTROUTING" && target === "RETURN");
}

/** Whether a rule takes every packet, as far as our jump cares. */
export function isUnconditional({ conditions }: NatRule): boolean {
  return conditions.length === 0 || conditions.join(" ") === NOT_LOCAL;
}

/** The rules that packets pass, in their order, without those of the chains in `without`. */
export function walkPostrouting({ chains }: NatTable, without: ReadonlySet<string>): readonly Passed[] {
  const passed: Passed[] = [];
  // A chain that several rules lead to is followed once for each kind of packet.
  const followed = new Set<string>();
  const follow = (name: string, start: Pick<Passed, "marked" | "certain"> & { from?: NatRule }): void => {
    let { marked, certain } = start;
    for (const rule of chains.get(name) ?? []) {
      if (passed.length >= MAX_PASSED) return;
      const from = start.from ?? rule;
      const one: Passed = {
        rule,
        from,
        marked: marked || hasMark(rule),
        certain: certain && isUnconditional(rule),
      };
      passed.push(one);
      const target = rule.target ?? "";
      const key = `${target} ${one.marked} ${one.certain}`;
      if (chains.has(target) && !without.has(target) && !followed.has(key)) {
        followed.add(key);
        follow(target, { ...one, from });
      }
      if (target !== "RETURN") continue;
      if (isMarkNegated(rule)) marked = true;
      // Behind a condition for returning, not every packet goes on.
      certain = false;
    }
  };
  follow("POSTROUTING", { marked: false, certain: true });
  return passed;
}

function hasMark({ conditions }: NatRule): boolean {
  const at = conditions.indexOf("--mark");
  return at >= 0 && conditions[at - 1] !== "!";
}

/** `-m mark ! --mark 0x4000/0x4000` and nothing else. */
function isMarkNegated({ conditions }: NatRule): boolean {
  return conditions.length === 5 && conditions[2] === "!" && conditions[3] === "--mark";
}
