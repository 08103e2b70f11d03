/** Tables of the figures, as they are printed; docs/internals/performance.md has a part of them. */
import { spawnSync } from "node:child_process";
import { cpus, release } from "node:os";

/** The machine of the figures, without a name. */
export function machine(): string {
  const tools = ["iptables", "nft", "ipset"].map((name) => {
    const tool = name === "iptables" ? "iptables-nft" : name;
    const { stdout } = spawnSync(tool, ["--version"], { encoding: "utf8" });
    return `${name} ${/\d+\.\d+[.\d]*/.exec(stdout ?? "")?.[0] ?? "none"}`;
  });
  const kernel = release().split("-")[0];
  return `Linux ${kernel}, ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${tools.join(", ")}, Node ${process.version}`;
}

/** In the syntax of Markdown, with columns of one width so that it reads as plain text too; figures to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const pad = (cell: string, i: number) =>
    i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [head.map(pad), rule, ...rows.map((row) => row.map(pad))]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** A whole number, to be read. */
export function thousands(value: number): string {
  return (Math.round(value) || 0).toLocaleString("en");
}

/** A ratio, to be read. */
export function significant(value: number): string {
  return value < 10 ? value.toFixed(2) : thousands(value);
}
