import { expect, test } from "vitest";
import { recordedLog } from "../../test/lab/log.ts";
import { createTally, warnOfHealing, warnOfUntold } from "./healing-log.ts";

const MINUTE = 60_000;
const drift = [{ kind: "missing", where: "the jump" }] as const;
const attribution = { commits: [{ generation: 1, pid: 7, process: "nft", touched: true }], complete: true };

/** A process reverts the rules `perSecond` times a second for `minutes` minutes; returns the lines of each minute, without repetition. */
function fight(perSecond: number, minutes: number) {
  const { log, taken } = recordedLog();
  const tally = createTally();
  return Array.from({ length: minutes }, (_, minute) => {
    for (let i = 0; i < 60 * perSecond; i++)
      warnOfHealing(log, "IPv4", tally, minute * MINUTE + (i * 1000) / perSecond, { drift, attribution });
    return taken();
  });
}

test("it logs each of a few healings", () => {
  const said = fight(0.2, 3);
  expect(said.map((lines) => lines.length)).toEqual([12, 12, 12]);
  expect(new Set(said.flat())).toEqual(
    new Set(["W IPv4: healed: the jump was missing, changed by nft (host pid 7)"]),
  );
});

test("a fight fills no log: its beginning, and then one line a minute with the count and who", () => {
  const said = fight(2, 10);
  expect(said.map((lines) => lines.length)).toEqual([30, ...Array(9).fill(1)]);
  expect(said[1]).toEqual(["W IPv4: healed 90 more times in a minute, last changed by nft (host pid 7)"]);
  expect(said[9]).toEqual(["W IPv4: healed 120 more times in a minute, last changed by nft (host pid 7)"]);
});

test("after the fight it also logs the number of unlogged healings, and then each healing again", () => {
  const { log, taken } = recordedLog();
  const tally = createTally();
  for (let i = 0; i < 31; i++) warnOfHealing(log, "IPv4", tally, 0, { drift });
  expect(taken()).toHaveLength(30);
  warnOfUntold(log, "IPv4", tally, MINUTE);
  expect(taken()).toEqual(["W IPv4: healed 1 more time in a minute"]);
  for (const minutes of [2, 3]) warnOfUntold(log, "IPv4", tally, minutes * MINUTE);
  warnOfHealing(log, "IPv4", tally, 3 * MINUTE, { drift });
  expect(taken()).toEqual(["W IPv4: healed: the jump was missing"]);
});
