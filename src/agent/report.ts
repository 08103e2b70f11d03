/** Says what fails: every time, as the Go program does, or once for each change of the cause. */
import type { Logger } from "../observe/log.ts";

export interface Reporter {
  /** Logs `lines` as errors, each behind `prefix`; at most 20, then how many more there are. */
  error(key: string, prefix: string, lines: readonly string[], cause?: unknown): void;
  /** Forgets what failed under the key; says whether anything had. */
  clear(key: string): boolean;
}

const LINES_AT_MOST = 20;

/** With `repeat`, a failure is said as often as it is met. */
export function createReporter(log: Logger, repeat: boolean): Reporter {
  const said = new Map<string, string>();
  return {
    error(key, prefix, lines, cause) {
      const text = lines.join("\n");
      if (!repeat && said.get(key) === text) return;
      said.set(key, text);
      for (const line of abridge(lines)) log.error(`${prefix}: ${line}`, cause);
    },
    clear: (key) => said.delete(key),
  };
}

/** At most 20 lines, and a count of the others. */
export function abridge(lines: readonly string[]): readonly string[] {
  if (lines.length <= LINES_AT_MOST) return lines;
  return [...lines.slice(0, LINES_AT_MOST), `and ${lines.length - LINES_AT_MOST} more`];
}
