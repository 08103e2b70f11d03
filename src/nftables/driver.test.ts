import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { applyBatch, type Model, type ModelObject, stateOf } from "../../test/lab/memory/table.ts";
import { createBackoff } from "../agent/backoff.ts";
import { type Group, reconcileGroup } from "../agent/group.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Query } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { renderName } from "../netlink/text.ts";
import { nftablesDriver } from "./driver.ts";
import { ownerComment } from "./plan.ts";
import { CHAIN } from "./sets.ts";

const NAME = "IP-MASQ-AGENT";

const ipv4 = (...cidrs: string[]) => rulesetOf("IPv4", `nonMasqueradeCIDRs: ${JSON.stringify(cidrs)}`);
const ipv6 = rulesetOf("IPv6", "", { enableIPv6: true });

/** A kernel with our table, or none, and a driver for it. */
function setUp(start?: Model) {
  const kernel = {
    model: start,
    generation: 7,
    calls: [] as string[],
    closed: 0,
    opened: 0,
    fail: undefined as Error | undefined,
    /** Whether objects cannot be deleted. */
    keepsObjects: false,
  };
  const answer = (what: string): unknown => {
    const { table, chains, sets, rules, objects } = stateOf(kernel.model);
    const [kind = "", ...name] = what.split(" ");
    if (kind === "table") {
      if (table === undefined) throw new NftablesError({ code: "ENOENT", what, why: "not there" });
      return table;
    }
    if (kind === "sets") return sets.map(({ set }) => set);
    if (kind === "elements") return sets.find(({ set }) => set.set === name.at(-1))?.elements ?? [];
    if (kind === "chains") return chains;
    if (kind === "objects" || kind === "flowtables") return objects.filter((one) => kind === `${one.kind}s`);
    if (what === `rules of inet ip-masq-agent ${CHAIN.chain}`) return rules;
    throw new Error(`the model does not have ${what}`);
  };
  const failing = () => {
    const { fail } = kernel;
    kernel.fail = undefined;
    if (fail !== undefined) throw fail;
  };
  const nftables: Nftables = {
    async read<T>({ what }: Query<T>) {
      failing();
      kernel.calls.push(what);
      return answer(what) as T;
    },
    async batch(operations) {
      failing();
      kernel.calls.push(operations.map(renderName).join("; "));
      const operation = operations.find((one) => "kind" in one && one.kind === "object");
      if (kernel.keepsObjects && operation !== undefined)
        throw new NftablesError({ code: "EBUSY", what: "it", why: "it is still in use", operation });
      kernel.model = applyBatch(kernel.model, operations);
      kernel.generation++;
    },
    generation: async () => kernel.generation,
    maxBatchBytes: 400_000,
    close: () => kernel.closed++,
  };
  const open = async () => {
    failing();
    kernel.opened++;
    return nftables;
  };
  const driver = nftablesDriver(NAME, new AbortController().signal, { open });
  const pass = async (...group: Ruleset[]) => {
    kernel.calls.length = 0;
    const plan = await driver.inspect(group, true);
    await driver.apply(plan, group);
    return { plan, calls: kernel.calls.slice() };
  };
  return { kernel, driver, pass };
}

const EPERM = new NftablesError({ code: "EPERM", what: "table", why: "may not" });

/** The queries that read our table with a list of IPv4. */
const READ = [
  "table inet ip-masq-agent",
  "sets of inet ip-masq-agent",
  "elements of inet ip-masq-agent keep-ipv4",
  "chains of inet ip-masq-agent",
  "rules of inet ip-masq-agent postrouting",
  "objects of inet ip-masq-agent",
  "flowtables of inet ip-masq-agent",
];

test("both families are one group, in one table", () => {
  const { driver } = setUp();
  const group = [ipv4(), ipv6];
  expect(driver.groups(group)).toEqual([group]);
  expect(driver.place(group)).toBe("table inet ip-masq-agent");
});

test("it asks a fresh kernel for the table only, and programs all of it", async () => {
  const { pass } = setUp();
  expect((await pass(ipv4("10.0.0.0/8"), ipv6)).calls).toMatchInlineSnapshot(`
    [
      "table inet ip-masq-agent",
      "add table inet ip-masq-agent; add set inet ip-masq-agent keep-ipv4; add element inet ip-masq-agent keep-ipv4; add set inet ip-masq-agent keep-ipv6; add element inet ip-masq-agent keep-ipv6",
      "add chain inet ip-masq-agent postrouting; add rule inet ip-masq-agent postrouting; add rule inet ip-masq-agent postrouting; add rule inet ip-masq-agent postrouting; add rule inet ip-masq-agent postrouting; add rule inet ip-masq-agent postrouting",
      "sets of inet ip-masq-agent",
      "table inet ip-masq-agent",
      "sets of inet ip-masq-agent",
      "elements of inet ip-masq-agent keep-ipv4",
      "elements of inet ip-masq-agent keep-ipv6",
      "chains of inet ip-masq-agent",
      "rules of inet ip-masq-agent postrouting",
      "objects of inet ip-masq-agent",
      "flowtables of inet ip-masq-agent",
    ]
  `);
});

test("an earlier agent's table is read, and one element changed", async () => {
  const first = setUp();
  await first.pass(ipv4("10.0.0.0/8"));
  const second = setUp(first.kernel.model);
  expect((await second.pass(ipv4("10.0.0.0/8", "12.0.0.0/8"))).calls).toMatchInlineSnapshot(`
    [
      "table inet ip-masq-agent",
      "sets of inet ip-masq-agent",
      "elements of inet ip-masq-agent keep-ipv4",
      "chains of inet ip-masq-agent",
      "rules of inet ip-masq-agent postrouting",
      "objects of inet ip-masq-agent",
      "flowtables of inet ip-masq-agent",
      "add element inet ip-masq-agent keep-ipv4",
      "table inet ip-masq-agent",
      "sets of inet ip-masq-agent",
      "elements of inet ip-masq-agent keep-ipv4",
      "chains of inet ip-masq-agent",
      "rules of inet ip-masq-agent postrouting",
      "objects of inet ip-masq-agent",
      "flowtables of inet ip-masq-agent",
    ]
  `);
});

describe("a plan that was carried out", () => {
  test("leaves nothing to do for an agent that reads all of it", async () => {
    const { pass, kernel } = setUp();
    const group = [ipv4("10.0.0.0/8"), ipv6];
    await pass(...group);
    expect((await setUp(kernel.model).pass(...group)).plan.steps).toEqual([]);
  });

  test("and without later commits is not read again, nor for another list", async () => {
    const { driver, pass, kernel } = setUp();
    const group = [ipv4("10.0.0.0/8")];
    await driver.apply(await driver.inspect(group, true), group);
    kernel.calls.length = 0;
    await driver.apply(await driver.inspect(group, true), group);
    expect(kernel.calls).toEqual([]);
    expect((await pass(ipv4("11.0.0.0/8"))).calls).toEqual([
      "delete element inet ip-masq-agent keep-ipv4; add element inet ip-masq-agent keep-ipv4",
      "sets of inet ip-masq-agent",
      ...READ,
    ]);
  });

  test("is read again after a commit of another process, and healed", async () => {
    const { driver, kernel } = setUp();
    const group = [ipv4("10.0.0.0/8")];
    await driver.apply(await driver.inspect(group, true), group);
    kernel.model = applyBatch(kernel.model, [{ op: "flush chain", ...CHAIN }]);
    kernel.generation++;
    const plan = await driver.inspect(group, true);
    expect(plan.drift).toHaveLength(3);
    await driver.apply(plan, group);
    expect((await driver.inspect(group, true)).steps).toEqual([]);
  });

  test("while another process committed is not taken for granted", async () => {
    const { driver, kernel } = setUp();
    const group = [ipv4("10.0.0.0/8")];
    const plan = await driver.inspect(group, true);
    kernel.generation++;
    await driver.apply(plan, group);
    kernel.model = applyBatch(kernel.model, [{ op: "flush chain", ...CHAIN }]);
    expect((await driver.inspect(group, true)).drift).toHaveLength(3);
  });

  test("is not taken for granted if it failed half way", async () => {
    const { driver, kernel } = setUp();
    const group = [ipv4("10.0.0.0/8")];
    const plan = await driver.inspect(group, true);
    kernel.fail = EPERM;
    await expect(driver.apply(plan, group)).rejects.toThrow("EPERM");
    await driver.apply(await driver.inspect(group, true), group);
    expect((await setUp(kernel.model).pass(...group)).plan.steps).toEqual([]);
  });
});

test("a transaction that fails while another process commits runs again at once, but not repeatedly", async () => {
  const { driver, kernel } = setUp();
  const group = [ipv4("10.0.0.0/8")];
  const disturb = () => {
    kernel.generation++;
    kernel.fail = EPERM;
  };
  let plan = await driver.inspect(group, true);
  disturb();
  plan = await driver.apply(plan, group);
  expect(plan).toMatchObject({ disturbed: true });
  disturb();
  await expect(driver.apply(plan, group)).rejects.toThrow("EPERM");
  expect((await driver.apply(await driver.inspect(group, true), group)).steps).toEqual([]);
});

describe("the socket", () => {
  test("is opened once, when it is needed", async () => {
    const { kernel, pass } = setUp();
    expect(kernel.opened).toBe(0);
    for (const cidr of ["10.0.0.0/8", "11.0.0.0/8"]) await pass(ipv4(cidr));
    expect(kernel.opened).toBe(1);
  });

  test("is opened again after it could not be", async () => {
    const { kernel, pass, driver } = setUp();
    kernel.fail = new NetlinkUnavailable("linux-x64", new Error("no native build"));
    await expect(driver.inspect([ipv4()], true)).rejects.toThrow(NetlinkUnavailable);
    await pass(ipv4());
    expect(kernel.opened).toBe(1);
    expect(kernel.model).toBeDefined();
  });

  test("that failed to answer is used again", async () => {
    const { kernel, pass } = setUp();
    kernel.fail = EPERM;
    await expect(pass(ipv4()).catch((error: Error) => Promise.reject(error))).rejects.toThrow("EPERM");
    await pass(ipv4());
    expect(kernel.model).toBeDefined();
  });

  test("is closed, and opened again for later callers", async () => {
    const { kernel, pass, driver } = setUp();
    driver.close();
    await pass(ipv4());
    driver.close();
    driver.close();
    await Promise.resolve();
    expect([kernel.opened, kernel.closed]).toEqual([1, 1]);
    await pass(ipv4());
    expect(kernel.opened).toBe(2);
  });
});

describe("a foreign table", () => {
  const foreign = { comment: ownerComment("OTHER"), chains: {}, sets: {} };

  test("is refused, as an error, and stays", async () => {
    const { kernel, pass } = setUp(foreign);
    await expect(pass(ipv4("10.0.0.0/8"))).rejects.toThrow("it is not ours");
    expect(kernel.model).toEqual(foreign);
  });

  test("is not removed", async () => {
    const { kernel, driver } = setUp(foreign);
    expect(await driver.remove()).toEqual([]);
    expect(kernel.model).toEqual(foreign);
  });

  test("may make room for ours", async () => {
    const { kernel, pass } = setUp(foreign);
    await expect(pass(ipv4("10.0.0.0/8"))).rejects.toThrow("it is not ours");
    kernel.model = undefined;
    kernel.generation++;
    await pass(ipv4("10.0.0.0/8"));
    expect(stateOf(kernel.model).table?.comment).toBe(ownerComment(NAME));
  });
});

describe("removing", () => {
  test("where there is nothing does nothing", async () => {
    const { kernel, driver } = setUp();
    expect(await driver.remove()).toEqual([]);
    expect(kernel.generation).toBe(7);
  });

  test("takes the table with all that it has", async () => {
    const { kernel, driver, pass } = setUp();
    await pass(ipv4("10.0.0.0/8"), ipv6);
    expect(await driver.remove()).toEqual(["table inet ip-masq-agent"]);
    expect(kernel.model).toBeUndefined();
  });

  test("that cannot read is a failure", async () => {
    const { kernel, driver } = setUp();
    await driver.inspect([ipv4()], true);
    kernel.fail = EPERM;
    await expect(driver.remove()).rejects.toThrow("EPERM");
  });
});

test("it reads only the name of a set whose keys are not addresses", async () => {
  const start = setUp();
  await start.pass(ipv4("10.0.0.0/8"));
  const { sets, ...rest } = start.kernel.model ?? { chains: {}, sets: {} };
  const { kernel, pass } = setUp({
    ...rest,
    sets: { ...sets, theirs: { key: "type 13", flags: [], elements: [] } },
  });
  const { calls } = await pass(ipv4("10.0.0.0/8"));
  const [keep] = READ.filter((call) => call.startsWith("elements"));
  expect(calls.filter((call) => call.startsWith("elements"))).toEqual([keep, keep]);
  expect(Object.keys(kernel.model?.sets ?? {})).toEqual(["keep-ipv4"]);
});

describe("foreign objects that cannot be removed", () => {
  const COUNTER = { kind: "object", type: 1, name: "theirs" } as const;

  async function start() {
    const { kernel, driver, pass } = setUp();
    const rulesets = [ipv4("10.0.0.0/8")];
    await pass(...rulesets);
    const { log, taken } = recordedLog();
    const group: Group = { label: "IPv4", rulesets, backoff: createBackoff(() => 0), applied: rulesets };
    const reconcile = (thorough: boolean) =>
      reconcileGroup(driver, group, { thorough, rounds: 3 }, { now: () => 0, log });
    const commit = (objects: readonly ModelObject[]) => {
      kernel.model = { chains: {}, sets: {}, ...kernel.model, objects };
      kernel.generation++;
    };
    return { kernel, reconcile, commit, taken };
  }

  test("is a warning, once for the same things, and the rules are in force", async () => {
    const { kernel, reconcile, commit, taken } = await start();
    kernel.keepsObjects = true;
    commit([COUNTER]);
    expect(await reconcile(false)).toMatchObject({ inForce: true, healed: [], drift: [], applied: 0 });
    expect(taken()).toEqual([
      "W IPv4: counter theirs in the agent's table is foreign and cannot be removed (EBUSY: it is still in use); the masquerade rules are correct nevertheless",
    ]);
    for (const thorough of [false, true, true]) {
      kernel.calls.length = 0;
      expect(await reconcile(thorough)).toMatchObject({ inForce: true, healed: [] });
      expect(kernel.calls.some((call) => call.startsWith("delete counter"))).toBe(thorough);
    }
    expect(taken()).toEqual([]);
    commit([COUNTER, { ...COUNTER, name: "another" }]);
    await reconcile(true);
    expect(taken()).toHaveLength(2);
  });

  test("is removed by a later thorough inspection, once that is possible", async () => {
    const { kernel, reconcile, commit, taken } = await start();
    kernel.keepsObjects = true;
    commit([COUNTER]);
    await reconcile(false);
    kernel.keepsObjects = false;
    taken();
    expect(await reconcile(true)).toMatchObject({ inForce: true, drift: [{ kind: "extra" }] });
    expect(taken()).toEqual(["W IPv4: healed: counter theirs was unexpected"]);
    expect(kernel.model?.objects).toEqual([]);
  });
});
