/** The help of a command as text, from the same table that parses its flags. */

import { dashed, describeFlag, type FlagTable } from "../go/flags.ts";
import type { Manual } from "./manual.ts";

/** The meaning of most commands' exit codes. */
export const EXIT_CODES = '0 on success, 1 if the answer is "no" or after an error, 2 after a usage error.';

/** The longest part of a line that stays in one piece. */
const LINE = /\S(?:.{0,95}(?=\s|$)|\S*)/g;

/** The output of `--help`; `flags` are all that the command takes. */
export function renderHelp(manual: Manual, flags: FlagTable): string {
  const { name, summary, operands, details, examples, exitCodes } = manual;
  const usage = ["ip-masq-agent", name, "[flags]", ...(operands === "" ? [] : [operands])].join(" ");
  const sections = [
    `${summary}\n`,
    `Usage: ${usage}\n`,
    ...(details === "" ? [] : [`${wrap(details, "")}\n`]),
    `Flags:\n${renderFlags(flags)}`,
    `${wrap(`Exit codes: ${exitCodes?.meaning ?? EXIT_CODES}`, "")}\n`,
    ...(examples.length === 0 ? [] : [`Examples:\n${examples.map(renderExample).join("")}`]),
  ];
  return sections.join("\n");
}

/** One line for each command. */
export function renderCommands(manuals: readonly Pick<Manual, "name" | "summary">[]): string {
  const width = Math.max(...manuals.map(({ name }) => name.length));
  return manuals.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`).join("");
}

function renderFlags(flags: FlagTable): string {
  return Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const { argument, help, initial } = describeFlag(flag);
      const head = `${dashed(name)}${argument === "" ? "" : ` ${argument}`}`;
      return `  ${head}\n${wrap(help + (initial === "" ? "" : ` (default ${initial})`), "      ")}\n`;
    })
    .join("");
}

/** Refills paragraphs, however the source breaks them; a word that is longer than a line stays whole. */
function wrap(text: string, indent: string): string {
  const fill = (paragraph: string) => paragraph.replaceAll("\n", " ").match(LINE) ?? [];
  const paragraphs = text.split("\n\n").map((one) => fill(one).map((line) => indent + line));
  return paragraphs.map((lines) => lines.join("\n")).join("\n\n");
}

function renderExample({ args, what }: Manual["examples"][number]): string {
  return `  # ${what}\n  ip-masq-agent ${args}\n`;
}
