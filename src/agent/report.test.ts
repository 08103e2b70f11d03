import { expect, test } from "vitest";
import { recordedLog } from "../../test/lab/log.ts";
import { abridge, createReporter } from "./report.ts";

test("it logs a failure once for each change of its cause, under its own key", () => {
  const { log, taken } = recordedLog();
  const report = createReporter(log, false);
  report.error("a", "Error", ["x"]);
  report.error("a", "Error", ["x"]);
  report.error("b", "Error", ["x"]);
  report.error("a", "Error", ["x", "y"]);
  report.error("a", "Error", ["x"]);
  expect(taken()).toEqual(["E Error: x", "E Error: x", "E Error: x", "E Error: y", "E Error: x"]);
});

test("with repeat, it logs a failure every time", () => {
  const { log, taken } = recordedLog();
  const report = createReporter(log, true);
  report.error("a", "Error", ["x"]);
  report.error("a", "Error", ["x"]);
  expect(taken()).toEqual(["E Error: x", "E Error: x"]);
});

test("clear says whether there was a failure, after which the same one is news", () => {
  const { log, taken } = recordedLog();
  const report = createReporter(log, false);
  expect(report.clear("a")).toBe(false);
  report.error("a", "Error", ["x"]);
  expect(report.clear("b")).toBe(false);
  expect(report.clear("a")).toBe(true);
  expect(report.clear("a")).toBe(false);
  report.error("a", "Error", ["x"]);
  expect(taken()).toEqual(["E Error: x", "E Error: x"]);
});

test.each([
  [0, 0, undefined],
  [20, 20, "line 20"],
  [21, 21, "and 1 more"],
  [500, 21, "and 480 more"],
])("of %d lines %d are printed", (count, printed, last) => {
  const lines = abridge(Array.from({ length: count }, (_, i) => `line ${i + 1}`));
  expect([lines.length, lines.at(-1)]).toEqual([printed, last]);
});

test("a failure whose lines are the same is news if its details differ", () => {
  const { log, taken } = recordedLog();
  const report = createReporter(log, false);
  for (const details of ["a", "a", "b", null, "b"]) report.error("config", "Error", ["line"], { details });
  expect(taken()).toHaveLength(4);
});
