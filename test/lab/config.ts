/** Shorthand for rulesets in tests: what a configuration file and flags come to. */
import { type DecodedConfig, decodeConfig, type MasqConfig } from "../../src/core/config.ts";
import type { ConfigOptions } from "../../src/core/config-options.ts";
import { type Problem, type Result, renderProblem } from "../../src/core/problem.ts";
import { compileRuleset, type NodeAddresses, type Options, type Ruleset } from "../../src/core/ruleset.ts";

/** The flags' defaults. */
export const OPTIONS: Options = {
  masqChain: "IP-MASQ-AGENT",
  toPorts: [],
  randomFully: true,
  noMasqAllReservedRanges: false,
  enableIPv6: false,
};

const BASE: ConfigOptions = OPTIONS;

/** Decodes one file named `f`. */
export function decodeText(text: string, options: Partial<ConfigOptions> = {}): Result<DecodedConfig> {
  const files = [{ path: "f", bytes: new TextEncoder().encode(text) }];
  return decodeConfig({ kind: "file", files }, { ...BASE, ...options });
}

/** The configuration of a good text. */
export function configOf(text: string, options: Partial<ConfigOptions> = {}): MasqConfig {
  const decoded = decodeText(text, options);
  if (!decoded.ok) throw new Error(problemLines(decoded.problems).join("\n"));
  return decoded.value.config;
}

/** The ruleset of a good text. */
export function rulesetOf(
  family: Ruleset["family"],
  text: string,
  options: Partial<Options> = {},
  own?: NodeAddresses,
): Ruleset {
  const all = { ...OPTIONS, ...options };
  return compileRuleset(family, configOf(text, all), all, own);
}

/** Problems as an operator reads them. */
export function problemLines(problems: readonly Problem[]): string[] {
  return problems.map(renderProblem);
}
