/** The command `version`. */

import type { Command } from "../command.ts";
import { VERSION, versionLine } from "../version.ts";

export const versionCommand: Command = {
  name: "version",
  summary: "Print the version",
  operands: "",
  details: "",
  flags: {},
  examples: [{ args: "version -o json", what: "print the version for a program to read" }],
  async run({ output }, { out }) {
    const { version: node, platform, arch } = process;
    const answer = { version: VERSION, node, platform: `${platform}/${arch}` };
    out(output === "json" ? `${JSON.stringify(answer)}\n` : versionLine());
    return 0;
  },
};
