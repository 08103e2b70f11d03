import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import type { Script } from "../system/script.ts";
import { renderStep } from "./shell.ts";
import type { Step } from "./step.ts";

const script = (more: Partial<Script>): Script => ({
  file: "printf",
  args: [],
  purpose: "testing",
  deadlineMs: 1,
  ...more,
});

/** What a shell makes of steps; it stops at the first that fails. */
function sh(...steps: Step[]): string {
  return execFileSync("sh", ["-e"], { input: steps.map(renderStep).join(""), encoding: "utf8" });
}

test("words arrive as they are", () => {
  const words = ["", "a b", "it's", '"$HOME"', "`x`", "!", "*", "a\nb", "\\", "x~"];
  expect(
    sh(script({ args: ["%s|", ...words] }))
      .split("|")
      .slice(0, -1),
  ).toEqual(words);
});

test("input arrives as it is, even if it has the line that would end it", () => {
  const stdin = "a $x `y` \\ 'z'\nEND\nEND_\n";
  expect(sh(script({ file: "cat", stdin }))).toBe(stdin);
});

test("a purpose stays a comment", () => {
  expect(sh(script({ args: ["x"], purpose: "a\nprintf injected\r" }))).toBe("x");
});

test("an accepted exit code is no failure, another is", () => {
  const no = (accept: number[]) => script({ file: "sh", args: ["-c", "exit 1"], accept });
  const after = script({ args: ["after"] });
  expect(sh(no([1]), after)).toBe("after");
  expect(sh(no([3, 1]), after)).toBe("after");
  expect(() => sh(no([2]), after)).toThrow();
});

test("the other script runs only after a failure", () => {
  const otherwise = script({ args: ["otherwise"] });
  expect(sh(script({ file: "false", otherwise }))).toBe("otherwise");
  expect(sh(script({ file: "true", otherwise }))).toBe("");
  expect(() => sh(script({ file: "false", otherwise: script({ file: "false" }) }))).toThrow();
});

test("a transaction is nft's", () => {
  const operations = [{ op: "add table", family: "inet", table: "t" }] as const;
  expect(renderStep({ operations, purpose: "making a table" })).toBe(
    "# making a table\nnft -f - <<'END'\nadd table inet t\nEND\n",
  );
});
