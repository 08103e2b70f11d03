/** What help and the man page say about `run`, which parses its flags as the Go program does and not as a `Command`. */
import type { Manual } from "./manual.ts";
import { agentFlags } from "./options.ts";

export const runManual: Manual<typeof agentFlags> = {
  name: "run",
  summary: "Runs the agent (the default)",
  operands: "",
  details: `Reads the configuration, and keeps the node's rules equal to it until a signal ends it; the rules stay then.
Flags have Go's syntax: the first word ends them, and what follows is ignored, with a warning.`,
  flags: agentFlags,
  examples: [],
};
