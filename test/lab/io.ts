/** A command's world that remembers what was said. */

import { type Command, type CommandIo, runCommand } from "../../src/cli/command.ts";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import type { SeenAgent } from "../../src/system/processes.ts";
import { createColours } from "../../src/text/colours.ts";

export interface FindingText {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command with these arguments; `stdin` is what it can read there, `agents` run beside it. */
export async function say(
  command: Command,
  args: readonly string[],
  {
    stdin = "",
    colours = false,
    signal = new AbortController().signal,
    agents = [],
    clock = systemClock,
    platform = "linux",
  }: {
    readonly stdin?: string;
    readonly colours?: boolean;
    readonly signal?: AbortSignal;
    readonly agents?: readonly SeenAgent[];
    readonly clock?: Clock;
    readonly platform?: NodeJS.Platform;
  } = {},
): Promise<FindingText> {
  let out = "";
  let err = "";
  const io: CommandIo = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    colours: createColours(colours),
    signal,
    platform,
    clock,
    stdin: async () => Buffer.from(stdin),
    // Never those that happen to run on this machine.
    processes: () => ({ value: { kubelets: [], agents, strangers: [], hidden: [], clusterCidrs: [] } }),
  };
  const code = await runCommand(command, args, io);
  return { code, out, err };
}
