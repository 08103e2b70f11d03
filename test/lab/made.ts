/** Parts of documents that are made from the program: they lie between two comments. */

/** A table in Markdown; a bar within a cell is escaped. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** The page with this text between `<!-- name: ... -->` and `<!-- end of name -->`. */
export function withMade(page: string, name: string, text: string): string {
  const part = new RegExp(`(<!-- ${name}: made by [^>]* -->\n)[\\s\\S]*?(\n<!-- end of ${name} -->)`);
  if (!part.test(page)) throw new Error(`no place for ${name}`);
  return page.replace(part, (_all, begin, end) => `${begin}${text}${end}`);
}
