import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { recordedLog } from "../../test/lab/log.ts";
import type { Driver } from "../backend/driver.ts";
import { SETTLE_MS } from "./changed-signs.ts";
import type { Chosen, Decision } from "./choose.ts";
import { type Engine, followChoice } from "./follow.ts";
import type { PassOutcome } from "./reconcile.ts";

const RESYNC_MS = 60_000;

const OUTCOME: PassOutcome = {
  startedAt: 0,
  durationMs: 0,
  drift: [],
  healed: [],
  applied: 0,
  errors: [],
  failures: [],
  failed: false,
  again: false,
  config: { problems: [], failed: false, isNew: false, source: "/c", hash: null },
  current: undefined,
  groups: [],
  leaving: [],
  resyncIntervalMs: RESYNC_MS,
  dueInMs: RESYNC_MS,
};

const IPTABLES: Chosen = { ok: true, name: "iptables", why: "iptables works", variant: "path" };
const NFTABLES: Chosen = { ok: true, name: "nftables", why: "kube-proxy uses nftables", variant: "path" };
const LEGACY: Chosen = { ...IPTABLES, why: "--backend", variant: "legacy" };

/** A node on which kube-proxy's table is there or not, and an agent that began without it. */
function agent({ watch = true, choices = {} as Readonly<Record<string, Decision>> } = {}) {
  const { log, taken } = recordedLog();
  const state = {
    at: 0,
    seen: "" as string | undefined,
    /** Names of backends whose pass fails. */
    failing: new Set<string>(),
    /** Whether a pass ends with rules that are not in force. */
    undone: false,
    /** Backends whose tools still run, and whether a choice or a removal is under way. */
    working: new Set<string>(),
    choosing: false,
    clearing: false,
    config: OUTCOME.config,
    built: 0,
    closed: 0,
    chosen: 0,
    moved: [] as string[],
    passes: [] as string[],
  };
  const choose = async (): Promise<Decision | undefined> => {
    if (state.choosing) return undefined;
    state.chosen++;
    return choices[state.seen ?? ""] ?? (state.seen === "" ? IPTABLES : NFTABLES);
  };
  const build = (choice: Chosen): Engine => {
    state.built++;
    const driver = { close: () => state.closed++, knows: () => true, heard: () => {} } as unknown as Driver;
    const reconcile = async () => {
      state.passes.push(choice.name);
      const errors = state.failing.has(choice.name) ? ["no"] : [];
      const working = state.working.has(choice.name) && { inForce: false, isUnderWay: true as const };
      const groups = [{ label: "IPv4", rulesets: [], changed: true, inForce: !state.undone, ...working }];
      return {
        ...OUTCOME,
        groups,
        config: state.config,
        errors,
        failures: errors.map(() => "tool" as const),
      };
    };
    return { choice, driver, reconcile };
  };
  const followed = followChoice(build(IPTABLES), "", {
    readSigns: async () => state.seen,
    choose,
    build,
    tasks: ({ choice }) => [async () => void state.passes.push(`clear for ${choice.name}`)],
    isFree: () => !state.clearing,
    moved: () => state.moved.push(followed.engine().choice.name),
    now: () => state.at,
    log,
    watch,
  });
  /** A pass so many milliseconds later. */
  const pass = async (ms = 0, seen: string | undefined = state.seen) => {
    state.at += ms;
    state.seen = seen;
    return followed.reconcile();
  };
  return { state, pass, taken, followed, name: () => followed.engine().choice.name };
}

describe("a move", () => {
  test("comes when new signs have lasted, and requests the pass for it", async () => {
    const { state, pass, name, taken } = agent();
    expect(await pass(0)).toMatchObject({ errors: [], dueInMs: RESYNC_MS });
    expect(await pass(1_000, "table")).toMatchObject({ dueInMs: SETTLE_MS });
    expect(await pass(1_000)).toMatchObject({ dueInMs: SETTLE_MS - 1_000 });
    expect({ name: name(), chosen: state.chosen }).toEqual({ name: "iptables", chosen: 0 });
    expect(await pass(SETTLE_MS - 1_000)).toMatchObject({ dueInMs: RESYNC_MS, errors: [] });
    expect({ name: name(), moved: state.moved }).toEqual({ name: "nftables", moved: ["nftables"] });
    expect(taken()).toEqual([
      "I backend: nftables (kube-proxy uses nftables) instead of iptables (iptables works)",
    ]);
    // The old one had its turn before, and closed its sockets.
    expect(state.passes.slice(-2)).toEqual(["iptables", "nftables"]);
    expect(state.closed).toBe(1);
  });

  test("leaves the clearing away to the new one, from the start", async () => {
    const { pass, followed, state } = agent();
    followed.tasks().shift();
    await pass(0, "table");
    await pass(SETTLE_MS);
    for (const task of followed.tasks()) await task();
    expect(state.passes.at(-1)).toBe("clear for nftables");
  });

  test("does not come while a pass sooner than the resync is not allowed, but then it does", async () => {
    const { pass, name } = agent({ watch: false });
    expect(await pass(0, "table")).toMatchObject({ dueInMs: RESYNC_MS });
    await pass(RESYNC_MS);
    expect(name()).toBe("nftables");
  });

  test.for([
    [0, 100],
    [0, 2_900],
  ])(
    "does not come for signs that are back sooner: gone at %d ms for %d ms",
    async ([before = 0, ms = 0]) => {
      const { state, pass, name } = agent();
      await pass(0, "table");
      await pass(SETTLE_MS);
      const { built } = state;
      await pass(before, "");
      await pass(ms, "table");
      for (let i = 0; i < 10; i++) await pass(1_000);
      expect({ name: name(), built: state.built }).toEqual({ name: "nftables", built });
    },
  );

  test("between variants is one, another reason is none", async () => {
    const choices = { mangle: LEGACY, other: { ...IPTABLES, why: "another" } };
    const { pass, followed, state } = agent({ choices });
    for (const [seen, variant, moves] of [
      ["other", "path", 0],
      ["mangle", "legacy", 1],
      ["", "path", 2],
    ] as const) {
      await pass(0, seen);
      await pass(SETTLE_MS);
      expect(followed.engine().choice.variant).toBe(variant);
      expect(state.moved).toHaveLength(moves);
      expect(followed.engine().choice).toEqual(choices[seen as keyof typeof choices] ?? IPTABLES);
    }
  });
});

describe("no move", () => {
  test("while the new rules are not in force: the old backend goes on, errors are said, and pauses grow", async () => {
    const { state, pass, name, taken } = agent();
    state.failing.add("nftables");
    await pass(0, "table");
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) {
      const outcome = await pass(i === 0 ? SETTLE_MS : waits.at(-1));
      expect(outcome.errors).toEqual(["moving to nftables (kube-proxy uses nftables): no"]);
      expect(outcome.failed).toBe(false);
      waits.push(outcome.dueInMs);
    }
    expect(waits).toEqual([3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000]);
    // One candidate for all tries, since it remembers its log lines.
    expect({ name: name(), built: state.built, log: taken() }).toEqual({
      name: "iptables",
      built: 2,
      log: [],
    });
    state.failing.clear();
    await pass(waits.at(-1));
    expect(name()).toBe("nftables");
  });

  test("and the rules of a failed one go once it is not wanted any more", async () => {
    const { state, pass, followed, name } = agent();
    followed.tasks().shift();
    state.failing.add("nftables");
    await pass(0, "table");
    await pass(SETTLE_MS);
    expect(await pass(0, "")).toMatchObject({ errors: [] });
    expect({ name: name(), closed: state.closed }).toEqual({ name: "iptables", closed: 1 });
    expect(followed.tasks()).toHaveLength(1);
  });

  test("while the configuration is bad: the last good one is the old backend's", async () => {
    const { state, pass, name } = agent();
    state.config = { ...OUTCOME.config, problems: ["bad"] };
    await pass(0, "table");
    for (let i = 0; i < 5; i++) await pass(SETTLE_MS);
    expect(name()).toBe("iptables");
    state.config = OUTCOME.config;
    await pass();
    expect(name()).toBe("nftables");
  });

  test("where no backend works any more, with one warning", async () => {
    const choices = { table: { ok: false, lacks: ["iptables: gone", "nftables: gone"] } as const };
    const { pass, name, taken, state } = agent({ choices });
    await pass(0, "table");
    for (let i = 0; i < 3; i++) await pass(SETTLE_MS);
    expect(name()).toBe("iptables");
    expect(taken()).toEqual(["W the backend stays iptables: iptables: gone; nftables: gone"]);
    expect(state.chosen).toBe(1);
  });

  test.each<[string, (state: ReturnType<typeof agent>["state"], is: boolean) => unknown]>([
    [
      "the old backend's tools are at work",
      ({ working }, is) => (is ? working.add("iptables") : working.clear()),
    ],
    [
      "the new backend's tools are at work",
      ({ working }, is) => (is ? working.add("nftables") : working.clear()),
    ],
    ["a choice is under way", (state, is) => Object.assign(state, { choosing: is })],
    ["the removal of another's rules is under way", (state, is) => Object.assign(state, { clearing: is })],
  ])("while %s, which is no failure", async (_what, set) => {
    const { state, pass, name } = agent();
    set(state, true);
    await pass(0, "table");
    for (let i = 0; i < 3; i++) expect(await pass(SETTLE_MS)).toMatchObject({ errors: [], failures: [] });
    expect(name()).toBe("iptables");
    set(state, false);
    await pass(0);
    expect(name()).toBe("nftables");
  });

  test("where it cannot read the signs", async () => {
    const { state, pass } = agent();
    state.seen = undefined;
    for (let i = 0; i < 5; i++)
      expect(await pass(SETTLE_MS)).toMatchObject({ errors: [], dueInMs: RESYNC_MS });
    expect(state.chosen).toBe(0);
  });
});

test("a commit is known once a look after its end has covered it", async () => {
  const { pass, followed } = agent();
  followed.heard(5);
  expect(followed.knows(5)).toBe(false);
  await pass();
  expect([followed.knows(5), followed.knows(6)]).toEqual([true, false]);
});

test("rules that other processes revert are not in force, and nothing moves", async () => {
  const { state, pass, name } = agent();
  state.undone = true;
  await pass(0, "table");
  expect((await pass(SETTLE_MS)).errors).toEqual([
    "moving to nftables (kube-proxy uses nftables): other processes revert its changes",
  ]);
  expect(name()).toBe("iptables");
});

test("whatever comes and goes: it moves to a choice that has lasted, and to nothing else", async () => {
  const steps = fc.array(
    fc.record({
      ms: fc.integer({ min: 0, max: 2 * SETTLE_MS }),
      seen: fc.constantFrom("", "table"),
      fails: fc.constantFrom(undefined, "iptables", "nftables"),
    }),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const { state, pass, name } = agent();
      let before = state.seen;
      let since = Number.NEGATIVE_INFINITY;
      for (const { ms, seen, fails } of all) {
        state.failing = new Set(fails === undefined ? [] : [fails]);
        const old = name();
        const moves = state.moved.length;
        await pass(ms, seen);
        if (seen !== before) since = state.at;
        before = seen;
        if (state.moved.length === moves) continue;
        expect(state.at - since).toBeGreaterThanOrEqual(SETTLE_MS);
        expect(name()).not.toBe(old);
        expect(name()).toBe(seen === "" ? "iptables" : "nftables");
        expect(fails).not.toBe(name());
      }
      // At rest, it uses the wanted choice, and nothing else is open.
      state.failing = new Set();
      for (let i = 0; i < 2; i++) await pass(RESYNC_MS);
      expect(name()).toBe(state.seen === "" ? "iptables" : "nftables");
      expect(state.built - state.closed).toBe(1);
    }),
  );
});
