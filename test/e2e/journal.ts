/** What the test on a cluster did, and how long it took, as it happens and in a file for who comes later. */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export interface Journal {
  /** A line with the time since the beginning. */
  readonly note: (text: string) => void;
  /** A figure in milliseconds; those of one name are summed up at the end. */
  readonly figure: (name: string, ms: number) => void;
  /** The figures: how many, the lowest, the median and the highest. */
  readonly close: () => void;
}

/** Empties the file. */
export function openJournal(path: string): Journal {
  const start = performance.now();
  const figures = new Map<string, number[]>();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "");
  const write = (line: string) => {
    console.log(line);
    appendFileSync(path, `${line}\n`);
  };
  const note = (text: string) =>
    write(`[${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s] ${text}`);
  return {
    note,
    figure: (name, ms) => {
      figures.set(name, [...(figures.get(name) ?? []), ms]);
      note(`${name}: ${ms.toFixed(0)} ms`);
    },
    close: () => {
      write("\n| ms | times | lowest | median | highest |\n|---|---|---|---|---|");
      for (const [name, all] of figures) write(row(name, all));
    },
  };
}

function row(name: string, all: readonly number[]): string {
  const sorted = all.toSorted((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const cells = [sorted[0] ?? 0, median, sorted.at(-1) ?? 0].map((ms) => ms.toFixed(0));
  return `| ${[name, all.length, ...cells].join(" | ")} |`;
}
