/**
 * Markup by template, safe by construction: any value in `html` that `html` has not itself made is text, and escaped.
 * Names of processes and a configuration's text are foreign input, and end up on a page.
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

/** A template whose values are escaped, both in an element and in a quoted attribute. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { markup: parts.map((part, i) => part + markupOf(values[i])).join("") };
}

/** No markup. */
export const nothing: Html = { markup: "" };

/**
 * Text that is safe in HTML: no markup, no control characters, no marks that turn the reading direction, not too long.
 */
export function escapeText(text: string): string {
  // Cut before escaping: half an entity would be worse than a long text.
  const short = text.length > TEXT_AT_MOST ? `${text.slice(0, TEXT_AT_MOST)}…` : text;
  return short
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, "\u{fffd}")
    .replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
}

/** The first items of a list, each as markup, and the number of the rest. */
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
