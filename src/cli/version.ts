/** The command `version`, and the version itself, which the build puts in; `dev` when the sources run unbuilt. */
import { flag, parseFlags, renderUsage } from "../core/flags.ts";
import { wordType } from "../core/flagtypes.ts";

declare const __VERSION__: string | undefined;

export const VERSION: string = typeof __VERSION__ === "string" ? __VERSION__ : "dev";

const FLAGS = { o: flag(wordType("text", "json"), "text", "How the answer is written: `text|json`.") };

/** Prints the version; returns the exit code. */
export function printVersion(args: readonly string[]): number {
  const parsed = parseFlags(FLAGS, args, "anywhere");
  const usage = renderUsage("ip-masq-agent version", FLAGS);
  if (parsed.kind === "help") {
    process.stdout.write(usage);
    return 0;
  }
  if (parsed.kind === "error" || parsed.words.length > 0) {
    process.stderr.write(
      `${parsed.kind === "error" ? parsed.message : `unexpected argument: ${parsed.words[0]}`}\n${usage}`,
    );
    return 2;
  }
  const { version: node, platform, arch } = process;
  const answer = { version: VERSION, node, platform: `${platform}/${arch}` };
  const text =
    parsed.values.o === "json"
      ? JSON.stringify(answer)
      : `ip-masq-agent ${VERSION} (node ${node}, ${answer.platform})`;
  process.stdout.write(`${text}\n`);
  return 0;
}
