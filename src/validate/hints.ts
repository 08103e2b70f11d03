/** What an operator could write instead: hints to the problems of a configuration. */
import { knownKey } from "../core/config-fields.ts";
import { type Problem, renderProblem } from "../core/problem.ts";
import { lookalikeHint, templateHint } from "../core/text-hints.ts";
import { parseDuration } from "../go/duration.ts";
import { cidrHint } from "./hints-cidr.ts";
import { keyHint } from "./hints-key.ts";

const TYPE_HINTS = {
  nonMasqueradeCIDRs: 'write a list: "- 10.0.0.0/8" on a line of its own for each entry, or [] for none',
  masqueradeCIDRs: 'write a list: "- 10.20.0.0/16" on a line of its own for each entry',
  cidrLimit: "write digits, without quotes or a fraction",
  masqLinkLocal: "write true or false, without quotes",
  masqLinkLocalIPv6: "write true or false, without quotes",
  resyncInterval: 'write a number with a unit, such as "60s" or "1m30s"',
} as const;

/** What to do about a problem, unless its message says it. */
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
    case "limit":
      return "raise cidrLimit, or unite entries";
    case "conflict":
      return "remove it from one of the two lists";
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

function emptyHint(key: string, text: string | undefined): string | undefined {
  if (key.endsWith("]")) return "was a variable not set? Remove the entry, or write a CIDR";
  if (key !== "nonMasqueradeCIDRs") return undefined;
  const list = text === "[]" ? "list what keeps the pods' address" : "indent its entries below it";
  return `remove the key for the defaults, or ${list}`;
}

function typeHint(key: string): string | undefined {
  if (key === "") return 'write keys with values: "nonMasqueradeCIDRs:" and its entries below';
  if (key.endsWith("]"))
    return 'write the CIDR alone, as in "- 10.0.0.0/8", and in quotes if it ends with a colon';
  return TYPE_HINTS[key as keyof typeof TYPE_HINTS];
}

/** About a text (or a number) that stands where something else should. */
function textHint(text: string, key: string): string | undefined {
  if (key === "resyncInterval") return durationHint(text);
  const seen = templateHint(text) ?? lookalikeHint(text);
  if (seen !== undefined) return seen;
  if (key === "") return documentHint(text);
  if (!key.endsWith("CIDRs")) return undefined;
  if (/^\s*[[{]/.test(text)) return "quotes make text of the list: remove them";
  if (/^-\S/.test(text)) return 'a space belongs behind the dash, as in "- 10.0.0.0/8"';
  if (/^!|,\s*!/.test(text)) return "write a list, and what stands behind ! as an entry of masqueradeCIDRs";
  return undefined;
}

function documentHint(text: string): string | undefined {
  if (text.startsWith("map[")) return "this is how Go prints a map: write YAML or JSON";
  // Without quotes or | there would be no text with these.
  if (/^["'\s]*\w{1,64}:\s/.test(text)) return "quotes or | make one text of the whole file: remove them";
  if (/^\w{1,64}:\S/.test(text)) return 'a key needs a space behind its colon, as in "cidrLimit: 64"';
  const [word = ""] = /^\w{1,64}/.exec(text) ?? [];
  return knownKey(word) === undefined ? undefined : `a colon belongs behind the key: "${word}:"`;
}

const UNITS: readonly (readonly [RegExp, string, number])[] = [
  [/^(?:s|secs?|seconds?)$/i, "s", 1],
  [/^(?:m|mins?|minutes?)$/i, "m", 1],
  [/^(?:h|hrs?|hours?)$/i, "h", 1],
  [/^(?:d|days?)$/i, "h", 24],
];

/** A number, and a word or a unit behind it. */
const AMOUNT = /(\d{1,9}(?:\.\d{1,9})?)\s{0,2}([a-z]{0,8})/gi;

function durationHint(text: string): string {
  if (text === "") return "remove the key for the default of 60s, or write a duration";
  const parts = [...text.slice(0, 64).matchAll(AMOUNT)].map(([, digits = "", name = ""]) => {
    const [, unit = "?", factor = 1] = UNITS.find(([names]) => names.test(name || "s")) ?? [];
    return `${Number(digits) * factor}${unit}`;
  });
  const meant = parts.join("");
  const isAll = text.length <= 64 && /^[\s,]*$/.test(text.replace(AMOUNT, ""));
  return isAll && parseDuration(meant).ok ? `did you mean "${meant}"?` : TYPE_HINTS.resyncInterval;
}
