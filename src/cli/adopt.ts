/** Flags of the agent that runs beside a command, so that an operator does not have to repeat them. */
import { readlinkSync } from "node:fs";
import { type Processes, readProcesses } from "../agent/doctor-processes.ts";
import { learn } from "../agent/doctor-read.ts";
import { type Fact, known } from "../core/doctor-facts.ts";
import { type FlagValues, parseFlags } from "../core/flags.ts";
import type { CommandInput, CommandIo } from "./command.ts";
import { agentFlags } from "./options.ts";

type AgentValues = FlagValues<typeof agentFlags>;

/** What a command works with, and the agent that a part of it is from. */
export interface Adopted<Values> {
  readonly values: Values;
  /** Undefined if no agent is seen, or its command line is no good. */
  readonly pid: number | undefined;
}

/** Flags that two agents in one network namespace cannot have in common. */
const IDENTITY = ["masq-chain", "http-address"] as const;

type Given<Values> = { readonly values: Values; readonly given: CommandInput["given"] };

/**
 * Takes those flags of `table` that were not given from the first agent in this network namespace whose process is seen in
 * `proc`, and which has what was given. The path of its configuration is as this process has to write it: an agent in a
 * container has files of its own.
 */
export function adoptFlags<Values extends Partial<AgentValues>>(
  { values, given }: Given<Values>,
  table: Partial<typeof agentFlags>,
  processes: Fact<Processes> = readProcesses("/proc"),
  proc = "/proc",
): Adopted<Values> {
  const agents = (known(processes)?.agents ?? []).flatMap(({ pid, args }) => {
    const flags = flagsOf(args);
    return flags === undefined ? [] : [{ pid, flags }];
  });
  // What is given says which of several is meant: nothing is taken from one that has it otherwise.
  const meant = IDENTITY.filter((name) => given.has(name));
  const agent = agents.find(({ flags }) => meant.every((name) => flags[name] === values[name]));
  if (agent === undefined) return { values, pid: undefined };
  const seen = { ...agent.flags, config: pathSeenBy(agent.pid, agent.flags.config, proc) };
  const taken = namesOf(table).filter((name) => !given.has(name));
  return {
    values: { ...values, ...Object.fromEntries(taken.map((name) => [name, seen[name]])) },
    pid: agent.pid,
  };
}

/** The same for a command about the rules of this node; it says what it has taken over. */
export function adoptForNode<Values extends Partial<AgentValues>>(
  command: string,
  input: Given<Values>,
  table: Partial<typeof agentFlags>,
  { err }: Pick<CommandIo, "err">,
): Values {
  const { values, pid } = adoptFlags(input, table);
  const flags = namesOf(table)
    .filter((name) => values[name] !== input.values[name])
    .map((name) => `--${name}=${values[name]}`);
  if (flags.length > 0)
    err(`ip-masq-agent ${command}: ${flags.join(" ")}, as of the agent with pid ${pid}\n`);
  return values;
}

function namesOf(table: Partial<typeof agentFlags>): readonly (keyof typeof agentFlags)[] {
  return Object.keys(table) as (keyof typeof agentFlags)[];
}

/** The flags of an agent's command line; undefined if it would not have started with them. */
export function flagsOf(args: readonly string[]): AgentValues | undefined {
  const parsed = parseFlags(agentFlags, args);
  return parsed.kind === "flags" ? parsed.values : undefined;
}

/** A path as another process means it: from its own directory, and among its own files. */
function pathSeenBy(pid: number, path: string, proc: string): string {
  if (!path.startsWith("/")) return `${proc}/${pid}/cwd/${path}`;
  const mounts = (who: string) => known(learn("mounts", () => readlinkSync(`${proc}/${who}/ns/mnt`)));
  const theirs = mounts(String(pid));
  return theirs === undefined || theirs === mounts("self") ? path : `${proc}/${pid}/root${path}`;
}
