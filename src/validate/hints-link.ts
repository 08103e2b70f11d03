/** The likely meaning of a text that cannot be the name of an interface. */
import { lookalikeHint, templateHint } from "../core/text-hints.ts";

/** Longer than any usual way to write several names. */
const LONGEST = 200;

/** Usual ways to write one name that is not read so, and the corrected text. */
const REPAIRS: readonly (readonly [pattern: RegExp, replacement: string, what: string])[] = [
  [/\.?\*$/, "+", "+ at the end matches any rest"],
  [/^["'`]|["'`]$/g, "", "it contains quotes"],
  [/^\/sys\/class\/net\/|^dev\/|^\/dev\//, "", "it is a path"],
  [/:\d*$/, "", "a label is part of an address, not of an interface"],
  [/^(?:-o|dev|oif(?:name)?)\s+/, "", "write the name alone"],
  [/\s+/g, "", "it contains spaces"],
];

/** The replacement for an entry of a list of names; undefined if there is none. */
export function linkHint(text: string): string | undefined {
  if (text.trim() === "")
    return "an entry without a value: was a variable not set? Remove it, or write a name";
  if (text === "+" || text === "*") return "leave the key out for every interface";
  if (text.startsWith("!")) return "list the interfaces whose packets are masqueraded";
  const seen = templateHint(text) ?? lookalikeHint(text);
  if (seen !== undefined || text.length > LONGEST) return seen;
  const parts = text.trim().split(/[\s,;]+/);
  if (parts.length > 1 && parts.every((part) => /^["']?\w[\w.-]*\+?["']?$/.test(part) && !isWord(part)))
    return "several names in one entry: write each as an entry of its own";
  return repaired(text);
}

/** Words of tools before a name. */
function isWord(part: string): boolean {
  return /^(?:dev|oif|oifname)$/.test(part);
}

function repaired(text: string): string | undefined {
  for (const [pattern, replacement, what] of REPAIRS) {
    const meant = text.replace(pattern, replacement);
    if (meant !== text && /^\w[\w.-]{0,14}\+?$/.test(meant)) return `${what}: write ${meant}`;
  }
  return undefined;
}
