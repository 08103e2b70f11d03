/**
 * The nf_tables library against the kernel and against nft: what a batch makes is what `nft -f` makes of its text,
 * and what nft makes is read back as values. Each test has network namespaces of its own.
 */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  type AddRule,
  COUNTER,
  type ElementInterval,
  type Operation,
  type Statement,
} from "../../../src/netlink/operations.ts";
import { renderScript } from "../../../src/netlink/text.ts";
import { times } from "../../lab/length.ts";
import { describeKernel } from "../../lab/network/fixture.ts";
import { buildRunner, type Runner } from "../../lab/network/nftables-namespace.ts";
import {
  CHAINS,
  comparable,
  expectedListing,
  interval,
  LAST,
  many,
  POST,
  RETURN,
  rulesets,
  SETS,
  TABLE,
  V4,
} from "../../lab/network/nftables-rulesets.ts";
import { statements } from "../../lab/nftables-arbitrary.ts";

/** A list that takes several batches. */
const MANY = times(30_000, 100_000);

/** Half of it, which the kernel doubles: the size that a socket has by default. */
const DEFAULT_BUFFER = { bufferBytes: 106_496 };

let runner: Runner;

describeKernel("nf_tables over netlink", () => {
  beforeAll(async () => {
    runner = await buildRunner();
  });
  afterEach(() => runner.leave());
  afterAll(() => runner.remove());

  test("commits are heard although the caller keeps nothing of the socket", async () => {
    expect(await runner.enter().call("heard", "add table inet other\n")).toBe("nft");
  });

  test.each(Object.entries(rulesets()))("as nft makes it: %s", async (_, operations) => {
    const [ours, theirs] = [runner.enter(), runner.enter()];
    const batches = await ours.call("split", operations);
    await ours.call("batches", batches);
    await theirs.script(renderScript(operations));
    expect(await ours.listing(TABLE)).toEqual(await theirs.listing(TABLE));
    // What nft has made is read as what was to be made, and so is what we have made.
    const expected = expectedListing(operations);
    expect(comparable(await theirs.call("list", TABLE))).toEqual(expected);
    expect(comparable(await ours.call("list", TABLE))).toEqual(expected);
  });

  test("as nft makes it: random rules", async () => {
    const [sample] = fc.sample(fc.array(statements, { minLength: 60, maxLength: 60 }), {
      numRuns: 1,
      seed: 7,
    });
    const known = (sample ?? []).map((each) => each.map(intoRuleset));
    const rules = known.map((each): AddRule => ({ op: "add rule", ...POST, statements: each }));
    const operations = [...CHAINS, ...rules];
    const [ours, theirs] = [runner.enter(), runner.enter()];
    await ours.call("batches", [operations]);
    await theirs.script(renderScript(operations));
    expect(await ours.listing(TABLE)).toEqual(await theirs.listing(TABLE));
    expect(comparable(await theirs.call("list", TABLE))).toEqual(expectedListing(operations));
  });

  test("single elements come and go, between others, beside them and at both ends", async () => {
    const ours = runner.enter();
    const elements = [interval(10n, 19n), interval(30n, 39n), interval(60n, 60n)];
    await ours.call("batches", [[...SETS, { op: "add elements", ...V4, elements }]]);
    const now = async () => (await ours.call("list", TABLE)).sets[0]?.elements;
    const change = (op: "add elements" | "delete elements", ...changed: ElementInterval[]) =>
      ours.call("batches", [[{ op, ...V4, elements: changed }]]);
    const last = interval(LAST.ipv4_addr - 1n, LAST.ipv4_addr);
    await change("add elements", interval(0n, 0n), interval(20n, 29n), last);
    const [ten, thirty, sixty] = elements as [ElementInterval, ElementInterval, ElementInterval];
    expect(await now()).toEqual([interval(0n, 0n), ten, interval(20n, 29n), thirty, sixty, last]);
    await change("delete elements", interval(0n, 0n), interval(20n, 29n), last);
    expect(await now()).toEqual(elements);
    await change("delete elements", thirty);
    expect(await now()).toEqual([ten, sixty]);
    await change("delete elements", ten, sixty);
    expect(await now()).toEqual([]);
  });

  test("one interval is exchanged for another that overlaps it, in one transaction", async () => {
    const ours = runner.enter();
    const [small, large] = [interval(0x0a000000n, 0x0a0000ffn), interval(0x0a000000n, 0x0affffffn)];
    await ours.call("batches", [[...SETS, { op: "add elements", ...V4, elements: [small] }]]);
    await ours.call("batches", [
      [
        { op: "delete elements", ...V4, elements: [small] },
        { op: "add elements", ...V4, elements: [large] },
      ],
    ]);
    expect((await ours.call("list", TABLE)).sets[0]?.elements).toEqual([large]);
  });

  test("rules are deleted by handle; what nft replaces and puts in front is read in its place", async () => {
    const ours = runner.enter();
    const rule = (comment: string): Operation => ({
      op: "add rule",
      ...POST,
      statements: [COUNTER, RETURN],
      comment,
    });
    await ours.call("batches", [[...CHAINS, rule("one"), rule("two"), rule("three")]]);
    const comments = async () => (await ours.call("list", TABLE)).rules.map(({ comment }) => comment);
    const [one, two] = (await ours.call("list", TABLE)).rules.map(({ handle }) => handle);
    await ours.call("batches", [[{ op: "delete rule", ...POST, handle: one ?? 0 }]]);
    await ours.script(`
      replace rule inet ip-masq-agent postrouting handle ${two} return comment "second"
      insert rule inet ip-masq-agent postrouting counter comment "front"`);
    expect(await comments()).toEqual(["front", "second", "three"]);
    await ours.call("batches", [[{ op: "flush chain", ...POST }]]);
    expect(await comments()).toEqual([]);
  });

  test("what others add is seen", async () => {
    const ours = runner.enter();
    const statements = [COUNTER, RETURN];
    await ours.call("batches", [[...CHAINS, { op: "add rule", ...POST, statements }]]);
    await ours.script(`
      add rule inet ip-masq-agent postrouting ct state new limit rate 5/second ip daddr @v4 accept
      add set inet ip-masq-agent ports { type inet_service; flags timeout; size 5; }
      add chain inet ip-masq-agent early { type filter hook prerouting priority -300; policy drop; }`);
    const { rules, sets, chains } = await ours.call("list", TABLE);
    expect(rules.map((rule) => rule.statements.map(({ kind }) => kind))).toEqual([
      ["counter", "verdict"],
      ["unknown", "unknown", "unknown", "unknown", "daddr", "verdict"],
    ]);
    expect(sets[2]?.set).toMatchObject({ set: "ports", key: "type 13", flags: ["timeout"], size: 5 });
    const base = { type: "filter", hook: "prerouting", priority: -300, policy: "drop" };
    expect(chains.find(({ chain }) => chain === "early")?.base).toEqual(base);
  });

  test("an error names the operation, and leaves nothing applied", async () => {
    const ours = runner.enter();
    const before = await ours.call("generation", null);
    const bad: Operation = { op: "flush chain", ...TABLE, chain: "missing" };
    const refused = ours.call("batches", [
      [...CHAINS, bad, { op: "add rule", ...POST, statements: [COUNTER] }],
    ]);
    await expect(refused).rejects.toMatchObject({ code: "ENOENT", op: "flush chain" });
    await expect(ours.call("list", TABLE)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await ours.call("generation", null)).toBe(before);
    expect(await ours.call("nft", { args: ["list", "ruleset"], stdin: "" })).toBe("");
    await ours.call("batches", [CHAINS]);
    expect(await ours.call("generation", null)).toBe(before + 1);
  });

  test("the kernel's reasons keep their names", async () => {
    const ours = runner.enter();
    const attempt = (...operations: readonly Operation[]) => ours.call("batches", [operations]);
    await expect(attempt({ op: "add set", ...V4 })).rejects.toThrow(/^add set inet ip-masq-agent v4: ENOENT/);
    const used: Operation = {
      op: "add rule",
      ...POST,
      statements: [{ kind: "daddr", family: "ip", set: "v4", negated: false }],
    };
    await attempt(...CHAINS, used, { op: "add elements", ...V4, elements: [interval(10n, 19n)] });
    const masq = (await ours.call("list", TABLE)).chains.find(({ chain }) => chain === "masq");
    const renamed = attempt({
      op: "rename chain",
      ...TABLE,
      chain: "masq",
      handle: masq?.handle ?? 0,
      name: "postrouting",
    });
    await expect(renamed).rejects.toMatchObject({ code: "EEXIST", op: "rename chain" });
    await expect(attempt({ op: "add set", ...V4, key: "ipv6_addr" })).rejects.toMatchObject({
      code: "EEXIST",
      op: "add set",
    });
    const overlapping = attempt({ op: "add elements", ...V4, elements: [interval(15n, 25n)] });
    await expect(overlapping).rejects.toMatchObject({ code: "EEXIST", op: "add elements" });
    await expect(attempt({ op: "delete set", ...V4 })).rejects.toMatchObject({
      code: "EBUSY",
      op: "delete set",
    });
    const gone = attempt({ op: "delete elements", ...V4, elements: [interval(1n, 2n)] });
    await expect(gone).rejects.toMatchObject({ code: "ENOENT", op: "delete elements" });
    // An existing object is not an error for `add`.
    await attempt(...CHAINS);
  });

  test("without CAP_NET_ADMIN everything is EPERM", async () => {
    const nobody = [
      "setpriv",
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "--bounding-set=-net_admin",
    ];
    const ours = runner.enter(nobody);
    await expect(ours.call("batches", [CHAINS])).rejects.toMatchObject({ code: "EPERM" });
    await expect(ours.call("generation", null)).rejects.toMatchObject({ code: "EPERM" });
  });

  test("with the send buffer at the kernel's default, a large change is EMSGSIZE, or several batches", async () => {
    const ours = runner.enter();
    expect(await ours.call("open", DEFAULT_BUFFER)).toBe(212_992 - 72);
    const elements = many("ipv4_addr", 20_000);
    const operations: Operation[] = [...SETS, { op: "add elements", ...V4, elements }];
    await expect(ours.call("batches", [operations])).rejects.toMatchObject({ code: "EMSGSIZE" });
    const batches = await ours.call("split", operations);
    expect(batches.length).toBe(4);
    await ours.call("batches", batches);
    expect((await ours.call("list", TABLE)).sets[0]?.elements).toEqual(elements);
  });

  test("refusals of a batch as large as the buffers all arrive", async () => {
    const ours = runner.enter();
    await ours.call("open", DEFAULT_BUFFER);
    const operation: Operation = { op: "add elements", ...V4, elements: many("ipv4_addr", 20_000) };
    const [full] = await ours.call("split", [operation]);
    await expect(ours.call("batches", [full ?? []])).rejects.toMatchObject({
      code: "ENOENT",
      op: "add elements",
    });
  });

  test(`${MANY} intervals: filled, and one of them changed`, async () => {
    const ours = runner.enter();
    await ours.call("open", {});
    const elements = many("ipv4_addr", MANY);
    const batches = await ours.call("split", [...SETS, { op: "add elements", ...V4, elements }]);
    const fillMs = sum(await ours.call("batches", batches));
    const one = [interval(1n, 1n)];
    const changes: Operation[][] = Array.from({ length: 10 }, (_, index) => [
      { op: index % 2 === 0 ? "add elements" : "delete elements", ...V4, elements: one },
    ]);
    const oneMs = (await ours.call("batches", changes)).sort((a, b) => a - b)[5] ?? 0;
    const encodeMs = await ours.call("encode", [{ op: "add elements", ...V4, elements }]);
    const peakMb = await ours.call("peakMb", null);
    const figures = { batches: batches.length, fillMs, oneMs, encodeMs, peakMb };
    console.info(
      `${MANY} intervals:`,
      JSON.stringify(figures, (_, value) => (value > 1 ? Math.round(value) : value)),
    );
    expect(oneMs).toBeLessThan(fillMs / 5);
    expect((await ours.call("list", TABLE)).sets[0]?.elements).toEqual(elements);
  });
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Names that a random rule may have are made ones that exist. */
function intoRuleset(statement: Statement): Statement {
  if ("set" in statement) return { ...statement, set: statement.family === "ip" ? "v4" : "v6" };
  if (statement.kind === "verdict" && "chain" in statement) return { ...statement, chain: "masq" };
  return statement;
}
