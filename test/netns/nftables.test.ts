/**
 * The nf_tables library against the kernel and against nft: what a batch makes is what `nft -f` makes of its text,
 * and what nft makes is read back as values. Each test has network namespaces of its own.
 */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { statements } from "../../src/nftables/arbitrary.ts";
import {
  type AddRule,
  type ChangeElements,
  COUNTER,
  type Interval,
  type Operation,
  type SetKey,
  type Statement,
} from "../../src/nftables/operations.ts";
import { renderScript } from "../../src/nftables/text.ts";
import { describeKernel } from "./fixture.ts";
import { buildRunner, type Runner } from "./nftables-namespace.ts";
import type { Listing } from "./nftables-runner.ts";

const t = { family: "inet", table: "ip-masq-agent" } as const;
const V4 = { ...t, set: "v4", key: "ipv4_addr" } as const;
const V6 = { ...t, set: "v6", key: "ipv6_addr" } as const;
const POST = { ...t, chain: "postrouting" } as const;
const SETS: readonly Operation[] = [
  { op: "add table", ...t },
  { op: "add set", ...V4 },
  { op: "add set", ...V6 },
];
const CHAINS: readonly Operation[] = [
  ...SETS,
  { op: "add chain", ...t, chain: "masq" },
  {
    op: "add chain",
    ...POST,
    base: { type: "nat", hook: "postrouting", priority: 101, policy: "accept" },
  },
];
const RETURN: Statement = { kind: "verdict", verdict: "return" };
const LAST: Readonly<Record<SetKey, bigint>> = { ipv4_addr: 2n ** 32n - 1n, ipv6_addr: 2n ** 128n - 1n };
/** Half of it, which the kernel doubles: the size that a socket has by default. */
const DEFAULT_BUFFER = { bufferBytes: 106_496 };

let runner: Runner;

describeKernel("nf_tables over netlink", () => {
  beforeAll(async () => {
    runner = await buildRunner();
  });
  afterEach(() => runner.leave());
  afterAll(() => runner.remove());

  test.each(Object.entries(rulesets()))("as nft makes it: %s", async (_, operations) => {
    const [ours, theirs] = [runner.enter(), runner.enter()];
    const batches = await ours.call("split", operations);
    await ours.call("batches", batches);
    await theirs.script(renderScript(operations));
    expect(await ours.listing(t)).toEqual(await theirs.listing(t));
    // What nft has made is read as what was to be made, and so is what we have made.
    const expected = expectedListing(operations);
    expect(comparable(await theirs.call("list", t))).toEqual(expected);
    expect(comparable(await ours.call("list", t))).toEqual(expected);
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
    expect(await ours.listing(t)).toEqual(await theirs.listing(t));
    expect(comparable(await theirs.call("list", t))).toEqual(expectedListing(operations));
  });

  test("single elements come and go, between others, beside them and at both ends", async () => {
    const ours = runner.enter();
    const elements = [interval(10n, 19n), interval(30n, 39n), interval(60n, 60n)];
    await ours.call("batches", [[...SETS, { op: "add elements", ...V4, elements }]]);
    const now = async () => (await ours.call("list", t)).sets[0]?.elements;
    const change = (op: "add elements" | "delete elements", ...changed: Interval[]) =>
      ours.call("batches", [[{ op, ...V4, elements: changed }]]);
    const last = interval(LAST.ipv4_addr - 1n, LAST.ipv4_addr);
    await change("add elements", interval(0n, 0n), interval(20n, 29n), last);
    const [ten, thirty, sixty] = elements as [Interval, Interval, Interval];
    expect(await now()).toEqual([interval(0n, 0n), ten, interval(20n, 29n), thirty, sixty, last]);
    await change("delete elements", interval(0n, 0n), interval(20n, 29n), last);
    expect(await now()).toEqual(elements);
    await change("delete elements", thirty);
    expect(await now()).toEqual([ten, sixty]);
    await ours.call("batches", [[{ op: "flush set", ...V4 }]]);
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
    expect((await ours.call("list", t)).sets[0]?.elements).toEqual([large]);
  });

  test("rules are replaced and deleted by handle, and put in front", async () => {
    const ours = runner.enter();
    const rule = (comment: string): Operation => ({
      op: "add rule",
      ...POST,
      statements: [COUNTER, RETURN],
      comment,
    });
    await ours.call("batches", [[...CHAINS, rule("one"), rule("two"), rule("three")]]);
    const comments = async () => (await ours.call("list", t)).rules.map(({ comment }) => comment);
    const [one, two] = (await ours.call("list", t)).rules.map(({ handle }) => handle);
    await ours.call("batches", [
      [
        { op: "replace rule", ...POST, handle: two ?? 0, statements: [RETURN], comment: "second" },
        { op: "delete rule", ...POST, handle: one ?? 0 },
        { op: "insert rule", ...POST, statements: [COUNTER], comment: "front" },
      ],
    ]);
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
    const { rules, sets, chains } = await ours.call("list", t);
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
    const bad: Operation = { op: "flush chain", ...t, chain: "missing" };
    const refused = ours.call("batches", [
      [...CHAINS, bad, { op: "add rule", ...POST, statements: [COUNTER] }],
    ]);
    await expect(refused).rejects.toMatchObject({ code: "ENOENT", op: "flush chain" });
    await expect(ours.call("list", t)).rejects.toMatchObject({ code: "ENOENT" });
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
    await expect(attempt({ op: "create table", ...t })).rejects.toMatchObject({
      code: "EEXIST",
      op: "create table",
    });
    await expect(attempt({ op: "create set", ...V4 })).rejects.toMatchObject({
      code: "EEXIST",
      op: "create set",
    });
    const overlapping = attempt({ op: "add elements", ...V4, elements: [interval(15n, 25n)] });
    await expect(overlapping).rejects.toMatchObject({ code: "EEXIST", op: "add elements" });
    await expect(attempt({ op: "delete set", ...V4 })).rejects.toMatchObject({
      code: "EBUSY",
      op: "delete set",
    });
    const gone = attempt({ op: "delete elements", ...V4, elements: [interval(1n, 2n)] });
    await expect(gone).rejects.toMatchObject({ code: "ENOENT", op: "delete elements" });
    // What is there already is no error for `add`.
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
    expect(await ours.call("open", DEFAULT_BUFFER)).toBe(212_992 - 32);
    const elements = many("ipv4_addr", 20_000);
    const operations: Operation[] = [...SETS, { op: "add elements", ...V4, elements }];
    await expect(ours.call("batches", [operations])).rejects.toMatchObject({ code: "EMSGSIZE" });
    const batches = await ours.call("split", operations);
    expect(batches.length).toBe(4);
    await ours.call("batches", batches);
    expect((await ours.call("list", t)).sets[0]?.elements).toEqual(elements);
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

  test("100,000 intervals: filled, and one of them changed", { timeout: 60_000 }, async () => {
    const ours = runner.enter();
    await ours.call("open", {});
    const elements = many("ipv4_addr", 100_000);
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
      "100,000 intervals:",
      JSON.stringify(figures, (_, value) => (value > 1 ? Math.round(value) : value)),
    );
    expect(fillMs).toBeLessThan(10_000);
    expect(oneMs).toBeLessThan(1_000);
    expect((await ours.call("list", t)).sets[0]?.elements).toEqual(elements);
  });
});

function interval(first: bigint, last: bigint): Interval {
  return { first, last };
}

/** Intervals of 1 to 8 addresses, 64 apart, from the start of the family's addresses. */
function many(key: SetKey, count: number): Interval[] {
  const scale = key === "ipv4_addr" ? 64n : 2n ** 100n;
  return Array.from({ length: count }, (_, index) => {
    const first = BigInt(index) * scale;
    return { first, last: first + BigInt(index % 8) };
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Names that a random rule may have are made ones that exist. */
function intoRuleset(statement: Statement): Statement {
  if (statement.kind === "daddr") return { ...statement, set: statement.family === "ip" ? "v4" : "v6" };
  if (statement.kind === "verdict" && "chain" in statement) return { ...statement, chain: "masq" };
  return statement;
}

/** What is made in the tests above, by name. */
function rulesets(): Record<string, readonly Operation[]> {
  const fill = (set: typeof V4 | typeof V6, elements: readonly Interval[]): Operation[] => [
    ...SETS,
    { op: "add elements", ...set, elements },
  ];
  const rules = (...lists: readonly (readonly Statement[])[]): Operation[] => [
    ...CHAINS,
    ...lists.map((each): Operation => ({ op: "add rule", ...POST, statements: each })),
  ];
  const flags = ["random", "fully-random", "persistent"] as const;
  const subsets = Array.from({ length: 8 }, (_, bits) => flags.filter((_, index) => (bits >> index) & 1));
  const TCP = { kind: "l4proto", protocol: "tcp" } as const;
  const daddr = (family: "ip" | "ip6", negated = false): Statement => {
    return { kind: "daddr", family, set: family === "ip" ? "v4" : "v6", negated };
  };
  const comment = "it's ours: `ü` \\n 漢字 {;}#";
  return {
    "an empty table": [{ op: "add table", ...t }],
    "empty sets": SETS,
    comments: [
      { op: "create table", ...t, comment },
      { op: "create set", ...V4, size: 1000, comment },
      { op: "create chain", ...t, chain: "masq" },
      { op: "add rule", ...t, chain: "masq", statements: [COUNTER], comment: "x".repeat(128) },
      { op: "insert rule", ...t, chain: "masq", statements: [COUNTER, RETURN], comment },
    ],
    "every IPv4 address": fill(V4, [interval(0n, LAST.ipv4_addr)]),
    "every IPv6 address": fill(V6, [interval(0n, LAST.ipv6_addr)]),
    "both ends of IPv4": fill(V4, [interval(0n, 0n), interval(LAST.ipv4_addr, LAST.ipv4_addr)]),
    "both ends of IPv6": fill(V6, [interval(0n, 0n), interval(LAST.ipv6_addr, LAST.ipv6_addr)]),
    "intervals that are no prefix": fill(V4, [interval(5n, 9n), interval(2n ** 31n + 1n, LAST.ipv4_addr)]),
    "1,000 intervals": fill(V4, many("ipv4_addr", 1_000)),
    "1,000 intervals of IPv6": fill(V6, many("ipv6_addr", 1_000)),
    "20,000 intervals": fill(V4, many("ipv4_addr", 20_000)),
    "every flag of masquerade": rules(
      ...subsets.map((chosen): Statement[] => [{ kind: "masquerade", flags: chosen }]),
      ...subsets.map((chosen): Statement[] => [
        TCP,
        { kind: "masquerade", ports: { first: 1024, last: 65_535 }, flags: chosen },
      ]),
    ),
    "ports by chance": rules(
      ...(["tcp", "udp", "sctp"] as const).flatMap((protocol): Statement[][] => [
        [
          { kind: "l4proto", protocol },
          { kind: "numgen random", modulus: 3, below: 1 },
          { kind: "masquerade", ports: { first: 0, last: 0 }, flags: ["random"] },
        ],
        [
          { kind: "l4proto", protocol },
          { kind: "masquerade", ports: { first: 60_000, last: 61_000 }, flags: [] },
        ],
      ]),
    ),
    "everything at once": rules(
      [daddr("ip"), { kind: "counter", packets: 5n, bytes: 2n ** 40n }, RETURN],
      [daddr("ip6", true), COUNTER, { kind: "verdict", verdict: "jump", chain: "masq" }],
      [{ kind: "fib daddr type", type: "local" }, COUNTER, { kind: "verdict", verdict: "accept" }],
      [TCP, daddr("ip"), daddr("ip"), { kind: "verdict", verdict: "goto", chain: "masq" }],
      [daddr("ip6"), TCP, { kind: "verdict", verdict: "drop" }],
    ),
  };
}

/** What reading should find of what the operations make, in the kernel's order. */
function expectedListing(operations: readonly Operation[]): unknown {
  const sets = operations.flatMap((each) =>
    each.op === "add set" || each.op === "create set" ? [each] : [],
  );
  const elementsOf = (name: string) =>
    operations.flatMap((each) => (isElementsOf(each, name) ? each.elements : []));
  return {
    table: operations
      .filter((each) => each.op === "add table" || each.op === "create table")
      .map(withoutOp)[0],
    chains: operations.filter((each) => each.op === "add chain" || each.op === "create chain").map(withoutOp),
    sets: sets.map((each) => ({ ...withoutOp(each), elements: elementsOf(each.set) })),
    rules: [
      ...operations.filter((each) => each.op === "insert rule").map(withoutOp),
      ...operations.filter((each) => each.op === "add rule").map(withoutOp),
    ],
  };
}

function isElementsOf(operation: Operation, name: string): operation is ChangeElements {
  return operation.op === "add elements" && "set" in operation && operation.set === name;
}

function withoutOp({ op: _, ...rest }: Operation): object {
  return rest;
}

/** A listing without what only the kernel knows. */
function comparable({ table, chains, sets, rules }: Listing): unknown {
  const { dormant, ...rest } = table;
  expect(dormant).toBe(false);
  const plain = ({ handle: _, ...each }: { readonly handle: number }) => each;
  return {
    table: plain(rest),
    chains: chains.map(plain),
    sets: sets.map(({ set: { flags, ...set }, elements }) => {
      expect(flags).toEqual(["interval"]);
      return { ...plain(set), elements };
    }),
    rules: rules.map(plain),
  };
}
