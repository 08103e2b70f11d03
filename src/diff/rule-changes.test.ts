import fc from "fast-check";
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { parseCidr } from "../core/cidr.ts";
import { type Content, changeContents, changeElements, iptablesContents } from "./rule-changes.ts";

function config(cidrs: readonly string[]): string {
  return JSON.stringify({ cidrLimit: 1_000, nonMasqueradeCIDRs: cidrs });
}

function changed(before: readonly string[], after: readonly string[], threshold = 0) {
  const contents = (cidrs: readonly string[]) =>
    iptablesContents(rulesetOf("IPv4", config(cidrs)), threshold);
  return changeContents(contents(before), contents(after)).map(
    ({ where, added, removed, reordered }) =>
      `${where}: +${added.length} -${removed.length}${reordered ? " reordered" : ""}`,
  );
}

test("rules of a chain, and elements of a set whose order means nothing", () => {
  const [a, b, c] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
  expect(changed([a, b], [a, b])).toEqual([]);
  expect(changed([a, b], [b, a])).toEqual(["iptables -t nat chain IP-MASQ-AGENT: +0 -0 reordered"]);
  expect(changed([a, b], [a, c])).toEqual(["iptables -t nat chain IP-MASQ-AGENT: +1 -1"]);
  expect(changed([a, b], [b, a], 1)).toEqual([]);
  expect(changed([a, b], [b, c, a], 1)).toEqual(["ipset IP-MASQ-AGENT-4: +1 -0"]);
  // The list becomes long enough for a set.
  expect(changed([a], [a, b], 1)).toEqual([
    "iptables -t nat chain IP-MASQ-AGENT: +1 -1",
    "ipset IP-MASQ-AGENT-4: +3 -0",
  ]);
});

test("intervals of an nftables set", () => {
  const interval = (text: string) => {
    const cidr = parseCidr(text);
    return "base" in cidr ? { first: cidr.base, last: cidr.base + 1n } : { first: 0n, last: 0n };
  };
  expect(changeElements("set", "IPv4", [interval("10.0.0.0/31")], [interval("10.0.0.2/31")])).toEqual([
    { where: "set", added: ["10.0.0.2-10.0.0.3"], removed: ["10.0.0.0-10.0.0.1"], reordered: false },
  ]);
});

test("taking the removed lines away and adding the added ones makes the new list of the old", () => {
  const lines = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 8 });
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const content = (all: readonly string[]): Content[] => [{ where: "x", lines: all, isOrdered: true }];
      const [change] = changeContents(content(before), content(after));
      const left: string[] = [...before];
      for (const line of change?.removed ?? []) left.splice(left.indexOf(line), 1);
      expect([...left, ...(change?.added ?? [])].sort()).toEqual([...after].sort());
      expect(change === undefined).toBe(before.join() === after.join());
    }),
  );
});
