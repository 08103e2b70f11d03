/**
 * Text from outside (comments of rules, keys of a file, command lines, names of processes) for a terminal or a log. Control characters (Unicode's Cc) would steer the terminal, a line feed would begin a line that looks like ours, and
 * marks that turn the reading direction or are invisible would make a text look like another.
 */

/** Control characters except tab, line feed and the colour codes of `text/colours.ts`; invisible marks and separators. */
const STEERING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for them
  /(?!\u001b\[\d{1,2}m)[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/**
 * Steering characters as `\x1b`, those that JSON has unescaped as `\u009b`, so that a line of JSON means the same afterwards. Line
 * feeds, tabs and our colours stay.
 */
export function printable(text: string): string {
  return text.replace(STEERING, escaped);
}

/** For one line: line feeds as `\n` as well, but for one at the end. */
export function printableLine(text: string): string {
  const end = text.endsWith("\n") ? -1 : text.length;
  return (
    printable(text.slice(0, end)).replaceAll("\u001b", "\\x1b").replaceAll("\n", "\\n") + text.slice(end)
  );
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x20 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
