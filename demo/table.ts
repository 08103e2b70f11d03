/** Text for the reader of the demo: a table, and colours where there is a terminal to show them. */

const COLOURS = { green: 32, red: 31, dim: 2, bold: 1 } as const;

/** The text in a colour, if standard output is a terminal. */
export function paint(colour: keyof typeof COLOURS, text: string): string {
  return process.stdout.isTTY === true ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
}

/** Columns as wide as their widest cell; the first row is the heading. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return lines.map((line, index) => `  ${paintRow(line.trimEnd(), index)}`).join("\n");
}

function paintRow(line: string, index: number): string {
  if (index === 0) return paint("dim", line);
  return line.replace(/(ok|WRONG)$/, (verdict) => paint(verdict === "ok" ? "green" : "red", verdict));
}
