import { expect, test } from "vitest";
import { createReasons } from "./reasons.ts";

test("a reason is news once, and not of a single failure", () => {
  const { isNews, clear } = createReasons();
  expect([1, 2, 3].map((count) => isNews("a", count))).toEqual([false, true, false]);
  expect(["b", "a", "b"].map((why) => isNews(why, 4))).toEqual([true, false, false]);
  clear();
  expect(isNews("a", 2)).toBe(true);
});

test("reasons that differ each time fill neither the log nor the memory", () => {
  const { isNews } = createReasons();
  const news = Array.from({ length: 10_000 }, (_, i) => isNews(`500 request ${i}`, i + 1)).filter(Boolean);
  expect(news).toHaveLength(20);
});
