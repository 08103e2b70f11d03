/**
 * Text that others have written (comments of rules, keys of a file, command lines) on its way to a terminal or a log. Control
 * characters (Unicode's Cc) would steer the terminal, and a line feed would begin a line that looks like ours.
 */

/** Cc but tab and line feed; a colour as `cli/colours.ts` switches it is none of it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const STEERING = /(?!\u001b\[\d{1,2}m)[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Steering characters as `\x1b`; line feeds, tabs and our colours stay. */
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
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
