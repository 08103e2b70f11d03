/** What differs between the rules that should be there and those that are. */

/** One difference; `where` names the place as an operator would look for it. */
export interface Drift {
  readonly kind: "missing" | "extra" | "changed";
  readonly where: string;
  readonly expected?: string;
  readonly actual?: string;
}

/**
 * Compares two ordered lists of rules. What they share at both ends is in sync; what lies between is paired
 * by position. That names single changes exactly and costs one walk however long the lists are.
 */
export function diffRules(chain: string, expected: readonly string[], actual: readonly string[]): Drift[] {
  let start = 0;
  while (start < expected.length && start < actual.length && expected[start] === actual[start]) start++;
  let end = 0;
  const limit = Math.min(expected.length, actual.length) - start;
  while (end < limit && expected.at(-1 - end) === actual.at(-1 - end)) end++;
  const wanted = expected.slice(start, expected.length - end);
  const found = actual.slice(start, actual.length - end);
  return Array.from({ length: Math.max(wanted.length, found.length) }, (_, i) =>
    drift(`rule ${start + i + 1} of ${chain}`, wanted[i], found[i]),
  );
}

/** One line for a log: what was wrong where. */
export function renderDrift({ kind, where, expected, actual }: Drift): string {
  if (kind === "changed")
    return expected === undefined
      ? `${where} had ${actual}`
      : `${where} was [${actual}] instead of [${expected}]`;
  const rule = expected ?? actual;
  return `${where} was ${kind === "missing" ? "missing" : "foreign"}${rule === undefined ? "" : ` [${rule}]`}`;
}

function drift(where: string, expected: string | undefined, actual: string | undefined): Drift {
  if (actual === undefined)
    return { kind: "missing", where, ...(expected === undefined ? {} : { expected }) };
  if (expected === undefined) return { kind: "extra", where, actual };
  return { kind: "changed", where, expected, actual };
}
