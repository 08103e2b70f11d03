/** Whether a configuration that was read is the one in force. */
import type { Desired } from "../core/desired.ts";
import { digestOf } from "../core/digest.ts";
import type { Status } from "../observe/status.ts";
import { askable, askStatus } from "./ask.ts";
import { nameOf, type RunningAgent } from "./running-agent.ts";

export interface InForce {
  /** The configuration, unless something else is in force. */
  readonly file: Desired | undefined;
  /** For people: the evidence, or why it is not known. */
  readonly note: string;
}

/** Asks the agent that reads the configuration; `read` is the result of reading it here. */
export async function inForce(
  read: Desired | Error,
  agent: RunningAgent,
  signal: AbortSignal,
): Promise<InForce> {
  const name = nameOf(agent);
  if (read instanceof Error)
    return { file: undefined, note: `cannot read the configuration of ${name} here: ${read.message}` };
  const { source, text, problems } = read;
  const address = askable(agent.flags["http-address"]);
  const answer =
    typeof address === "string" ? { ok: false as const, why: address } : await askStatus(address, signal);
  if (!answer.ok && problems.length > 0)
    return { file: undefined, note: `${source} is not good: ${problems[0]?.message}` };
  if (!answer.ok) return { file: read, note: `${name} does not say whether it is in force: ${answer.why}` };
  const why = whyNot(answer.status, digestOf(text.files));
  if (why === undefined) return { file: read, note: `in force, says ${name}` };
  return { file: undefined, note: `${name} has not put ${source} in force: ${why}` };
}

/** Why an agent's configuration in force differs from the text with this digest; undefined if it is the same. */
export function whyNot({ config, rules }: Status, wanted: string): string | undefined {
  const missing = Object.entries(rules).flatMap(([label, { inForce }]) => (inForce ? [] : [label]));
  // An older agent does not report what is in force: only what it has read and accepted.
  const inForce = config.inForce === undefined ? config.valid && config.hash : config.inForce?.hash;
  if (inForce === wanted && missing.length === 0) return undefined;
  if (!config.valid) return config.problems[0] ?? "it has not read it yet";
  if (missing.length > 0) return `its rules for ${missing.join(", ")} are not in force`;
  return "it has read a different text";
}
