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

const HEAD = `# Commands

Without a command the program is the agent (\`run\`, whose flags are in the [reference](reference.md#flags)); at a terminal its name alone
shows the commands. A first word that is not a command is rejected, so that a typing error never starts a second agent. The other
commands answer questions, or clean up; only \`cleanup\` changes anything. Each has \`--help\` and, for programs, \`-o json\`.

Flags that are not given are taken from the agent that runs in the same network namespace, ours before the Go program, and a line on stderr
says so; \`--no-adopt\` switches that off, and \`cleanup\` never does it. Any user can start a process of that name, so only processes of
the user who runs the command count, and only root or that user is believed to answer at \`--http-address\`; links in a container are followed
among its own files. A \`--config\` that is given has to exist, and \`-\` is standard input.

\`ip-masq-agent\` is \`node dist/ip-masq-agent.cjs\` in a checkout that is built, and in the agent's pod
\`kubectl -n kube-system exec ds/ip-masq-agent -- ip-masq-agent status\`; [kubectl ip-masq](fleet.md) asks any node. \`. <(ip-masq-agent completion bash)\` completes commands and flags;
\`ip-masq-agent man | man -l -\` is the manual page. \`make golden\` makes this page.
`;

test("docs/commands.md has every command, its first example and its help", async () => {
  const rows = others.map(({ name, summary, examples }) => [
    `[\`${name}\`](#${name})`,
    summary,
    examples[0] === undefined ? "" : `\`ip-masq-agent ${examples[0].args}\``,
  ]);
  const table = markdownTable(["command", "", "example"], rows);
  const help = (manual: Manual) =>
    `## ${manual.name}\n\n\`\`\`text\n${renderHelp(manual, allFlags(manual))}\`\`\`\n`;
  await expect([HEAD, `${table}\n`, ...others.map(help)].join("\n")).toMatchFileSnapshot(
    "../../docs/commands.md",
  );
});

test("docs/doctor.md has every check, under a heading that can be linked to", async () => {
  const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
  const checks = CHECKS.map(
    ({ name, looksFor, severity, remedy }) =>
      `### ${name}\n\n${capital(severity)} at most. Looks for: ${looksFor}.\nRemedy: ${remedy}.`,
  );
  const page = withMade(readFileSync("docs/doctor.md", "utf8"), "checks", `\n${checks.join("\n\n")}\n`);
  await expect(page).toMatchFileSnapshot("../../docs/doctor.md");
});
