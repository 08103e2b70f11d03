/** The findings of `doctor`. */

/** In the order of their weight. */
export const SEVERITIES = ["error", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Finding {
  /** The check's name, for machines. */
  readonly check: string;
  readonly severity: Severity;
  readonly message: string;
  /** Information needs none. */
  readonly remedy?: string;
}

/** A check's finding, before the check's name is added. */
export type FindingText = Omit<Finding, "check">;

export function error(message: string, remedy: string): FindingText {
  return { severity: "error", message, remedy };
}

export function warning(message: string, remedy: string): FindingText {
  return { severity: "warning", message, remedy };
}

/** More of a kind would hide the rest. */
const MANY = 20;

/** Findings of a kind, not more than people read. */
export function atMost(findings: readonly FindingText[]): readonly FindingText[] {
  const more = findings.slice(MANY);
  const [worst] = SEVERITIES.filter((severity) => more.some((one) => one.severity === severity));
  if (worst === undefined) return findings;
  const rest = { severity: worst, message: `and ${more.length} more rules of the kind` };
  return [...findings.slice(0, MANY), { ...rest, remedy: "see first to those above" }];
}

export function info(message: string, remedy?: string): FindingText {
  return { severity: "info", message, ...(remedy === undefined ? {} : { remedy }) };
}
