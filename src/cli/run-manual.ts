/** The manual of `run`, which parses its flags as the Go program does and not as a `Command`. */
import type { Manual } from "./manual.ts";
import { agentFlags } from "./options.ts";

export const runManual: Manual<typeof agentFlags> = {
  name: "run",
  summary: "Run the agent (the default)",
  operands: "",
  details: `Reads the configuration, and keeps the node's rules in sync with it until a signal ends it; the rules stay then.
Flags have Go's syntax: the first word ends them, and it ignores what follows, with a warning.`,
  flags: agentFlags,
  examples: [],
};
