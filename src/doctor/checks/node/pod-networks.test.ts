import { describe, expect, test } from "vitest";
import { cidr, facts, keeps, said } from "../../../../test/lab/doctor.ts";
import { diagnose } from "../../checks.ts";
import type { Facts } from "../../facts.ts";

type Change = {
  readonly networks?: readonly string[];
  readonly kept?: readonly string[];
  readonly entries?: number;
};

/** A node whose pods have these networks, and a list. */
function node({ networks = ["10.244.0.0/16"], kept = ["10.0.0.0/8"], entries = kept.length }: Change) {
  const { config, links } = facts();
  if (!("value" in config) || !("value" in links)) throw new Error("unknown");
  return {
    config: { value: { ...config.value, entries, kept: keeps("169.254.0.0/16", ...kept) } },
    links: { value: { ...links.value, networks: [] } },
    podNetworks: networks.map((text) => ({
      value: [{ cidr: cidr(text), from: "--cluster-cidr", isLocal: false }],
    })),
  } satisfies Partial<Facts>;
}

const HEAD = "warning pod-networks: pods";

describe("pods' networks and the list", () => {
  test.each<[string, Change, readonly string[]]>([
    ["in one entry", {}, []],
    ["in two halves", { kept: ["10.244.0.0/17", "10.244.128.0/17"] }, []],
    [
      "in none",
      { kept: ["192.168.0.0/16"] },
      [`${HEAD} of 10.244.0.0/16 (--cluster-cidr) are masqueraded towards each other: no entry contains it`],
    ],
    [
      "in part",
      { kept: ["10.244.0.0/17"] },
      [
        `${HEAD} of 10.244.0.0/16 (--cluster-cidr) are masqueraded towards each other: the list does not keep 10.244.128.0/17`,
      ],
    ],
    [
      "with an empty list",
      { kept: [], entries: 0 },
      [
        `${HEAD} of 10.244.0.0/16 (--cluster-cidr) are masqueraded towards each other: the list is empty, so that only link-local is kept`,
      ],
    ],
    [
      "one in another",
      { networks: ["10.244.1.0/24", "10.244.0.0/16"], kept: ["10.244.1.0/24"] },
      [expect.stringContaining(`${HEAD} of 10.244.0.0/16`)],
    ],
    [
      "pods one by one",
      { networks: ["100.64.0.1/32", "100.64.0.2/32", "100.64.0.3/32", "100.64.0.4/32"] },
      [
        `${HEAD} with 100.64.0.1/32, 100.64.0.2/32, 100.64.0.3/32 and 1 more (--cluster-cidr) are masqueraded towards each other: no entry contains them`,
      ],
    ],
    ["IPv6 that is not enabled", { networks: ["10.244.0.0/16", "2001:db8::/64"] }, []],
    [
      "not known",
      { networks: [] },
      ["info pod-networks: no IPv4 network of pods is known here: whether the list keeps it was not checked"],
    ],
  ])("%s", (_name, change, expected) => {
    expect(said(node(change))).toEqual(expected);
  });

  test("IPv6 where it is enabled", () => {
    const settings = { ...facts().settings, families: ["IPv4", "IPv6"] as const };
    const networks = ["10.244.0.0/16", "2001:db8::/64"];
    expect(said({ ...node({ networks }), settings, nat: [] })).toEqual([
      expect.stringContaining(`${HEAD} of 2001:db8::/64`),
    ]);
    expect(said({ ...node({ networks, kept: ["10.0.0.0/8", "2001:db8::/32"] }), settings, nat: [] })).toEqual(
      [],
    );
  });

  test("a configuration that is bad is not taken for one that keeps them", () => {
    const { config } = facts();
    const bad =
      "value" in config ? { value: { ...config.value, problems: ["bad"], kept: undefined } } : config;
    expect(said({ config: bad })).toContain(
      "info pod-networks: whether pods' own networks are kept was not checked: the configuration is bad",
    );
  });

  test("what to do, also where the list is empty on purpose", () => {
    const remedy = (change: Change) =>
      diagnose(facts(node(change))).find(({ check }) => check === "pod-networks")?.remedy;
    expect(remedy({ kept: ["192.168.0.0/16"] })).toBe("add it to nonMasqueradeCIDRs");
    expect(remedy({ kept: [], entries: 0 })).toContain("unless the list is empty on purpose");
  });
});
