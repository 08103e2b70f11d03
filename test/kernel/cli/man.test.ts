import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { manCommand, renderMan } from "../../../src/cli/commands/man.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { allManuals } from "../../../src/cli/help.ts";
import { say } from "../../lab/io.ts";

const manuals = await allManuals(COMMANDS);
const { out: page } = await say(manCommand(COMMANDS), []);

/** What a tool says of a page, on both streams; undefined if it is not there. */
function judged(tool: string, args: readonly string[], input: string): string | undefined {
  const { error, stdout, stderr } = spawnSync(tool, args, { input, encoding: "utf8" });
  if (error === undefined) return stdout + stderr;
  console.warn(`NOT TESTED: the manual page with ${tool}, which is not installed`);
  return undefined;
}

test.each([
  ["groff", ["-man", "-ww", "-z"]],
  ["mandoc", ["-T", "lint", "-W", "style"]],
])("%s has nothing to say against it", (tool, args) => {
  // Without a date in the heading: it would differ with each build.
  const remarks = (judged(tool, args, page) ?? "").split("\n").filter((line) => !/date|^$/.test(line));
  expect(remarks).toEqual([]);
});

test("every command and flag is in what a reader sees", () => {
  const text = judged("man", ["--warnings", "-P", "col -bx", "-l", "-"], page);
  if (text === undefined) return;
  for (const { name, flags } of manuals) {
    expect(text).toMatch(new RegExp(`^ {3}${name}\\b`, "m"));
    for (const flag of Object.keys(flags)) expect(text).toMatch(new RegExp(`^ +--?${flag}\\b`, "m"));
  }
});

test("text that looks like roff is text", () => {
  const manual = { name: "x", summary: "A", operands: "", flags: {}, examples: [] };
  const details = `.so /etc/passwd\n\n'x \\fB "y" -z ${"word ".repeat(30)}.end`;
  const source = renderMan([{ ...manual, details }], "v1");
  expect(source).toContain("\n\\&.so /etc/passwd\n.PP\n\\&'x \\efB \\(dqy\\(dq \\-z word");
  expect(Math.max(...source.split("\n").map((line) => line.length))).toBeLessThan(120);
  expect(source.replaceAll(/\s+/g, " ")).toContain(`${"word ".repeat(30)}`);
});
