import { expect, test } from "vitest";
import { createColours, wantsColours } from "./colours.ts";

test.each<[boolean, { NO_COLOR?: string; TERM?: string }, boolean]>([
  [true, {}, true],
  [true, { NO_COLOR: "" }, true],
  [true, { NO_COLOR: "1" }, false],
  [true, { TERM: "xterm" }, true],
  [true, { TERM: "dumb" }, false],
  [false, {}, false],
])("terminal %j, environment %j: %j", (isTerminal, env, expected) => {
  expect(wantsColours(isTerminal, env)).toBe(expected);
});

test("colours end where they began, and do nothing when they are off", () => {
  const on = createColours(true);
  expect(on.bold(`a ${on.yellow("b")} c`)).toBe("\u001b[1ma \u001b[33mb\u001b[39m c\u001b[22m");
  const off = createColours(false);
  expect(off.bold(off.red(off.dim("a")))).toBe("a");
});
