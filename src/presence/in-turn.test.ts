import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { inTurn } from "./in-turn.ts";

const soon = () => setImmediate();

test("works are done one after the other, a failing one included", async () => {
  let running = 0;
  let most = 0;
  const work = async (fails: boolean) => {
    most = Math.max(most, ++running);
    for (let i = 0; i < 5; i++) await soon();
    running--;
    if (fails) throw new Error("failed");
  };
  // The time that passes is that of the test, so that patience does not end.
  const all = [false, true, false].map((fails) => inTurn(soon, () => work(fails)));
  expect((await Promise.allSettled(all)).map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  expect(most).toBe(1);
});

test("who never ends keeps nobody from its work", async () => {
  let end = () => {};
  const endless = inTurn(soon, () => new Promise<void>((resolve) => (end = resolve)));
  expect(await inTurn(soon, async () => "done")).toBe("done");
  end();
  await endless;
});
