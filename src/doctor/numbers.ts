/** The numbers in a text. */
export function numbers(text = ""): bigint[] {
  return (text.match(/\d+/g) ?? []).map(BigInt);
}

/** A share, rounded down. */
export function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}
