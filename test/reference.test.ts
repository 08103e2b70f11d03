/** The tables of keys, flags, exit codes and series in docs/reference.md are made from the program's (`make golden`). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { COMMANDS } from "../src/cli/commands.ts";
import { allManuals } from "../src/cli/help.ts";
import { agentFlags } from "../src/cli/options.ts";
import { EXIT_CODES } from "../src/cli/usage.ts";
import { isListKind } from "../src/core/key-lists.ts";
import { type Key, ROWS } from "../src/core/keys.ts";
import { describeFlag, type FlagTable } from "../src/go/flags.ts";
import { klogFlags } from "../src/log/flags.ts";
import { SERIES } from "../src/observe/series.ts";
import { markdownTable, withMade } from "./lab/made.ts";

const PAGE = "docs/reference.md";

function code(text: unknown): string {
  return `\`${text}\``;
}

function keyRow([name, { kind, initial, meaning }]: [string, Key]): readonly string[] {
  const options = { noMasqAllReservedRanges: false, enableIPv6: false };
  const written = kind.written(initial(options));
  const values = isListKind(kind) ? (written as readonly string[]) : [written];
  return [code(name), kind.type, values.map(code).join(", ") || "none", meaning];
}

function flagTable(flags: FlagTable): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const printed = flag.type.print(flag.initial);
    return [code(`--${name}`), code(printed === "" ? '""' : printed), describeFlag(flag).help];
  });
  return markdownTable(["flag", "default", "meaning"], rows);
}

async function exitCodes(): Promise<string> {
  const others = (await allManuals(COMMANDS)).flatMap(({ name, exitCodes }) =>
    exitCodes === undefined ? [] : [[code(name), exitCodes.meaning]],
  );
  return markdownTable(["command", "exit codes"], [...others, ["all others", EXIT_CODES]]);
}

function seriesTable(): string {
  const rows = Object.entries(SERIES).map(([name, { type, labels, help }]) => [
    code(`ip_masq_agent_${name}`),
    type,
    labels.map(code).join(", "),
    help,
  ]);
  return markdownTable(["series", "type", "labels", "meaning"], rows);
}

test("the tables have every key, flag and series", async () => {
  const own = Object.fromEntries(Object.entries(agentFlags).filter(([name]) => !(name in klogFlags)));
  const keys = markdownTable(["key", "type", "default", "meaning"], [...ROWS].map(keyRow));
  const flags = { flags: flagTable(own), "klog's flags": flagTable(klogFlags) };
  const tables = { keys, ...flags, "exit codes": await exitCodes(), series: seriesTable() };
  const made = Object.entries(tables).reduce(
    (page, [name, table]) => withMade(page, name, table),
    readFileSync(PAGE, "utf8"),
  );
  expect(made).toContain("| `cidrLimit` | whole number | `64` |");
  expect(made).toContain('| `--to-ports` | `""` |');
  expect(made).toContain("| `--v` | `0` |");
  await expect(made).toMatchFileSnapshot(`../${PAGE}`);
});

function partUnder(heading: string): string {
  return readFileSync(PAGE, "utf8").split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
}

/** The table's first cells under a heading, as far as they are code. */
function named(heading: string): readonly string[] {
  const part = partUnder(heading);
  const cells = part.split("\n").flatMap((line) => /^\| ([^|]*) \|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name));
}

test("every path that is served is in the table, and no other", () => {
  const served = readFileSync("src/observe/monitor.ts", "utf8").matchAll(/^ {4}"(\/\w*)":/gm);
  expect(named("Endpoints").toSorted()).toEqual([...served].map(([, path]) => path).toSorted());
});

test("every signal that the program treats is named", () => {
  const treated = readFileSync("src/main.ts", "utf8").matchAll(/"SIG(\w+)"/g);
  const names = [...new Set([...treated].map(([, name = ""]) => name))];
  expect(names.length).toBeGreaterThan(15);
  const page = readFileSync(PAGE, "utf8");
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
});

/** All sources without tests, as one text. */
function sources(): string {
  const paths = readdirSync("src", { recursive: true, encoding: "utf8" });
  const code = paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"));
  return code.map((path) => readFileSync(join("src", path), "utf8")).join("\n");
}

test("the log lines that are shown are those of the program", () => {
  const rows = (partUnder("Log lines").split("\n### ")[0] ?? "")
    .split("\n")
    .filter((line) => line.startsWith("| "));
  const lines = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, line = ""]) => line));
  // Names, numbers and what is left out differ from line to line; the longest part between them does not.
  const parts = lines.map((line) => {
    const [longest = ""] = line
      .split(/\.\.\.|[\d[\]:("]+|\b(?:[A-Z]\S*|iptables|chain)\b/)
      .toSorted((a, b) => b.length - a.length);
    return longest.trim();
  });
  const phrases = parts.filter((part) => part.length > 11);
  expect(phrases.length).toBeGreaterThan(8);
  const text = sources();
  expect(phrases.filter((phrase) => !text.includes(phrase))).toEqual([]);
});
