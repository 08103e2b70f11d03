import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { sumVerdicts } from "../backend/verdict-counters.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Statement } from "../netlink/operations.ts";
import { countOfRule } from "./counters.ts";
import { tableRules } from "./rules.ts";
import { CHAIN } from "./sets.ts";

/** What rules count whose counters show 1, 2, 4, 8, ... packets. */
function counts(rulesets: readonly Ruleset[]) {
  const sets = rulesets.map(({ family }) => ({ keep: `keep-${family}`, from: `from-${family}` }));
  const rules = tableRules(rulesets, sets).map((statements, i) =>
    statements.map((one): Statement => (one.kind === "counter" ? { ...one, packets: 2n ** BigInt(i) } : one)),
  );
  const counted = rules.map((statements) => countOfRule({ ...CHAIN, handle: 1, statements }));
  return sumVerdicts(counted).map(({ family, verdict, packets }) => `${family} ${verdict} ${packets}`);
}

test("each rule counts for the verdict that it gives, and the one for the node's addresses for none", () => {
  const scope = { sources: [], interfaces: ["eth0", "bond+"] };
  const ipv4 = rulesetOf("IPv4", "");
  const masquerade = { ...ipv4.masquerade, pool: { addresses: [1n, 2n], by: "pod" as const } };
  // Two for destinations, two for sources, one for the node, four of IPv4 with its rest, one of IPv6.
  expect(counts([{ ...ipv4, scope, masquerade }, rulesetOf("IPv6", "", { enableIPv6: true })])).toEqual([
    "IPv4 keep 1",
    "IPv6 keep 2",
    `IPv4 other ${4 + 2 ** 9}`,
    "IPv6 other 8",
    `IPv4 masquerade ${2 ** 5 + 2 ** 6 + 2 ** 7 + 2 ** 8}`,
    `IPv6 masquerade ${2 ** 10}`,
  ]);
});
