/** Hints for the problems of a configuration: the text to write instead. */
import { DURATION } from "../core/key-kinds.ts";
import { CIDR_LIST, isListKind, type ListKind } from "../core/key-lists.ts";
import { DEFAULT_RESYNC_MS, KEYS, type Key, knownKey, ROWS } from "../core/keys.ts";
import { type Problem, renderProblem } from "../core/problem.ts";
import { commentHint, escapeHint, lookalikeHint, pageHint, templateHint } from "../core/text-hints.ts";
import { parseDuration } from "../go/duration.ts";
import { addressHint } from "./hints-address.ts";
import { cidrHint, counterpart } from "./hints-cidr.ts";
import { keyHint } from "./hints-key.ts";
import { linkHint } from "./hints-link.ts";

/** The remedy of a problem, unless its message has it. */
export function hintFor({ code, key = "", text, hint }: Problem): string | undefined {
  if (hint !== undefined) return hint;
  switch (code) {
    case "unknown-key":
      return keyHint(key);
    case "cidr":
      return text === undefined ? undefined : cidrHint(text, key);
    case "duration":
      return durationHint(text ?? "");
    case "type":
      return (text === undefined ? undefined : textHint(text, key)) ?? typeHint(key);
    case "address":
      return text === undefined ? undefined : addressHint(text);
    case "interface":
      return text === undefined ? undefined : linkHint(text);
    case "limit":
      return key === "cidrLimit" ? "raise cidrLimit, or merge entries" : "a + at the end matches several";
    case "conflict":
      return key === "outputAddressBy" ? "say it in one file" : "remove it from one of the two lists";
    case "empty":
      return emptyHint(key, text);
    case "ignored":
      return key === "" ? "keep one document in the file, with all keys indented alike" : "keep one of them";
    case "manifest":
      return "give the agent the text below its data.config, as a mounted ConfigMap does";
    case "nested":
      return `write the keys below "${key}" at the top level, without it`;
    case "encoding":
      return "is this a text file, and in UTF-8?";
    default:
      return undefined;
  }
}

/** A problem on one line, with the hint: for logs and answers that show no hints below. */
export function renderAdvice(problem: Problem): string {
  const hint = hintFor(problem);
  return hint === undefined ? renderProblem(problem) : `${renderProblem(problem)}; ${hint}`;
}

/** The row of the key that a path begins with, such as `nonMasqueradeCIDRs[3]`. */
function rowOf(path: string): Key | undefined {
  return ROWS.get(path.replace(/\[.*$/, ""));
}

/** The kind of the list that a path leads to or into. */
function listAt(path: string): ListKind<unknown> | undefined {
  const kind = rowOf(path)?.kind;
  return kind !== undefined && isListKind(kind) ? kind : undefined;
}

function emptyHint(key: string, text: string | undefined): string | undefined {
  if (key.endsWith("]")) return `was a variable not set? Remove the entry, or write ${listAt(key)?.one}`;
  if (key !== "nonMasqueradeCIDRs") return undefined;
  const list = text === "[]" ? "list what keeps the pods' address" : "indent its entries below it";
  return `remove the key for the defaults, or ${list}`;
}

function typeHint(key: string): string | undefined {
  if (key === "") return 'write keys with values: "nonMasqueradeCIDRs:" and its entries below';
  const { one = "", example } = (key.endsWith("]") && listAt(key)) || {};
  return example === undefined
    ? rowOf(key)?.hint
    : `write the ${one.replace(/^an? /, "")} alone, as in "- ${example}", and in quotes if it ends with a colon`;
}

/** A hint for a text (or a number) in place of another type. */
function textHint(text: string, key: string): string | undefined {
  const { kind } = rowOf(key) ?? {};
  if (kind === DURATION) return durationHint(text);
  const seen =
    (key === "" ? pageHint(text) : undefined) ??
    templateHint(text) ??
    lookalikeHint(text) ??
    commentHint(text) ??
    (JSON_TEXT.test(text) ? undefined : escapeHint(text));
  if (seen !== undefined) return seen;
  if (key === "") return documentHint(text);
  const list = listAt(key);
  if (list === undefined) return undefined;
  if (/^\s*[[{]/.test(text)) return "quotes make text of the list: remove them";
  if (/^-\S/.test(text)) return `put a space after the dash, as in "- ${list.example}"`;
  if (list === CIDR_LIST && /^!|,\s*!/.test(text))
    return `write a list, and the text after ! as an entry of ${counterpart(key)}`;
  return undefined;
}

/** The beginning of a JSON object, which is only text where quotes or | are around it. */
const JSON_TEXT = /^\s*\{\s*"/;

function documentHint(text: string): string | undefined {
  if (text.startsWith("map[")) return "this is how Go prints a map: write YAML or JSON";
  // Only quotes or | make a text with these.
  if (/^["'\s]*\w{1,64}:\s/.test(text) || JSON_TEXT.test(text))
    return "quotes or | make one text of the whole file: remove them";
  if (/^\w{1,64}:\S/.test(text)) return 'a key needs a space after its colon, as in "cidrLimit: 64"';
  const [word = ""] = /^\w{1,64}/.exec(text) ?? [];
  return knownKey(word) === undefined ? undefined : `put a colon after the key: "${word}:"`;
}

const UNITS: readonly (readonly [RegExp, string, number])[] = [
  [/^(?:s|secs?|seconds?)$/i, "s", 1],
  [/^(?:m|mins?|minutes?)$/i, "m", 1],
  [/^(?:h|hrs?|hours?)$/i, "h", 1],
  [/^(?:d|days?)$/i, "h", 24],
  [/^(?:w|weeks?)$/i, "h", 168],
];

/** The unit that the last number of a duration lacks, by the unit before it. */
const NEXT_UNIT: Readonly<Record<string, string>> = { "": "s", w: "d", d: "h", h: "m", m: "s" };

/** A number, and a word or a unit after it. */
const AMOUNT = /(\d{1,9}(?:\.\d{1,9})?)\s{0,2}([a-z]{1,8})?/gi;

/** Go's durations are 64-bit numbers of nanoseconds. */
const LONGEST_HOURS = 2_562_047;

function durationHint(text: string): string {
  if (text === "")
    return `remove the key for the default of ${DURATION.written(DEFAULT_RESYNC_MS)}, or write a duration`;
  const other = templateHint(text) ?? escapeHint(text);
  if (other !== undefined) return other;
  if (/^\d{1,64}h$/.test(text)) return `the longest duration is ${LONGEST_HOURS}h`;
  let last = "";
  const parts = [...text.slice(0, 64).matchAll(AMOUNT)].map(
    ([, digits = "", name = NEXT_UNIT[last] ?? "?"]) => {
      const [, unit = "?", factor = 1] = UNITS.find(([names]) => names.test(name)) ?? [];
      last = name.slice(0, 1).toLowerCase();
      return `${Number(digits) * factor}${unit}`;
    },
  );
  const meant = parts.join("");
  const isAll = text.length <= 64 && /^[\s,]*$/.test(text.replace(AMOUNT, ""));
  return isAll && parseDuration(meant).ok ? `did you mean "${meant}"?` : KEYS.resyncInterval.hint;
}
