/**
 * Flags of the agent that runs beside a command, so that an operator does not have to repeat them, and no answer is
 * about an agent that does not exist. `runCommand` does it for every command; a line says which flags it used, or why
 * it used none.
 */

import { readlinkSync, statSync } from "node:fs";
import { type FlagTable, type FlagValues, parseFlags } from "../go/flags.ts";
import { type Fact, isKnown, known, tryRead } from "../system/fact.ts";
import type { Processes, SeenAgent } from "../system/processes.ts";
import { counted } from "../text/plural.ts";
import { agentFlags } from "./options.ts";

type AgentValues = FlagValues<typeof agentFlags>;
type Name = keyof typeof agentFlags;

/** The agent that a command answers about. */
export interface RunningAgent extends Pick<SeenAgent, "pid" | "isOurs"> {
  /** All its flags; the paths of its configuration and of its state are as this process has to write them. */
  readonly flags: AgentValues;
  /** Whether it would read a directory there: not at the default path, where the Go program reads none. */
  readonly readsDirectory: boolean;
}

/** The inputs of a command. */
export interface Adopted {
  readonly values: Readonly<Record<string, unknown>>;
  /** Undefined if no visible agent matches, or no flag is left to take from it. */
  readonly agent: RunningAgent | undefined;
  /** Lines for people about the flags taken, and not taken. */
  readonly said: readonly string[];
}

/** Flags that two agents in one network namespace cannot share: given, they select one. */
const IDENTITY = ["masq-chain", "http-address"] as const;

/** The flags of a command line. */
interface Given {
  readonly values: Readonly<Record<string, unknown>>;
  readonly given: ReadonlySet<string>;
}

/**
 * Takes the flags of `table` that `run` has too, and that were not given, from an agent in this network namespace whose
 * process is visible in `proc`. Of several it prefers ours to the Go program, which migrations leave behind.
 */
export function adoptFlags(
  input: Given,
  table: FlagTable,
  processes: Fact<Processes>,
  proc: string,
): Adopted {
  const wanted = namesOf(table).filter((name) => !input.given.has(name));
  if (wanted.length === 0) return { values: input.values, agent: undefined, said: [] };
  if (!isKnown(processes))
    return {
      ...input,
      agent: undefined,
      said: [`cannot tell whether an agent runs here: ${processes.why}`],
    };
  const { agents, strangers, hidden } = processes.value;
  const { running, unread } = readAgents(agents, proc);
  const meant = running.filter((one) => isMeant(one, input)).sort(oursFirst);
  const [agent, ...others] = meant;
  const taken = Object.fromEntries(wanted.map((name) => [name, agent?.flags[name] ?? input.values[name]]));
  const notTaken = [
    ...unread,
    ...(agent === undefined ? running.map((one) => notMeant(one, input)) : []),
    ...strangeAgents(strangers),
    ...hiddenAgents(hidden),
  ];
  if (agent === undefined) return { ...input, agent, said: notTaken };
  const values = { ...input.values, ...taken };
  const isChoice = others.some(({ flags }) =>
    wanted.some((name) => String(flags[name]) !== String(taken[name])),
  );
  return {
    values,
    agent,
    said: [
      ...changes(wanted, input.values, values, agent),
      ...(isChoice ? [choice(agent, others)] : []),
      ...notTaken,
    ],
  };
}

function hiddenAgents(pids: readonly number[]): readonly string[] {
  if (pids.length === 0) return [];
  return [
    `only root may see whether an agent runs here, as ${abridged(pids.map((pid) => `pid ${pid}`))} may be: its flags are not used`,
  ];
}

function strangeAgents(strangers: Processes["strangers"]): readonly string[] {
  if (strangers.length === 0) return [];
  const named = abridged(strangers.map(({ pid, uid }) => `pid ${pid} of user ${uid}`));
  return [
    `not trusted, since a different user runs it under the name ip-masq-agent: ${named}; run this command as that user if you trust it`,
  ];
}

/** A user can start as many as the system allows. */
const NAMED_AT_MOST = 5;

function abridged(names: readonly string[]): string {
  const rest = names.length - NAMED_AT_MOST;
  const more = rest > 0 ? [counted(rest, "other")] : [];
  return [...names.slice(0, NAMED_AT_MOST), ...more].join(" or ");
}

function readAgents(agents: readonly SeenAgent[], proc: string) {
  const running: RunningAgent[] = [];
  const unread: string[] = [];
  for (const { pid, args, isOurs } of agents) {
    const parsed = parseFlags(agentFlags, args);
    if (parsed.kind === "flags") {
      const config = pathSeenBy(pid, parsed.values.config, proc);
      const { "state-dir": directory } = parsed.values;
      const state = directory === "" ? "" : pathSeenBy(pid, directory, proc);
      // The Go program serves no status.
      const address = isOurs ? parsed.values["http-address"] : "";
      running.push({
        pid,
        isOurs,
        flags: { ...parsed.values, config, "state-dir": state, "http-address": address },
        readsDirectory: parsed.values.config !== agentFlags.config.initial,
      });
    } else {
      const why = parsed.kind === "error" ? parsed.message : `it prints its ${parsed.kind}`;
      unread.push(
        `the flags of the agent with pid ${pid} are not used, since this version does not know them: ${why}`,
      );
    }
  }
  return { running, unread };
}

function isMeant({ flags }: RunningAgent, { values, given }: Given): boolean {
  return IDENTITY.every((name) => !given.has(name) || flags[name] === values[name]);
}

function notMeant(agent: RunningAgent, { values, given }: Given): string {
  const differs = IDENTITY.filter((name) => given.has(name) && agent.flags[name] !== values[name]);
  const flags = differs.map((name) => `--${name}=${agent.flags[name]}`).join(" ");
  return `the flags of ${nameOf(agent)} are not used, since it has ${flags}`;
}

function oursFirst(a: RunningAgent, b: RunningAgent): number {
  return Number(b.isOurs) - Number(a.isOurs);
}

function changes(
  names: readonly Name[],
  before: Adopted["values"],
  after: Adopted["values"],
  agent: RunningAgent,
): readonly string[] {
  const flags = names
    .filter((name) => after[name] !== before[name])
    .map((name) => `--${name}=${after[name]}`);
  return flags.length === 0 ? [] : [`${flags.join(" ")}, from ${nameOf(agent)}`];
}

function choice(agent: RunningAgent, others: readonly RunningAgent[]): string {
  const names = others.map(nameOf).join(", ");
  return `${others.length + 1} agents run here: this is about ${nameOf(agent)}, not ${names}; to select a different one, give its flags`;
}

/** An agent, for people. */
export function nameOf({ pid, isOurs }: Pick<RunningAgent, "pid" | "isOurs">): string {
  return `${isOurs ? "the agent" : "the Go program"} with pid ${pid}`;
}

/** The flags of a command that are the agent's own. */
function namesOf(table: FlagTable): readonly Name[] {
  return (Object.keys(table) as Name[]).filter((name) => table[name] === agentFlags[name]);
}

/** The flags of an agent's command line; undefined if it would not have started with them. */
export function flagsOf(args: readonly string[]): AgentValues | undefined {
  const parsed = parseFlags(agentFlags, args);
  return parsed.kind === "flags" ? parsed.values : undefined;
}

/**
 * The path of another process' file: from that process' own directory and root. The kernel follows its links there,
 * too.
 */
function pathSeenBy(pid: number, path: string, proc: string): string {
  if (!path.startsWith("/")) return `${proc}/${pid}/cwd/${path}`;
  return hasOurRoot(proc, pid) ? path : `${proc}/${pid}/root${path}`;
}

/** A process that has ended has no root to compare: then the path leads through its root, not ours. */
function hasOurRoot(proc: string, pid: number): boolean {
  const look = (who: number | "self") => {
    const { dev, ino } = statSync(`${proc}/${who}/root/`);
    return [readlinkSync(`${proc}/${who}/ns/mnt`), dev, ino].join(" ");
  };
  const rootOf = (who: number | "self") => known(tryRead("a root", () => look(who)));
  return rootOf(pid) === rootOf("self");
}
