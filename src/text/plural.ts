/** Numbers with their nouns, so that "1 CIDR" and "2 CIDRs" are written in one place. */

/** `1 CIDR`, `2 CIDRs`, `0 entries`, `65,536 addresses`; a number with separators comes as text. */
export function counted(count: number | string, noun: string): string {
  return `${count} ${String(count) === "1" ? noun : pluralOf(noun)}`;
}

/** `a, b, c and 4 more`: as many names as fit, and the number of the rest. */
export function firstNames(names: readonly string[], shown: number): string {
  const more = names.length - shown;
  return `${names.slice(0, shown).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** 1234567 as `1,234,567`. */
export function groupedDigits(count: number | bigint | string): string {
  return String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
}

function pluralOf(noun: string): string {
  if (/[^aeiou]y$/.test(noun)) return `${noun.slice(0, -1)}ies`;
  return `${noun}${/(?:s|x|ch|sh)$/.test(noun) ? "es" : "s"}`;
}
