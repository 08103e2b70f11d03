/** The command `version`, and the version itself, which the build puts in; `dev` when the sources run unbuilt. */
import type { Command } from "./command.ts";

declare const __VERSION__: string | undefined;

export const VERSION: string = typeof __VERSION__ === "string" ? __VERSION__ : "dev";

/** What people are shown. */
export function versionLine(): string {
  const { version: node, platform, arch } = process;
  return `ip-masq-agent ${VERSION} (node ${node}, ${platform}/${arch})\n`;
}

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
    out(output === "json" ? `${JSON.stringify(answer)}\n` : versionLine());
    return 0;
  },
};
