/** The command `man`: the manual page, from the same tables as the help. */

import { describeFlag } from "../../go/flags.ts";
import { allFlags, type Command, type CommandLoaders } from "../command.ts";
import { allManuals } from "../help.ts";
import type { Manual } from "../manual.ts";
import { runManual } from "../run-manual.ts";
import { EXIT_CODES } from "../usage.ts";
import { VERSION } from "../version.ts";

/** `man` over a table of commands, which includes itself. */
export function manCommand(commands: CommandLoaders): Command {
  return {
    name: "man",
    summary: "Print the manual page",
    operands: "",
    details: "To read it: ip-masq-agent man | man -l -",
    flags: {},
    examples: [{ args: "man", what: "print the page, for man -l - or for a file ip-masq-agent.8" }],
    async run({ output }, { out }) {
      const page = renderMan(await allManuals(commands), VERSION);
      out(output === "json" ? `${JSON.stringify({ page })}\n` : page);
      return 0;
    },
  };
}

/** The page in roff, with the macros of man(7). */
export function renderMan(manuals: readonly Manual[], version: string): string {
  return [
    `.TH IP\\-MASQ\\-AGENT 8 "" "${roff(version)}" "System Administration"\n`,
    ".SH NAME\n",
    "ip\\-masq\\-agent \\- keeps a node's masquerade rules in sync with its configuration\n",
    ".SH SYNOPSIS\n",
    ".B ip\\-masq\\-agent\n",
    "[\\fIcommand\\fR] [\\fIflags\\fR] [\\fIoperands\\fR]\n",
    ".SH DESCRIPTION\n",
    paragraphs(
      "Keeps pod IP addresses visible inside your network and masquerades (source NAT) all other pod egress. Without a command it runs the agent.",
    ),
    ".SH COMMANDS\n",
    ...manuals.map(renderManual),
    ".SH EXIT STATUS\n",
    paragraphs(
      `Of run: 128 plus the signal's number if a signal ends it, 1 if it could not start, 2 after a usage error. Of the other commands: ${EXIT_CODES}`,
    ),
    ...manuals.flatMap(({ name, exitCodes }) =>
      exitCodes === undefined ? [] : [`.PP\n${paragraphs(`Of ${name}: ${exitCodes.meaning}`)}`],
    ),
    ".SH FILES\n.TP\n.I /etc/config/ip\\-masq\\-agent\nThe configuration, YAML or JSON; a missing file means the defaults.\n",
    ".SH EXAMPLES\n",
    ...manuals.flatMap(({ examples }) => examples.map(renderExample)),
    ".SH SEE ALSO\n.BR iptables (8),\n.BR ipset (8),\n.BR nft (8)\n",
  ].join("");
}

function renderManual(manual: Manual): string {
  const { name, summary, operands, details } = manual;
  const flags = manual === runManual ? manual.flags : allFlags(manual);
  const rows = Object.entries(flags).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `.SS "${roff([name, operands].filter(Boolean).join(" "))}"\n`,
    paragraphs(`${summary}.`),
    details === "" ? "" : `.PP\n${paragraphs(details)}`,
    ...rows.map(([flag, row]) => renderFlag(flag, row)),
  ].join("");
}

function renderFlag(name: string, flag: Manual["flags"][string]): string {
  const { argument, help, initial } = describeFlag(flag);
  const dashes = name.length === 1 ? "\\-" : "\\-\\-";
  const head = `\\fB${dashes}${roff(name)}\\fR${argument === "" ? "" : ` \\fI${roff(argument)}\\fR`}`;
  return `.TP\n${head}\n${paragraphs(help + (initial === "" ? "" : ` (default ${initial})`))}`;
}

function renderExample({ args, what }: Manual["examples"][number]): string {
  return `.TP\n.B ip\\-masq\\-agent ${roff(args)}\n${paragraphs(what)}`;
}

/** The longest source line of the page. */
const LINE = 72;

/** Text that roff fills, paragraph by paragraph. */
function paragraphs(text: string): string {
  const wrap = (one: string) => one.match(new RegExp(`\\S.{0,${LINE}}(?=\\s|$)`, "gs")) ?? [];
  const lines = (one: string) => wrap(one.replaceAll("\n", " ")).map(line).join("\n");
  return `${text.split("\n\n").map(lines).join("\n.PP\n")}\n`;
}

/** A dot or an apostrophe at the start would begin a request. */
function line(text: string): string {
  return roff(text).replace(/^(?=[.'])/, "\\&");
}

function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq");
}
