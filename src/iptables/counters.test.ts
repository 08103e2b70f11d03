import { expect, test } from "vitest";
import { cidr } from "../../test/lab/doctor.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";
import { chainRules } from "./chain-rules.ts";
import { entriesAsked } from "./counters.ts";
import { layoutOf, wantedSets } from "./layout.ts";
import { canonicalRule } from "./rule.ts";

const MASQUERADE = { randomFully: true, toPorts: [] };

function entryOf(text: string): Entry {
  const verdict = text.startsWith("!") ? "masquerade" : "return";
  const reason = text.startsWith("169.254.") || text.startsWith("fe80") ? "link-local" : "configured";
  return { cidr: cidr(text.replace("!", "")), verdict, reason };
}

function rulesetOf(texts: readonly string[], more: Partial<Ruleset> = {}): Ruleset {
  const family = texts.join().includes(":") ? "IPv6" : "IPv4";
  return { family, chain: "C", entries: texts.map(entryOf), masquerade: MASQUERADE, ...more };
}

/** The entries that nothing has asked for, where only rules for these destinations have counted. */
function unasked(ruleset: Ruleset, counted: readonly string[], ipsetThreshold = 0) {
  const layout = layoutOf(ruleset, wantedSets(ruleset, ipsetThreshold));
  const rules = chainRules(ruleset, layout, true);
  const counts = rules.map(({ destination }, handle) => ({
    handle,
    packets: destination === undefined || counted.includes(destination.text) ? 1 : 0,
  }));
  const found = entriesAsked(ruleset, rules.map(canonicalRule), counts) ?? [];
  return found.filter(({ isAsked }) => !isAsked).map((one) => one.cidr);
}

test.for<[string, readonly string[], readonly string[], readonly string[]]>([
  ["one of two", ["169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12"], ["10.0.0.0/8"], ["172.16.0.0/12"]],
  ["hosts", ["10.0.0.1/32", "10.0.0.2/32"], ["10.0.0.2/32"], ["10.0.0.1/32"]],
  ["IPv6, as written", ["fe80::/10", "FD00:0::/8", "2001:db8::/32"], ["2001:db8::/32"], ["FD00:0::/8"]],
  ["a later one in it has counted", ["10.0.0.0/8", "10.1.0.0/16"], ["10.1.0.0/16"], ["10.0.0.0/8"]],
  ["an earlier one in it has counted", ["10.1.0.0/16", "10.0.0.0/8"], ["10.1.0.0/16"], []],
  ["an earlier one around it has counted", ["10.0.0.0/8", "10.1.0.0/16"], ["10.0.0.0/8"], []],
  ["an earlier one next to it", ["10.0.0.0/16", "10.1.0.0/16"], ["10.0.0.0/16"], ["10.1.0.0/16"]],
  ["twice in the list", ["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8"], []],
  ["an exception in it has counted", ["!10.1.0.0/16", "10.0.0.0/8"], ["10.1.0.0/16"], []],
  ["one before every destination", ["0.0.0.0/0", "10.0.0.0/8"], [], []],
])("%s", ([, texts, counted, expected]) => {
  expect(unasked(rulesetOf(texts), counted)).toEqual(expected);
});

test("rules about sources and for ports come after the entries", () => {
  const scope = { sources: [{ cidr: cidr("10.9.0.0/16"), isOurs: false }], interfaces: ["eth0"] };
  const masquerade = { randomFully: true, toPorts: [{ first: 40_000n, last: 40_999n }] };
  const ruleset = rulesetOf(["10.0.0.0/8", "192.0.2.0/24"], { scope, masquerade });
  expect(unasked(ruleset, ["10.0.0.0/8"])).toEqual(["192.0.2.0/24"]);
});

test("a set counts no entries", () => {
  expect(unasked(rulesetOf(["10.0.0.0/8", "192.0.2.0/24"]), [], 1)).toEqual([]);
});

test("nothing is said of another chain than the one we know", () => {
  const counts = [{ handle: 1, packets: 0 }];
  expect(entriesAsked(rulesetOf(["10.0.0.0/8"]), undefined, counts)).toBeUndefined();
  expect(
    entriesAsked(rulesetOf(["10.0.0.0/8"]), ["-d 10.0.0.0/8 -j RETURN", "-j MASQUERADE"], counts),
  ).toBeUndefined();
});

test("of a chain that is too long, nothing is said", () => {
  const texts = Array.from({ length: 2_001 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  expect(unasked(rulesetOf(texts), [])).toEqual([]);
  expect(unasked(rulesetOf(texts.slice(0, 1_999)), [])).toHaveLength(1_999);
});
