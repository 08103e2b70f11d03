/** Block scalars: `|` keeps line breaks, `>` folds them. */
import {
  CH,
  column,
  isBlank,
  isBreak,
  isBreakOrEnd,
  isDigit,
  scanError,
  skipBlanksAndComment,
  takeBreak,
  unitAt,
} from "./cursor.ts";
import type { Scanner, Token } from "./tokens.ts";

interface Header {
  /** Which trailing breaks stay: all, one, or none. */
  readonly chomping: "keep" | "clip" | "strip";
  /** Columns beyond the parent's; 0 if the first line decides. */
  readonly increment: number;
}

interface Breaks {
  /** 0 until a line has decided it. */
  indent: number;
  text: string;
}

/** Scans the block scalar whose `|` or `>` is here. */
export function scanBlockScalar(scanner: Scanner, literal: boolean): Token | undefined {
  const { pos: at } = scanner;
  scanner.pos++;
  const header = scanHeader(scanner);
  if (header === undefined) return undefined;
  const base = Math.max(scanner.indent, 0);
  const breaks: Breaks = { indent: header.increment === 0 ? 0 : base + header.increment, text: "" };
  if (!skipBreaks(scanner, breaks)) return undefined;

  let value = "";
  let lastBreak = "";
  let wasIndented = false;
  while (scanner.pos < scanner.text.length && column(scanner) === breaks.indent) {
    const indented = isBlank(unitAt(scanner, scanner.pos));
    // Lines that are indented more keep their breaks, on both sides.
    const folds = !literal && !wasIndented && !indented && lastBreak === "\n";
    if (!folds) value += lastBreak;
    else if (breaks.text === "") value += " ";
    value += breaks.text;
    breaks.text = "";
    wasIndented = indented;
    const from = scanner.pos;
    while (!isBreakOrEnd(unitAt(scanner, scanner.pos))) scanner.pos++;
    value += scanner.text.slice(from, scanner.pos);
    lastBreak = takeBreak(scanner);
    if (!skipBreaks(scanner, breaks)) return undefined;
  }
  if (header.chomping !== "strip") value += lastBreak;
  if (header.chomping === "keep") value += breaks.text;
  return { type: "quoted", at, end: scanner.pos, value };
}

/** `|2-`, `>+1` and similar, with the rest of their line. */
function scanHeader(scanner: Scanner): Header | undefined {
  let sign = scanSign(scanner);
  const digit = unitAt(scanner, scanner.pos);
  let increment = 0;
  if (isDigit(digit)) {
    if (digit === CH.zero) return refuse(scanner, "found an indentation indicator equal to 0");
    increment = digit - CH.zero;
    scanner.pos++;
    if (sign === 0) sign = scanSign(scanner);
  }
  skipBlanksAndComment(scanner);
  const end = unitAt(scanner, scanner.pos);
  if (!isBreakOrEnd(end)) return refuse(scanner, "did not find expected comment or line break");
  takeBreak(scanner);
  const chomping = sign === CH.plus ? "keep" : sign === CH.dash ? "strip" : "clip";
  return { chomping, increment };
}

/** The unit of a chomping sign; 0 if there is none. */
function scanSign(scanner: Scanner): number {
  const sign = unitAt(scanner, scanner.pos);
  if (sign !== CH.plus && sign !== CH.dash) return 0;
  scanner.pos++;
  return sign;
}

/** Collects empty lines and moves over the indentation, whose width the deepest blank line may decide. */
function skipBreaks(scanner: Scanner, breaks: Breaks): boolean {
  let deepest = 0;
  for (;;) {
    // Only spaces so far on this line, so units are columns.
    const inside = () => breaks.indent === 0 || scanner.pos - scanner.lineStart < breaks.indent;
    while (inside() && unitAt(scanner, scanner.pos) === CH.space) scanner.pos++;
    deepest = Math.max(deepest, column(scanner));
    const unit = unitAt(scanner, scanner.pos);
    if (unit === CH.tab && inside()) {
      return scanError(scanner, "found a tab character where an indentation space is expected");
    }
    if (!isBreak(unit)) break;
    breaks.text += takeBreak(scanner);
  }
  if (breaks.indent === 0) breaks.indent = Math.max(deepest, scanner.indent + 1, 1);
  return true;
}

function refuse(scanner: Scanner, problem: string): undefined {
  scanError(scanner, problem);
  return undefined;
}
