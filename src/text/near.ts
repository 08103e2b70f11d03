/** Finds the name that a misspelled one means. */

/** Names are short, so a longer text is not one of them. */
const LONGEST = 64;

/** The name that differs least, in whatever case, if by at most a third of its letters. */
export function nearest(written: string, names: readonly string[]): string | undefined {
  const text = written.trim().slice(0, LONGEST).toLowerCase();
  const ranked = names
    .map((name) => ({ name, distance: editDistance(text, name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3))
    ? best.name
    : undefined;
}

/**
 * Damerau's and Levenshtein's: how many characters to insert, remove, replace, or exchange with the next one. The unrestricted
 * form, which is a metric.
 */
export function editDistance(a: string, b: string): number {
  // One row and one column more than usual: an exchange may reach back to before the first characters.
  const far = a.length + b.length;
  const rows = [Array(b.length + 2).fill(far), [far, ...Array(b.length + 1).keys()]];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? far;
  const lastRow = new Map<string, number>();
  for (let i = 1; i <= a.length; i++) {
    const row = [far, i];
    rows.push(row);
    let lastColumn = 0;
    for (let j = 1; j <= b.length; j++) {
      const k = lastRow.get(b[j - 1] ?? "") ?? 0;
      const isSame = a[i - 1] === b[j - 1];
      row.push(
        Math.min(
          at(i, j) + (isSame ? 0 : 1),
          at(i + 1, j) + 1,
          at(i, j + 1) + 1,
          at(k, lastColumn) + (i - k - 1) + 1 + (j - lastColumn - 1),
        ),
      );
      if (isSame) lastColumn = j;
    }
    lastRow.set(a[i - 1] ?? "", i);
  }
  return at(a.length + 1, b.length + 1);
}
