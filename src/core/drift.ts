/** Differences between the desired rules and the live ones. */

import { counted } from "../text/plural.ts";

/** One difference; `where` names the place as an operator would look for it. */
export interface Drift {
  readonly kind: "missing" | "extra" | "changed";
  readonly where: string;
  readonly expected?: string;
  readonly actual?: string;
  /** The number of differences of a long list, of which only the first are listed. */
  readonly count?: number;
}

/** The number of differences that are listed one by one. */
const TOLD = 20;

/** The number of differences. */
export function countDrift(drift: readonly Drift[]): number {
  return drift.reduce((sum, { count = 1 }) => sum + count, 0);
}

/**
 * Compares two ordered lists of rules. A common beginning and a common end are in sync; the rules between them are
 * paired by position. That names single changes exactly and costs one walk however long the lists are.
 */
export function diffRules(chain: string, expected: readonly string[], actual: readonly string[]): Drift[] {
  let start = 0;
  while (start < expected.length && start < actual.length && expected[start] === actual[start]) start++;
  let end = 0;
  const limit = Math.min(expected.length, actual.length) - start;
  while (end < limit && expected.at(-1 - end) === actual.at(-1 - end)) end++;
  const wanted = expected.slice(start, expected.length - end);
  const found = actual.slice(start, actual.length - end);
  const changed = Math.min(wanted.length, found.length);
  const all = Math.max(wanted.length, found.length);
  const told = Array.from({ length: Math.min(all, TOLD) }, (_, i) =>
    drift(`rule ${start + i + 1} of ${chain}`, wanted[i], found[i]),
  );
  const kind = wanted.length > found.length ? "missing" : "extra";
  return [
    ...told,
    ...more(chain, "changed", changed - told.length),
    ...more(chain, kind, all - Math.max(told.length, changed)),
  ];
}

function more(chain: string, kind: Drift["kind"], count: number): Drift[] {
  return count > 0 ? [{ kind, where: `${counted(count, "more rule")} of ${chain}`, count }] : [];
}

const KINDS = { missing: "missing", extra: "unexpected", changed: "changed" } as const;

/** One line for a log: the place and the difference. */
export function renderDrift({ kind, where, expected, actual, count }: Drift): string {
  if (count !== undefined) return `${where} ${count === 1 ? "was" : "were"} ${KINDS[kind]}`;
  if (kind === "changed")
    return expected === undefined
      ? `${where} had ${actual}`
      : `${where} was [${actual}] instead of [${expected}]`;
  const rule = expected ?? actual;
  return `${where} was ${KINDS[kind]}${rule === undefined ? "" : ` [${rule}]`}`;
}

function drift(where: string, expected: string | undefined, actual: string | undefined): Drift {
  if (actual === undefined)
    return { kind: "missing", where, ...(expected === undefined ? {} : { expected }) };
  if (expected === undefined) return { kind: "extra", where, actual };
  return { kind: "changed", where, expected, actual };
}
