/** The results of a pass for the states that its driver sees after a write. */
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { type Driver, IN_SYNC, type Inspection } from "../backend/driver.ts";
import { createBackoff } from "./backoff.ts";
import { type Group, reconcileGroup } from "./group.ts";

const ruleset = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/8]");
const MISSING: Inspection = {
  drift: [{ kind: "missing", where: "chain C" }],
  steps: [{ operations: [], purpose: "testing" }],
};
const UNDONE: Inspection = { ...MISSING, disturbed: true };
const CHANGING: Inspection = { ...IN_SYNC, disturbed: true };

const DOES_NOT_SHOW =
  "chain C was programmed, but differs from the ruleset, although no other process changed it: chain C was missing";

/** Reconciles with a driver that sees these states one after the other; returns the outcome. */
async function reconcile(looks: readonly Inspection[], rounds = 3, signal = new AbortController().signal) {
  const left = [...looks];
  let writes = 0;
  const next = async () => left.shift() ?? expect.fail("one look too many");
  const driver: Driver = {
    name: "iptables",
    groups: (rulesets) => [rulesets],
    place: () => "chain C",
    inspect: next,
    knows: () => false,
    heard: () => {},
    apply({ steps }) {
      if (steps.length === 0) return Promise.resolve(IN_SYNC);
      writes++;
      return next();
    },
    remove: async () => [],
    removeStaleSet: async () => {},
    close: () => {},
  };
  const { log, taken } = recordedLog();
  const group: Group = { label: "IPv4", rulesets: [ruleset], backoff: createBackoff(() => 0) };
  const world = { now: () => 0, log, signal };
  const result = await reconcileGroup(driver, group, { thorough: false, rounds }, world).catch(
    (error: Error) => error,
  );
  expect(left).toEqual([]);
  const outcome =
    result instanceof Error ? result.message : `in force: ${result.inForce}, healed: ${result.healed.length}`;
  return { outcome, writes, log: taken().map((line) => line.slice(0, 24)) };
}

test("a write without effect counts neither as programmed nor as healed", async () => {
  const vain = { ...MISSING, disturbed: false };
  expect((await reconcile([MISSING, vain])).log).toEqual([]);
  expect((await reconcile([MISSING, UNDONE, vain])).log).toEqual(["I IPv4: programmed chain"]);
});

test.each<[string, readonly Inspection[], number, string]>([
  ["nothing to do", [IN_SYNC], 0, "in force: true, healed: 0"],
  ["a write that shows", [MISSING, IN_SYNC], 1, "in force: true, healed: 0"],
  ["a write that others revert once", [MISSING, UNDONE, IN_SYNC], 2, "in force: true, healed: 1"],
  [
    "a write that others revert each time",
    [MISSING, UNDONE, UNDONE, UNDONE],
    3,
    "in force: false, healed: 2",
  ],
  ["an inspection that others disturb", [CHANGING, IN_SYNC], 0, "in force: true, healed: 0"],
  [
    "inspections that others disturb each time",
    [CHANGING, CHANGING, CHANGING, CHANGING],
    0,
    "in force: false, healed: 0",
  ],
  [
    "a write that does not show, although no other process reverted it",
    [MISSING, { ...MISSING, disturbed: false }],
    1,
    DOES_NOT_SHOW,
  ],
  ["the same where that is not known", [MISSING, MISSING, MISSING, MISSING], 3, DOES_NOT_SHOW],
])("%s", async (_name, looks, writes, outcome) => {
  expect(await reconcile(looks)).toMatchObject({ writes, outcome });
});

test("it heals reverted writes, also within the pass that programs", async () => {
  expect((await reconcile([MISSING, UNDONE, IN_SYNC])).log).toEqual([
    "I IPv4: programmed chain",
    "W IPv4: healed: chain C ",
  ]);
});

test("without events it writes once, and a write without effect is only not in force", async () => {
  for (const left of [MISSING, UNDONE])
    expect(await reconcile([MISSING, left], 1)).toMatchObject({
      writes: 1,
      outcome: "in force: false, healed: 0",
    });
});

test("an agent that shuts down begins nothing", async () => {
  const ended = AbortSignal.abort(new Error("ended"));
  expect(await reconcile([MISSING], 3, ended)).toMatchObject({ writes: 0, outcome: "ended" });
});
