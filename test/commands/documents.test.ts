/** What the documents say of commands, compared with the commands. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allFlags } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { allManuals } from "../../src/cli/help.ts";
import type { Manual } from "../../src/cli/manual.ts";
import { runManual } from "../../src/cli/run-manual.ts";
import { renderHelp } from "../../src/cli/usage.ts";
import { CHECKS } from "../../src/doctor/checks.ts";
import { markdownTable, withMade } from "../lab/made.ts";

const manuals = await allManuals(COMMANDS);
const others = manuals.filter((manual) => manual !== runManual);
const readme = readFileSync("README.md", "utf8");
const section = /<!-- commands -->\n(.*)<!-- \/commands -->\n/s.exec(readme)?.[1] ?? "";

test.each(others.map((manual) => [manual.name, manual] as const))(
  "the README has %s with its summary and an example",
  (name, { summary, examples }) => {
    const row = section.split("\n").find((line) => line.startsWith(`| \`${name}\` |`)) ?? "no row";
    expect(row).toContain(`| ${summary} |`);
    expect(
      examples.map(({ args }) => `\`ip-masq-agent ${args}\` |`).filter((one) => row.endsWith(one)),
    ).toHaveLength(1);
  },
);

test("the README has no command that does not exist", () => {
  const named = [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(named).toEqual(others.map(({ name }) => name));
});

test("docs/commands.md is the help of every command", async () => {
  const help = (manual: Manual) =>
    `## ${manual.name}\n\n\`\`\`text\n${renderHelp(manual, allFlags(manual))}\`\`\`\n`;
  const head =
    "# Commands\n\nThe help of each command but `run`, whose flags the README has. This page is made by `npm run golden`.\n";
  await expect([head, ...others.map(help)].join("\n")).toMatchFileSnapshot("../../docs/commands.md");
});

test("docs/doctor.md has the table of checks", async () => {
  const rows = CHECKS.map(({ name, looksFor, severity, remedy }) => [
    `\`${name}\``,
    looksFor,
    severity,
    remedy,
  ]);
  const table = markdownTable(["check", "looks for", "severity, at most", "remedy"], rows);
  const page = withMade(readFileSync("docs/doctor.md", "utf8"), "checks", table);
  await expect(page).toMatchFileSnapshot("../../docs/doctor.md");
});
