/** How much is repeated of texts that others have written, so that no line is longer than a person reads. */

/** Characters of one value, such as an entry of a list or a name. */
export const VALUE_CHARACTERS = 200;

/** Characters of a tool's complaint, or of what is wrong with an input. */
export const COMPLAINT_CHARACTERS = 1_024;

/** The beginning of a text, with how much was left out, if it is longer than `most`. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  // A character of two halves stays whole.
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return `${text.slice(0, end)}... (${text.length - end} characters more)`;
}
