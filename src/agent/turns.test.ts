import { expect, test } from "vitest";
import { createAside, createTurns } from "./turns.ts";

/** Turns whose patience ends with `lose`, and work that the test ends. */
function subject() {
  let lose = () => {};
  let ends = 0;
  const aside = createAside(() => {
    ends++;
  });
  const turns = createTurns<string>({
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        lose = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      }),
    goesOn: aside.goesOn,
  });
  const work = () => {
    let resolve: (value: string) => void = () => {};
    let reject: (error: Error) => void = () => {};
    const promise = new Promise<string>((...both) => {
      [resolve, reject] = both;
    });
    return { promise, resolve, reject };
  };
  return { turns, aside, work, lose: () => lose(), ends: () => ends };
}

test("it waits for quick work, and passes its errors on", async () => {
  const { turns, ends } = subject();
  expect(await turns.take("a", async () => "done")).toBe("done");
  await expect(turns.take("a", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect([turns.collect(), ends()]).toEqual([[], 0]);
});

test("slow work continues by itself, once under each name, and is collected once", async () => {
  const { turns, work, lose, aside, ends } = subject();
  const { promise, resolve } = work();
  const taking = turns.take("a", () => promise);
  lose();
  expect(await taking).toBeUndefined();
  expect(await turns.take("a", () => expect.fail("begun twice"))).toBeUndefined();
  expect(await turns.take("b", async () => "another")).toBe("another");
  expect([turns.isUnderWay("a"), turns.collect()]).toEqual([true, []]);
  resolve("late");
  await aside.over();
  expect([turns.isUnderWay("a"), ends(), turns.collect(), turns.collect()]).toEqual([false, 1, ["late"], []]);
});

test("collect throws the errors of slow work", async () => {
  const { turns, work, lose, aside } = subject();
  const { promise, reject } = work();
  const taking = turns.take("a", () => promise);
  lose();
  await taking;
  reject(new Error("broken"));
  await aside.over();
  expect(() => turns.collect()).toThrow("broken");
});

test("without a world everything is waited for", async () => {
  const turns = createTurns<string>(undefined);
  const slow = () => new Promise<string>((resolve) => setTimeout(() => resolve("slow"), 5));
  expect(await turns.take("a", slow)).toBe("slow");
});
