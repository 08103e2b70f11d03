/** Lengths to which texts from outside are cut, so that lines stay readable. */

import { counted } from "./plural.ts";

/** Characters of one value, such as an entry of a list or a name. */
export const VALUE_CHARACTERS = 200;

/** Characters of a tool's error message, or of an input's problem. */
export const COMPLAINT_CHARACTERS = 1_024;

/** The beginning of a text, with how much was left out, if it is longer than `most`. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  // Do not cut a surrogate pair in half.
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return `${text.slice(0, end)}... (${counted(text.length - end, "character")} more)`;
}
