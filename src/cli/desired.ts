/** The rules that the flags and the configuration call for, for the commands that answer questions about them. */

import { openConfined } from "../agent/config/container-path.ts";
import { readConfig, SourceError } from "../agent/config/file.ts";
import type { Cidr } from "../core/cidr.ts";
import { type ConfigText, inspectConfig } from "../core/config.ts";
import { contentOf, initialNewest } from "../core/configmap/newest.ts";
import type { Desired } from "../core/desired.ts";
import type { Entries, Item } from "../core/key-lists.ts";
import { locate } from "../core/place.ts";
import { compileRuleset, enabledFamilies, type Options } from "../core/ruleset.ts";
import type { FlagValues } from "../go/flags.ts";
import { goQuote } from "../go/quote.ts";
import { oddPathHint } from "../text/odd-path.ts";
import { renderAdvice } from "../validate/hints.ts";
import { type CommandInput, type CommandIo, UsageError } from "./command.ts";
import { agentFlags, pickFlags, type RuleFlags, ruleOptions } from "./options.ts";
import type { RunningAgent } from "./running-agent.ts";

/** The flags of `run` that have a part in the rules. */
export const desiredFlags = pickFlags(
  "config",
  "masq-chain",
  "nomasq-all-reserved-ranges",
  "enable-ipv6",
  "random-fully",
  "to-ports",
  "backend",
  "ipset-threshold",
);

export type DesiredValues = FlagValues<typeof desiredFlags>;

/** The inputs that decide which configuration is meant. */
export interface DesiredInput extends Pick<CommandInput, "given"> {
  readonly values: DesiredValues;
  readonly agent?: CommandInput["agent"];
}

/** Standard input, as an operand or as the value of `--config`. */
export const STDIN = "-";

/** Reads the configuration that the flags name, as `run` would. Throws a `UsageError` or a `SourceError`. */
export async function readDesired(
  { values, given, agent }: DesiredInput,
  io: Pick<CommandIo, "stdin">,
): Promise<Desired> {
  const options = optionsOf(values);
  const isNamed = given.has("config") || agent === undefined;
  const readsDirectory = isNamed ? values.config !== agentFlags.config.initial : agent.readsDirectory;
  const read = await readText(values.config, readsDirectory, io);
  const text = isNamed ? read : await newestOf(read, agent);
  // Only the agent continues with the defaults: its file may come later. A user has mistyped the name.
  if (given.has("config") && text.kind === "file" && text.files.length === 0)
    throw new SourceError(values.config, new Error(missing(values.config)));
  const { config, problems, warnings, lists } = inspectConfig(text, options);
  const isGood = problems.length === 0;
  return {
    options,
    text,
    source:
      text.files.length === 0
        ? `no configuration at ${text.source ?? values.config}, the defaults`
        : (text.source ?? text.files.map(({ path }) => path).join(", ")),
    config,
    problems,
    warnings,
    rulesets: isGood ? enabledFamilies(options).map((family) => compileRuleset(family, config, options)) : [],
    placeOf: createPlaces(lists),
  };
}

function missing(path: string): string {
  const hint = oddPathHint(path);
  return hint === undefined ? "no such file" : `no such file: ${hint}`;
}

/** The flags' part in the rules. Throws a `UsageError`. */
export function optionsOf(values: RuleFlags): Options {
  const options = ruleOptions(values);
  if (options.ok) return options.value;
  throw new UsageError(`invalid --to-ports ${goQuote(values["to-ports"])}: ${options.message}`);
}

/** Prints problems and warnings, one line each, on stderr; also that there is no configuration. */
export function sayProblems(
  { problems, warnings, text, source }: Pick<Desired, "problems" | "warnings" | "text" | "source">,
  io: Pick<CommandIo, "err">,
): void {
  if (text.files.length === 0) io.err(`warning: ${source}\n`);
  for (const problem of problems) io.err(`${renderAdvice(problem)}\n`);
  for (const warning of warnings) io.err(`warning: ${renderAdvice(warning)}\n`);
}

async function readText(
  path: string,
  readsDirectory: boolean,
  { stdin }: Pick<CommandIo, "stdin">,
): Promise<ConfigText> {
  if (path === STDIN) return { kind: "file", files: [{ path: "standard input", bytes: await stdin() }] };
  return readConfig(path, readsDirectory);
}

/** The text that an agent has: the file may lag behind the API server that it follows. */
async function newestOf(file: ConfigText, { flags }: RunningAgent): Promise<ConfigText> {
  const { "config-map": configMap, "state-dir": directory } = flags;
  if (!configMap || !directory) return file;
  const { readAgentsCache } = await import("../api/cache.ts");
  try {
    return initialNewest(contentOf(file), readAgentsCache(directory, openConfined)).current.text;
  } catch (error) {
    throw new SourceError(directory, error);
  }
}

/** Entries are compared by identity, since the same prefix may occur twice. */
function createPlaces(lists: readonly Entries[]): Desired["placeOf"] {
  let items: Map<Cidr, Item> | undefined;
  return (cidr) => {
    items ??= new Map(
      lists.flatMap(({ items, values }) => values.map((cidr, i) => [cidr, items[i] as Item] as const)),
    );
    const item = items.get(cidr);
    return item === undefined ? undefined : locate(item);
  };
}
