/** The iptables driver of an agent that sees iptables-nft's rules over netlink. */
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { createIpset } from "../../test/lab/memory/ipset.ts";
import { createNode, DENIED } from "../../test/lab/node.ts";
import type { Span } from "../backend/commit-log.ts";
import type { Family } from "../core/cidr.ts";
import { iptablesDriver } from "./driver.ts";
import { iptablesPlanner } from "./plan.ts";
import { probe } from "./probe.ts";

const CHAIN = "IP-MASQ-AGENT";
const ruleset = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/8]");
const long = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16]");

/** A node on which every changing command commits, and a driver that sees its rules. */
function setUp(version?: string) {
  const node = createNode(version);
  const ipset = createIpset((name) => name === "IP-MASQ-AGENT-4");
  const kernel = { generation: 10, blind: false, looks: 0 };
  const own = () =>
    JSON.stringify(
      [...node.IPv4.chains].map(([name, rules]) => [
        name,
        rules.filter((one) => one.includes(CHAIN) || name === CHAIN),
      ]),
    );
  node.interfere = (script) => {
    if (script.file === "ipset") return ipset.run(script);
    if (script.file.endsWith("restore") || /-[NA] /.test(script.args.join(" "))) kernel.generation++;
    return undefined;
  };
  const claims: Span[] = [];
  const rules = () => node.IPv4.chains.get(CHAIN) ?? [];
  const view = {
    generation: async () => (kernel.blind ? undefined : kernel.generation),
    see: async (_family: Family) => {
      kernel.looks++;
      return kernel.blind
        ? undefined
        : {
            generation: kernel.generation,
            image: own(),
            rules: rules().length,
            jump: (node.IPv4.chains.get("POSTROUTING") ?? []).some((rule) => rule.includes(CHAIN))
              ? ("ours" as const)
              : ("none" as const),
          };
    },
    count: async () => undefined,
    close: () => {},
  };
  const { log } = recordedLog();
  const world = { run: node.run, probe, log, view, claim: (span: Span) => claims.push(span) };
  const driver = iptablesDriver(iptablesPlanner("path", 3), CHAIN, world);
  const pass = async (wanted = ruleset, thorough = false) => {
    node.taken();
    driver.groups([wanted]);
    const plan = await driver.inspect([wanted], thorough);
    const left = await driver.apply(plan, [wanted]);
    return { plan, left, calls: node.taken() };
  };
  /** A commit of another process, with its event. */
  const foreign = (change: () => void) => {
    change();
    driver.heard(++kernel.generation);
  };
  return { node, ipset, kernel, driver, pass, foreign, claims, rules };
}

test("it checks programmed rules, and claims its commits", async () => {
  const { pass, claims, driver, kernel } = setUp();
  const { calls } = await pass();
  // The jump is recognised without a tool.
  expect(calls.slice(-2)).toEqual([
    "iptables-restore -w 5 --noflush",
    "iptables -w 5 -S IP-MASQ-AGENT -t nat",
  ]);
  expect(claims).toEqual([{ from: 10, to: 13 }]);
  expect(driver.knows(kernel.generation)).toBe(true);
});

describe("a ruleset in force", () => {
  test("runs no tool while no process commits, nor when others do, thorough or not", async () => {
    const { pass, foreign, kernel, driver, node } = setUp();
    await pass();
    const { looks } = kernel;
    expect((await pass()).calls).toEqual([]);
    expect((await pass(ruleset, true)).calls).toEqual([]);
    expect(kernel.looks).toBe(looks);
    foreign(() => node.IPv4.chains.get("POSTROUTING")?.unshift("-j ACCEPT"));
    expect(driver.knows(kernel.generation)).toBe(false);
    expect((await pass()).calls).toEqual([]);
    expect(driver.knows(kernel.generation)).toBe(true);
    expect(kernel.looks).toBe(looks + 1);
  });

  test("that another process changes is read by the tools once, and healed; the span says since when", async () => {
    const { pass, foreign, rules } = setUp();
    await pass();
    foreign(() => {});
    await pass();
    foreign(() => rules().shift());
    const { plan, calls } = await pass();
    expect(plan).toMatchObject({ drift: [{ kind: "missing" }], span: { from: 14, to: 15 } });
    expect(calls.filter((call) => call.includes("-S"))).toHaveLength(2);
    expect(calls.filter((call) => call.includes("restore"))).toHaveLength(1);
    expect(rules()).toHaveLength(3);
  });

  test("whose programming was disturbed is inspected again", async () => {
    const { pass, kernel, driver, node, claims } = setUp();
    const real = node.interfere;
    node.interfere = (script) => {
      // Another process commits after each of our commits.
      if (script.file.endsWith("restore")) kernel.generation++;
      return real(script);
    };
    await pass();
    expect(claims).toEqual([]);
    node.interfere = real;
    driver.heard(kernel.generation);
    expect((await pass()).plan.steps).toEqual([]);
    expect(driver.knows(kernel.generation)).toBe(true);
  });

  test("as of a commit that is not over is inspected again once it is", async () => {
    const { pass, kernel, driver, rules } = setUp();
    await pass();
    // The kernel counts the generation up before the commit shows.
    kernel.generation++;
    await pass();
    expect(driver.knows(kernel.generation)).toBe(false);
    rules().shift();
    driver.heard(kernel.generation);
    expect((await pass()).plan.drift).toHaveLength(1);
    driver.heard(kernel.generation);
    expect(driver.knows(kernel.generation)).toBe(true);
    expect(rules()).toHaveLength(3);
  });
});

test("after a failed reading over netlink it asks the tools", async () => {
  const { pass, kernel, rules } = setUp();
  await pass();
  kernel.blind = true;
  rules().shift();
  expect((await pass()).plan.drift).toHaveLength(1);
  expect(rules()).toHaveLength(3);
});

test("legacy rules have no view: only a thorough inspection runs the tools", async () => {
  const { pass, kernel, driver } = setUp("v1.8.9 (legacy)");
  await pass();
  expect(kernel.looks).toBe(0);
  expect((await pass()).calls).toEqual([]);
  expect((await pass(ruleset, true)).calls).toHaveLength(2);
  expect(driver.knows(1_000)).toBe(true);
});

test("a set's changes raise no event: a thorough inspection reads the set, and nothing else", async () => {
  const { pass, ipset, foreign } = setUp();
  await pass(long);
  expect((await pass(long)).calls).toEqual([]);
  expect((await pass(long, true)).calls).toEqual(["ipset save IP-MASQ-AGENT-4"]);
  foreign(() => ipset.sets.get("IP-MASQ-AGENT-4")?.splice(0));
  expect((await pass(long)).calls).toEqual([]);
  const { plan } = await pass(long, true);
  expect(plan.drift).toMatchObject([{ kind: "changed", where: "set IP-MASQ-AGENT-4" }]);
  expect((await pass(long, true)).plan.steps).toEqual([]);
});

test("a tool that fails while another process commits runs again at once, but not repeatedly", async () => {
  const { node, pass, driver, kernel, rules } = setUp();
  const real = node.interfere;
  const failing = ({ file }: { readonly file: string }) => {
    if (!file.endsWith("restore")) return undefined;
    kernel.generation++;
    return { exitCode: 4, stdout: "", stderr: "no such chain" };
  };
  node.interfere = (script) => failing(script) ?? real(script);
  const { left } = await pass();
  expect(left).toMatchObject({ steps: [{ file: "iptables-restore" }], disturbed: true });
  await expect(driver.apply(left, [ruleset])).rejects.toThrow("no such chain");
  node.interfere = real;
  await pass();
  expect(rules()).toHaveLength(3);
});

test("a tool that fails because another process removes its object runs again", async () => {
  const { node, pass, foreign, rules } = setUp();
  await pass();
  foreign(() => rules().shift());
  const real = node.interfere;
  node.interfere = (script) => {
    if (!script.args.includes("-S")) return real(script);
    node.interfere = real;
    foreign(() => node.IPv4.chains.delete(CHAIN));
    return { exitCode: 2, stdout: "", stderr: "chain does not exist" };
  };
  expect((await pass()).left.steps).toEqual([]);
  expect(rules()).toHaveLength(3);
  node.interfere = (script) => (script.args.includes("-S") ? DENIED : real(script));
  foreign(() => rules().shift());
  await expect(pass()).rejects.toThrow("Permission denied");
});

describe("a tool that is wrong", () => {
  const NO = { exitCode: 1, stdout: "", stderr: "no" };
  const YES = { exitCode: 0, stdout: "nonsense", stderr: "" };
  const postrouting = (node: ReturnType<typeof createNode>) => node.IPv4.chains.get("POSTROUTING") ?? [];

  test.each([
    ["-C that always says no", "-C", NO],
    ["-C that always says yes", "-C", YES],
    ["-N that always says that the chain exists", "-N", NO],
    ["a listing of POSTROUTING that shows nothing", "-S POSTROUTING", YES],
  ] as const)("%s: the jump is made once, and again only when it is gone", async (_name, which, answer) => {
    const { node, pass, foreign, driver, kernel } = setUp();
    if (which === "-N") node.IPv4.chains.set(CHAIN, []);
    const real = node.interfere;
    node.interfere = (script) => (script.args.join(" ").includes(which) ? answer : real(script));
    for (let i = 0; i < 5; i++) {
      await pass();
      expect(postrouting(node)).toHaveLength(1);
      foreign(() => {});
    }
    foreign(() => node.IPv4.chains.set("POSTROUTING", []));
    const { plan, left } = await pass();
    expect(plan.drift).toMatchObject([{ kind: "missing" }]);
    expect(left.steps).toEqual([]);
    expect(postrouting(node)).toHaveLength(1);
    expect(driver.knows(kernel.generation)).toBe(true);
  });

  test("-C that says no where nothing can be seen: the listing counts", async () => {
    for (const version of ["v1.8.9 (legacy)", undefined]) {
      const { node, pass, kernel } = setUp(version);
      kernel.blind = true;
      node.interfere = ({ args }) => (args.includes("-C") ? NO : undefined);
      for (let i = 0; i < 5; i++) await pass(ruleset, true);
      expect(postrouting(node)).toHaveLength(1);
      expect((await pass(ruleset, true)).plan.steps).toEqual([]);
    }
  });

  test("a listing of the chain with too few or too many rules is not trusted", async () => {
    const { node, pass, foreign, rules, driver, kernel } = setUp();
    await pass();
    const real = node.interfere;
    const good = rules().map((rule) => `-A ${CHAIN} ${rule}`);
    foreign(() => rules().splice(1, 1));
    node.interfere = (script) =>
      script.args.includes("-S") ? { ...YES, stdout: [`-N ${CHAIN}`, ...good, ""].join("\n") } : real(script);
    expect((await pass()).left.steps).toEqual([]);
    expect(rules()).toHaveLength(3);
    expect(driver.knows(kernel.generation)).toBe(true);
    node.interfere = (script) => (script.args.includes("-S") ? YES : real(script));
    foreign(() => rules().pop());
    const { left } = await pass();
    expect(rules()).toHaveLength(3);
    // A write without effect, while no other process commits, is not a success.
    expect(left.disturbed).toBe(false);
    expect(driver.knows(kernel.generation)).toBe(false);
  });

  test("a commit during an inspection does not count as inspected", async () => {
    const { node, pass, foreign, rules, driver, kernel } = setUp();
    await pass();
    foreign(() => rules().shift());
    const real = node.interfere;
    let left = 20;
    node.interfere = (script) => {
      if (script.args.includes("-S") && left-- > 0) foreign(() => rules().push("-j ACCEPT"));
      return real(script);
    };
    const look = await driver.inspect([ruleset], false);
    expect(look.disturbed).toBe(true);
    expect(driver.knows(kernel.generation)).toBe(false);
  });
});
