import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { createIpset } from "../../test/lab/memory/ipset.ts";
import { createNode, DENIED } from "../../test/lab/node.ts";
import { scopedRuleset } from "../../test/lab/scoped.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "../system/command-error.ts";
import { legacyTables } from "../system/legacy-tables.ts";
import { iptablesDriver } from "./driver.ts";
import { iptablesPlanner } from "./plan.ts";
import { probe } from "./probe.ts";

const CHAIN = "IP-MASQ-AGENT";
const SET = "IP-MASQ-AGENT-4";

const list = (count: number) =>
  rulesetOf(
    "IPv4",
    `nonMasqueradeCIDRs: [${Array.from({ length: count }, (_, i) => `10.${i}.0.0/16`).join()}]`,
  );
const ipv6 = rulesetOf("IPv6", "", { enableIPv6: true });

/** A node with both tools, and a driver that puts lists of more than three into a set. */
function setUp({ version, ipset: hasIpset = true }: { version?: string; ipset?: boolean } = {}) {
  const node = createNode(version);
  const isUsed = (name: string) =>
    (node.IPv4.chains.get(CHAIN) ?? []).some((rule) => rule.includes(` ${name} dst`));
  const ipset = createIpset(isUsed);
  node.interfere = (script) => {
    if (script.file !== "ipset") return undefined;
    if (hasIpset) return ipset.run(script);
    throw new CommandError(script, { why: "cannot start ipset: ENOENT", code: "ENOENT" });
  };
  const { log, taken } = recordedLog();
  const driver = iptablesDriver(iptablesPlanner("path", 3), CHAIN, { run: node.run, probe, log });
  const pass = async (ruleset: Ruleset) => {
    const plan = await driver.inspect([ruleset], true);
    await driver.apply(plan, [ruleset]);
    return plan;
  };
  /** The commands of a pass that have to do with sets, and what it logs. */
  const calls = async (ruleset: Ruleset) => {
    node.taken();
    await pass(ruleset);
    return node.taken().filter((call) => call.startsWith("ipset"));
  };
  return { node, ipset, driver, pass, calls, log: taken };
}

test("families are inspected and changed one by one", () => {
  const { driver } = setUp();
  expect(driver.groups([list(1), ipv6])).toEqual([[list(1)], [ipv6]]);
  expect(driver.place([list(1)])).toBe("chain IP-MASQ-AGENT");
});

test("no family has nothing to do", async () => {
  const { driver } = setUp();
  const plan = await driver.inspect([], true);
  expect(plan).toEqual({ drift: [], steps: [] });
  await driver.apply(plan, []);
});

test("a refusal is an error, and nothing is run", async () => {
  const { driver, node } = setUp();
  await expect(driver.apply({ drift: [], steps: [], refusal: "not ours" }, [list(1)])).rejects.toThrow(
    "not ours",
  );
  expect(node.taken()).toEqual([]);
});

test("it determines the tools' capabilities once for each family, and logs them", async () => {
  const { pass, node, log } = setUp();
  for (let i = 0; i < 3; i++) {
    await pass(list(1));
    await pass(ipv6);
  }
  expect(node.taken().filter((call) => call.includes("--version"))).toEqual([
    "iptables --version",
    "ip6tables --version",
  ]);
  expect(log()).toEqual([
    "I IPv4: using iptables 1.8.9 (nf_tables)",
    "I IPv6: using ip6tables 1.8.9 (nf_tables)",
  ]);
});

describe("drift", () => {
  test("is read twice where rules were in force, and once otherwise", async () => {
    const { node, pass } = setUp();
    const ruleset = list(1);
    const looks = async () => {
      node.taken();
      await pass(ruleset);
      const calls = node.taken();
      const write = calls.findIndex((call) => /-N|restore/.test(call));
      return calls.slice(0, write < 0 ? undefined : write).filter((call) => call.includes("-S")).length;
    };
    expect(await looks()).toBe(1);
    expect(await looks()).toBe(1);
    node.IPv4.chains.set(CHAIN, []);
    expect(await looks()).toBe(2);
    expect(await looks()).toBe(1);
  });

  test("that the second listing does not have is none", async () => {
    const { node, driver, pass } = setUp();
    const ruleset = list(1);
    await pass(ruleset);
    let cut = true;
    node.interfere = ({ args }) => {
      if (!cut || !args.includes("-S")) return undefined;
      cut = false;
      return { exitCode: 0, stdout: `-N ${CHAIN}\n`, stderr: "" };
    };
    expect((await driver.inspect([ruleset], true)).steps).toEqual([]);
    expect(cut).toBe(false);
  });
});

describe("ipset", () => {
  test("is not asked for while lists are short", async () => {
    const { calls } = setUp();
    expect(await calls(list(3))).toEqual([]);
    expect(await calls(ipv6)).toEqual([]);
  });

  test("is probed once, and each pass reads the set", async () => {
    const { calls } = setUp();
    expect(await calls(list(4))).toEqual([
      "ipset --version",
      `ipset save ${SET}`,
      `ipset destroy ${SET}~`,
      "ipset restore",
      `ipset save ${SET}`,
    ]);
    expect(await calls(list(4))).toEqual([`ipset save ${SET}`]);
  });

  test("that is missing is warned of once, and the list is a chain", async () => {
    const { calls, node, log } = setUp({ ipset: false });
    for (const count of [4, 5, 4]) await calls(list(count));
    const warnings = log().filter((line) => line.startsWith("W"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^W error asking ipset for its version: cannot start ipset: ENOENT/);
    expect(warnings[0]).toMatch(
      /: the list is longer than --ipset-threshold, but stays in the chain as rules$/,
    );
    expect(await calls(list(4))).toEqual([]);
    expect(node.IPv4.chains.get(CHAIN)).toHaveLength(6);
  });

  test("loses its set when the list is short again", async () => {
    const { calls, ipset } = setUp();
    await calls(list(4));
    expect(await calls(list(3))).toEqual([
      `ipset save ${SET}`,
      `ipset destroy ${SET}~`,
      `ipset destroy ${SET}`,
      `ipset save ${SET}`,
    ]);
    expect(ipset.sets.size).toBe(0);
  });

  test("a tampered set is healed", async () => {
    const { calls, ipset } = setUp();
    await calls(list(4));
    ipset.sets.get(SET)?.pop();
    await calls(list(4));
    expect(ipset.sets.get(SET)).toHaveLength(5);
  });
});

describe("a set of sources", () => {
  const SOURCES = "IP-MASQ-AGENT-S4";
  const many = (count = 9) =>
    scopedRuleset("IPv4", {
      ours: Array.from({ length: count }, (_, i) => `${10 + (i >> 7)}.0.${2 * (i % 128)}.0/24`),
    });

  test("is read once in a pass, and alone where destinations are few", async () => {
    const { calls, ipset } = setUp();
    expect(await calls(many())).toEqual([
      "ipset --version",
      `ipset save ${SOURCES}`,
      "ipset destroy IP-MASQ-AGENT-N4",
      "ipset restore",
      `ipset save ${SOURCES}`,
    ]);
    expect(await calls(many())).toEqual([`ipset save ${SOURCES}`]);
    ipset.sets.get(SOURCES)?.pop();
    await calls(many());
    expect(ipset.sets.get(SOURCES)).toHaveLength(9);
  });

  test("goes when the sources are few again", async () => {
    const { calls, ipset } = setUp();
    await calls(many());
    await calls(many(8));
    expect(ipset.sets.size).toBe(0);
    expect(await calls(many(8))).toEqual([]);
  });

  test("cannot be without ipset: rules and one warning, or a refusal while the last rules stay", async () => {
    const { calls, node, log, driver } = setUp({ ipset: false });
    await calls(many());
    const rules = node.IPv4.chains.get(CHAIN);
    expect(rules?.filter((rule) => rule.includes("-j MASQUERADE"))).toHaveLength(9);
    const warnings = log().filter((line) => line.startsWith("W"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/ENOENT.*: the sources are too many for a chain, but stay in it as rules$/);
    const plan = await driver.inspect([many(129)], true);
    expect(plan.refusal).toMatch(/^masqueradeSourceCIDRs \(129 blocks\) would take 129 masquerade rules/);
    await expect(driver.apply(plan, [many(129)])).rejects.toThrow("masqueradeSourceCIDRs");
    expect(node.IPv4.chains.get(CHAIN)).toEqual(rules);
  });

  test("that others look up is not the agent's", async () => {
    const { ipset, node, driver } = setUp();
    ipset.sets.set(SOURCES, ["10.0.0.0/8"]);
    node.IPv4.chains.set(CHAIN, []);
    const { interfere } = node;
    node.interfere = (script) =>
      script.args.includes("-t") && script.file === "ipset"
        ? { exitCode: 0, stdout: "References: 1\n", stderr: "" }
        : interfere(script);
    expect((await driver.inspect([many()], true)).refusal).toMatch(
      /^set IP-MASQ-AGENT-S4 is not the agent's/,
    );
  });

  test("that an earlier agent left is removed", async () => {
    const { ipset, driver, pass, log } = setUp();
    await pass(list(1));
    ipset.sets.set(SOURCES, []).set("FOREIGN", []);
    await driver.removeStaleSet();
    expect([...ipset.sets.keys()]).toEqual(["FOREIGN"]);
    expect(log().at(-1)).toBe("I IPv4: removed a set of sources that no rule needs any more");
  });
});

describe("all that is ours is removed", () => {
  test("if there is nothing, nothing", async () => {
    const { driver, node } = setUp();
    expect(await driver.remove()).toEqual([]);
    expect(node.taken().filter((call) => / -[DFX] |destroy/.test(call))).toEqual([]);
  });

  test("in both families, with the sets and every jump", async () => {
    const { sources: many = [] } =
      scopedRuleset("IPv4", { ours: Array.from({ length: 9 }, (_, i) => `10.${2 * i}.0.0/16`) }).scope ?? {};
    const { driver, pass, node, ipset } = setUp();
    await pass({ ...list(4), scope: { sources: many, interfaces: [] } });
    await pass(ipv6);
    expect(ipset.sets.size).toBe(2);
    const jumps = node.IPv4.chains.get("POSTROUTING") ?? [];
    jumps.push("-j FOREIGN", ...jumps);
    expect(await driver.remove()).toEqual([
      "IPv4: chain IP-MASQ-AGENT (iptables)",
      "IPv6: chain IP-MASQ-AGENT (ip6tables)",
    ]);
    expect([...node.IPv4.chains]).toEqual([["POSTROUTING", ["-j FOREIGN"]]]);
    expect([...node.IPv6.chains]).toEqual([["POSTROUTING", []]]);
    expect(ipset.sets.size).toBe(0);
    expect(await driver.remove()).toEqual([]);
  });

  test("without ipset, the chain", async () => {
    const { driver, pass, node } = setUp({ ipset: false });
    await pass(list(4));
    expect(await driver.remove()).toEqual(["IPv4: chain IP-MASQ-AGENT (iptables)"]);
    expect([...node.IPv4.chains.keys()]).toEqual(["POSTROUTING"]);
  });

  test("a chain without a jump, as an earlier removal that was cut short left it", async () => {
    const { driver, node } = setUp();
    node.IPv4.chains.set(CHAIN, []);
    expect(await driver.remove()).toEqual(["IPv4: chain IP-MASQ-AGENT (iptables)"]);
    expect([...node.IPv4.chains.keys()]).toEqual(["POSTROUTING"]);
  });

  test("a foreign chain stays", async () => {
    const { driver, node } = setUp();
    node.IPv4.chains.set("FOREIGN", ["-j RETURN"]);
    await driver.remove();
    expect(node.IPv4.chains.get("FOREIGN")).toEqual(["-j RETURN"]);
  });

  test("a family whose tools are missing has nothing", async () => {
    const { driver, pass, node } = setUp();
    await pass(list(1));
    const before = node.interfere;
    node.interfere = (script) => {
      if (!script.file.startsWith("ip6")) return before(script);
      throw new CommandError(script, { why: "cannot start ip6tables: ENOENT", code: "ENOENT" });
    };
    expect(await driver.remove()).toEqual(["IPv4: chain IP-MASQ-AGENT (iptables)"]);
  });

  test("a failed removal is a failure", async () => {
    const { driver, pass, node } = setUp();
    await pass(list(1));
    node.interfere = ({ args }) => (args.includes("-D") ? DENIED : undefined);
    await expect(driver.remove()).rejects.toThrow("removing the jump");
    expect(node.IPv4.chains.has(CHAIN)).toBe(true);
  });
});

test("a legacy tool searches for leftovers only where its table exists", async () => {
  const { driver, node } = setUp({ version: "v1.8.9 (legacy)" });
  await driver.remove();
  const looked = node.taken().some((call) => call.startsWith("iptables -w 5 -S"));
  expect(looked).toBe(legacyTables("IPv4").includes("nat"));
});

test.each(["-S", "--version"])("our own bug is not a failure of the environment (%s)", async (where) => {
  const { driver, node } = setUp();
  node.interfere = ({ args }) => {
    if (args.includes(where)) throw new TypeError("ours");
    return undefined;
  };
  await expect(driver.remove()).rejects.toThrow(TypeError);
  await expect(driver.inspect([list(4)], true)).rejects.toThrow(TypeError);
});

test.each(["save", "--version"])("nor is one during a call of ipset (%s)", async (where) => {
  const { driver, node } = setUp();
  node.interfere = ({ file, args }) => {
    if (file === "ipset" && args.includes(where)) throw new TypeError("ours");
    return file === "ipset" ? { exitCode: 0, stdout: "", stderr: "" } : undefined;
  };
  await expect(driver.inspect([list(4)], true)).rejects.toThrow(TypeError);
});
