/** Lines and columns of offsets in a text. */

/** A place in a text, both numbers from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The line and column of an offset: lines end with LF, CR LF or CR, columns count characters. */
export function positionAt(text: string, at: number): Position {
  return locator(text)(at);
}

/**
 * `positionAt` for many offsets in one text. It counts the lines at the first call: mostly there is none. On a line of
 * megabytes, offsets in ascending order cost no more than the line.
 */
export function locator(text: string): (at: number) => Position {
  let starts: readonly number[] | undefined;
  let previous = { line: -1, at: 0, column: 1 };
  return (at) => {
    starts ??= lineStarts(text);
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= at) low = middle;
      else high = middle;
    }
    const isBehind = previous.line === low && previous.at <= at;
    let column = isBehind ? previous.column : 1;
    for (let i = isBehind ? previous.at : (starts[low] ?? 0); i < at && i < text.length; i++) {
      // The first half of a pair is counted with the second.
      if ((text.charCodeAt(i) & 0xfc00) !== 0xd800) column++;
    }
    previous = { line: low, at, column };
    return { line: low + 1, column };
  };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const match of text.matchAll(/\r\n?|\n/g)) starts.push(match.index + match[0].length);
  return starts;
}
