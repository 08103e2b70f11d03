/** The command `version`, and the version itself, which the build puts in; `dev` when the sources run unbuilt. */
import type { Command } from "./command.ts";

declare const __VERSION__: string | undefined;

export const VERSION: string = typeof __VERSION__ === "string" ? __VERSION__ : "dev";

export const versionCommand: Command = {
  name: "version",
  summary: "Prints the version",
  operands: "",
  details: "",
  flags: {},
  examples: [{ args: "version -o json", what: "the version for a program to read" }],
  async run({ output }, { out }) {
    const { version: node, platform, arch } = process;
    const answer = { version: VERSION, node, platform: `${platform}/${arch}` };
    const text = `ip-masq-agent ${VERSION} (node ${node}, ${answer.platform})`;
    out(`${output === "json" ? JSON.stringify(answer) : text}\n`);
    return 0;
  },
};
