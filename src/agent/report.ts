/** Logs failures: every time, as the Go program does, or once for each change of the cause. */
import type { Logger } from "../log/log.ts";

export interface Reporter {
  /** Logs `lines` as errors, each after `prefix`; the same failure is one with the same lines and `details`. */
  error(
    key: string,
    prefix: string,
    lines: readonly string[],
    more?: {
      readonly cause?: unknown;
      readonly details?: string | null;
      /** The fields of the lines. */
      readonly about?: Parameters<Logger["with"]>[0];
    },
  ): void;
  /** Forgets the failure of the key; returns whether there was one. */
  clear(key: string): boolean;
}

/** The limit of lines for one subject. */
export const LINES_AT_MOST = 20;

/** With `repeat`, it logs a failure each time. */
export function createReporter(log: Logger, repeat: boolean): Reporter {
  const said = new Map<string, string>();
  return {
    error(key, prefix, lines, { cause, details, about = {} } = {}) {
      const text = [...lines, details].join("\n");
      if (!repeat && said.get(key) === text) return;
      said.set(key, text);
      for (const line of lines) log.with(about).error(`${prefix}: ${line}`, cause);
    },
    clear: (key) => said.delete(key),
  };
}

/** At most 20 lines, and a count of the rest. */
export function abridge(lines: readonly string[]): readonly string[];
/** The same for items: renders only those that it shows. */
export function abridge<T>(items: readonly T[], render: (item: T) => string): readonly string[];
export function abridge<T>(items: readonly T[], render: (item: T) => string = String): readonly string[] {
  const lines = items.slice(0, LINES_AT_MOST).map(render);
  return items.length <= LINES_AT_MOST ? lines : [...lines, `and ${items.length - LINES_AT_MOST} more`];
}
