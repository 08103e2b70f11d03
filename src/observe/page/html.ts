/**
 * Markup by template, safe by construction: whatever is put into `html` that is not itself made by `html` is text, and
 * escaped. Names of processes and a configuration's text are others' input, and end up on a page.
 */

/** Markup, made by `html`, or a constant. */
export interface Html {
  readonly markup: string;
}

type Value = Html | readonly Html[] | string | number;

/** Longer texts are cut; a pass may fail with pages of a tool's output. */
const TEXT_AT_MOST = 400;
const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A template whose values are escaped, whether they stand in an element or in a quoted attribute. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { markup: parts.map((part, i) => part + markupOf(values[i])).join("") };
}

/** No markup. */
export const nothing: Html = { markup: "" };

/** Text as it may stand in HTML: no markup, no control characters, no marks that turn the reading direction, not too long. */
export function escapeText(text: string): string {
  // Cut before, not behind: half an entity would be worse than a long text.
  const short = text.length > TEXT_AT_MOST ? `${text.slice(0, TEXT_AT_MOST)}…` : text;
  return short
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, "\u{fffd}")
    .replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
}

/** The first of a list, each as markup, and how many more there are. */
export function listed<T>(
  list: readonly T[],
  most: number,
  one: (value: T) => Html,
  more: (count: number) => Html,
): Html {
  const rows = list.slice(0, most).map(one);
  return html`${list.length > most ? [...rows, more(list.length - most)] : rows}`;
}

function markupOf(value: Value | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "string") return escapeText(value);
  if (typeof value === "number") return String(value);
  return "markup" in value ? value.markup : value.map(({ markup }) => markup).join("");
}
