import { describe, expect, test } from "vitest";
import { configOf, rulesetOf } from "../../test/lab/config.ts";
import { compileRuleset, enabledFamilies, type Ruleset } from "./ruleset.ts";

const V6 = { enableIPv6: true };

const show = ({ entries }: Ruleset): string[] =>
  entries.map(({ cidr, verdict, reason }) => `${verdict} ${cidr.text} (${reason})`);

test("the families", () => {
  expect(enabledFamilies({ enableIPv6: false })).toEqual(["IPv4"]);
  expect(enabledFamilies(V6)).toEqual(["IPv4", "IPv6"]);
});

test("flags stand in the ruleset as they are", () => {
  const options = { masqChain: "X", toPorts: [{ first: 1n, last: 2n }], randomFully: false, ...V6 };
  const { entries: _, ...rest } = rulesetOf("IPv6", "", options);
  const masquerade = { randomFully: false, toPorts: options.toPorts };
  expect(rest).toEqual({ family: "IPv6", chain: "X", masquerade });
});

describe("without exceptions: link-local, then the file's order", () => {
  test("the defaults", () => {
    expect(show(rulesetOf("IPv4", ""))).toMatchInlineSnapshot(`
      [
        "return 169.254.0.0/16 (link-local)",
        "return 10.0.0.0/8 (default)",
        "return 172.16.0.0/12 (default)",
        "return 192.168.0.0/16 (default)",
      ]
    `);
  });

  test("of IPv6 there is only link-local by default", () => {
    expect(show(rulesetOf("IPv6", "", V6))).toMatchInlineSnapshot(`
      [
        "return fe80::/10 (link-local)",
      ]
    `);
  });

  test("each family gets its own entries, duplicates included", () => {
    const text = "nonMasqueradeCIDRs: [fd00::/8, 10.2.0.0/16, 10.0.0.0/8, 10.2.0.0/16]";
    expect(show(rulesetOf("IPv4", text, V6))).toMatchInlineSnapshot(`
      [
        "return 169.254.0.0/16 (link-local)",
        "return 10.2.0.0/16 (configured)",
        "return 10.0.0.0/8 (configured)",
        "return 10.2.0.0/16 (configured)",
      ]
    `);
    expect(show(rulesetOf("IPv6", text, V6))).toMatchInlineSnapshot(`
      [
        "return fe80::/10 (link-local)",
        "return fd00::/8 (configured)",
      ]
    `);
  });

  test("the switches take link-local out, each in its family", () => {
    const text = "nonMasqueradeCIDRs: []\nmasqLinkLocal: true";
    expect(show(rulesetOf("IPv4", text, V6))).toEqual([]);
    expect(show(rulesetOf("IPv6", text, V6))).toEqual(["return fe80::/10 (link-local)"]);
    const other = "nonMasqueradeCIDRs: []\nmasqLinkLocalIPv6: true";
    expect(show(rulesetOf("IPv4", other, V6))).toEqual(["return 169.254.0.0/16 (link-local)"]);
    expect(show(rulesetOf("IPv6", other, V6))).toEqual([]);
  });

  test("an explicit link-local entry exists beside the implicit one", () => {
    expect(show(rulesetOf("IPv4", "nonMasqueradeCIDRs: [169.254.0.0/16]"))).toEqual([
      "return 169.254.0.0/16 (link-local)",
      "return 169.254.0.0/16 (configured)",
    ]);
  });

  test.each(["null", "[]", "~"])("masqueradeCIDRs: %s is as if absent", (value) => {
    const text = "nonMasqueradeCIDRs: [10.0.0.0/8, 10.1.0.0/16]";
    expect(rulesetOf("IPv4", `${text}\nmasqueradeCIDRs: ${value}`)).toEqual(rulesetOf("IPv4", text));
  });
});

describe("with exceptions: the longest prefix first, ties in the file's order", () => {
  test("defaults and link-local are entries like others", () => {
    expect(
      show(rulesetOf("IPv4", "masqueradeCIDRs: [10.1.2.0/24, 169.254.169.254/32]")),
    ).toMatchInlineSnapshot(`
      [
        "masquerade 169.254.169.254/32 (configured)",
        "masquerade 10.1.2.0/24 (configured)",
        "return 169.254.0.0/16 (link-local)",
        "return 192.168.0.0/16 (default)",
        "return 172.16.0.0/12 (default)",
        "return 10.0.0.0/8 (default)",
      ]
    `);
  });

  test("ties", () => {
    const text =
      "nonMasqueradeCIDRs: [10.2.0.0/16, 10.0.0.0/8, 10.1.0.0/16]\nmasqueradeCIDRs: [10.9.0.0/16, 10.8.0.0/16]";
    expect(show(rulesetOf("IPv4", text))).toMatchInlineSnapshot(`
      [
        "return 169.254.0.0/16 (link-local)",
        "return 10.2.0.0/16 (configured)",
        "return 10.1.0.0/16 (configured)",
        "masquerade 10.9.0.0/16 (configured)",
        "masquerade 10.8.0.0/16 (configured)",
        "return 10.0.0.0/8 (configured)",
      ]
    `);
  });

  test.each([
    [
      "nonMasqueradeCIDRs: [169.254.0.0/16]\nmasqueradeCIDRs: [10.0.0.0/8]",
      "return 169.254.0.0/16 (configured)",
    ],
    ["nonMasqueradeCIDRs: []\nmasqueradeCIDRs: [169.254.0.0/16]", "masquerade 169.254.0.0/16 (configured)"],
  ])("an explicit entry replaces the implicit one: %j", (text, entry) => {
    expect(show(rulesetOf("IPv4", text)).filter((line) => line.includes("169.254."))).toEqual([entry]);
  });

  test("an entry that only begins where link-local does leaves it alone", () => {
    expect(show(rulesetOf("IPv4", "nonMasqueradeCIDRs: []\nmasqueradeCIDRs: [169.254.0.0/24]"))).toEqual([
      "masquerade 169.254.0.0/24 (configured)",
      "return 169.254.0.0/16 (link-local)",
    ]);
  });

  test("an exception of one family does not change what the other decides", () => {
    const text = "nonMasqueradeCIDRs: [fd00::/8]\nmasqueradeCIDRs: [fd00:1::/32]";
    expect(show(rulesetOf("IPv4", text, V6))).toEqual(["return 169.254.0.0/16 (link-local)"]);
    expect(show(rulesetOf("IPv6", text, V6))).toMatchInlineSnapshot(`
      [
        "masquerade fd00:1::/32 (configured)",
        "return fe80::/10 (link-local)",
        "return fd00::/8 (configured)",
      ]
    `);
  });
});

test("compiling leaves the configuration as it was", () => {
  const config = configOf("nonMasqueradeCIDRs: [10.0.0.0/8, 10.1.0.0/16]\nmasqueradeCIDRs: [10.1.2.0/24]");
  const before = structuredClone(config);
  const options = { masqChain: "X", toPorts: [], randomFully: true, noMasqAllReservedRanges: false, ...V6 };
  compileRuleset("IPv4", config, options);
  expect(config).toEqual(before);
});
