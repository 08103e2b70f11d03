import { expect, test } from "vitest";
import { isForeign, renderForeign } from "./chain-owner.ts";

test.each<[string, readonly (string | undefined)[], boolean]>([
  ["an empty chain may be ours", [], false],
  ["one with our rules", ["ip-masq-agent: local traffic is not subject to MASQUERADE"], false],
  ["one with our rule among others", [undefined, "x", "ip-masq-agent: outbound traffic"], false],
  ["one of GKE's start script", ["ip-masq: local traffic is not subject to MASQUERADE"], false],
  ["one without comments", [undefined, undefined], true],
  ["one with comments of others", ["kubernetes service traffic requiring SNAT"], true],
  ["a comment that only mentions us", ["not by ip-masq-agent: ours"], true],
])("%s", (_, comments, expected) => {
  expect(isForeign(comments)).toBe(expected);
});

test("a refusal names the chain and what to do", () => {
  expect([1, 2].map((rules) => renderForeign("X", rules, "iptables"))).toMatchInlineSnapshot(`
    [
      "chain X is not the agent's: it has 1 rule, without the comment of an agent, and no jump of an agent leads to it. The agent does not touch it: give --masq-chain a name of the agent's own, or empty it if it is not needed (iptables -t nat -F X)",
      "chain X is not the agent's: it has 2 rules, none with the comment of an agent, and no jump of an agent leads to it. The agent does not touch it: give --masq-chain a name of the agent's own, or empty it if it is not needed (iptables -t nat -F X)",
    ]
  `);
  expect(renderForeign("POSTROUTING", 2, "iptables")).toMatchInlineSnapshot(
    `"chain POSTROUTING is one of the kernel's own: give --masq-chain a name of the agent's own"`,
  );
});
