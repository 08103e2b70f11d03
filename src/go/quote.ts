/**
 * Go's strconv.Quote, which the Go program's messages are full of (`%q`).
 * Go works on bytes and Node has decoded them: bytes that are not UTF-8 arrive as
 * U+FFFD, which prints as itself, where Go would print `\xff`.
 */

const SIMPLE = /^[ !#-[\]-~]*$/;
/** unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const NAMED: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** The text as a Go string literal, as `%q` prints it. */
export function goQuote(text: string): string {
  if (SIMPLE.test(text)) return `"${text}"`;
  let quoted = '"';
  for (const char of text) quoted += NAMED[char] ?? (PRINTABLE.test(char) ? char : escaped(char));
  return `${quoted}"`;
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
  // Half a surrogate pair is not a character; Go prints the replacement's number.
  if (code >= 0xd800 && code <= 0xdfff) return "\\ufffd";
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
