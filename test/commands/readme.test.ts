/** What the README shows of commands' answers, for the configuration that it shows, is what the commands answer. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Command } from "../../src/cli/command.ts";
import { diffCommand } from "../../src/cli/commands/diff.ts";
import { explainCommand } from "../../src/cli/commands/explain.ts";
import { validateCommand } from "../../src/cli/commands/validate.ts";
import { decodeText } from "../lab/config.ts";
import { shownAnswers } from "../lab/documents.ts";
import { say } from "../lab/io.ts";

const readme = readFileSync("README.md", "utf8");
const [, config = ""] = /^```yaml\n(.*?)^```$/ms.exec(readme) ?? [];
const directory = mkdtempSync(join(tmpdir(), "readme-"));
const FILES = {
  "config.yaml": config,
  "old.yaml": config.replace("  - 192.168.0.0/16\n", ""),
  "bad.yaml": "nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n",
};
for (const [name, text] of Object.entries(FILES)) writeFileSync(join(directory, name), text);
afterAll(() => rmSync(directory, { recursive: true }));

const COMMANDS: Readonly<Record<string, { readonly command: Command; readonly code: number }>> = {
  explain: { command: explainCommand, code: 0 },
  diff: { command: diffCommand, code: 1 },
  validate: { command: validateCommand, code: 1 },
};
/** The others ask a node: `test/kernel/documents/pages.test.ts`. */
const shown = shownAnswers(readme).filter(({ args }) => (args.split(" ")[0] ?? "") in COMMANDS);

test("the configuration is accepted, without a warning", () => {
  const decoded = decodeText(config, { enableIPv6: false });
  expect(decoded.ok ? decoded.value.warnings : decoded.problems).toEqual([]);
});

test("each command is shown once", () => {
  expect(shown.map(({ args }) => args.split(" ")[0])).toEqual(Object.keys(COMMANDS));
});

test.each(shown.map(({ args, parts }) => [args, parts] as const))("%s, as shown", async (args, parts) => {
  const [name = "", ...words] = args.split(" ");
  const { command, code } = COMMANDS[name] ?? expect.fail(name);
  const inPlace = words.map((word) => word.replace(/[a-z]+\.yaml$/, (file) => join(directory, file)));
  const answer = await say(command, inPlace);
  expect(answer.code).toBe(code);
  const text = answer.out.replaceAll(`${directory}/`, "");
  expect(parts.length).toBeGreaterThan(0);
  for (const part of parts) expect(text).toContain(part);
});
