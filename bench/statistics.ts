/** Medians, since other work of the machine makes outliers, all of them to one side. */

/** The middle value. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which this part of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const index = Math.floor(sorted.length * part);
  return sorted[Math.min(Math.max(index, 0), sorted.length - 1)] ?? Number.NaN;
}

/**
 * Half the width of the 95 % confidence interval of the median, from the order of the values alone, without
 * assuming a distribution: it is far from normal here.
 */
export function medianError(values: readonly number[]): number {
  const reach = 0.98 / Math.sqrt(values.length);
  return (quantile(values, 0.5 + reach) - quantile(values, 0.5 - reach)) / 2;
}
