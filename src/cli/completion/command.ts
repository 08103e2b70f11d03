/** The command `completion`: a script for a shell. */
import { type Command, type CommandLoaders, UsageError } from "../command.ts";
import { allManuals } from "../help.ts";
import { completedCommands, SHELLS } from "./model.ts";
import { bashScript, fishScript, zshScript } from "./scripts.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** `completion` over a table of commands, which includes itself. */
export function completionCommand(commands: CommandLoaders): Command {
  return {
    name: "completion",
    summary: "Print a script that completes commands and flags in a shell",
    operands: SHELLS.join("|"),
    details: `In bash: . <(ip-masq-agent completion bash), for instance in ~/.bashrc. In zsh: the same, after
compinit. In fish: ip-masq-agent completion fish | source.`,
    flags: {},
    examples: [{ args: "completion bash", what: "print the script for bash" }],
    async run({ words, output }, { out }) {
      const [word, ...more] = words;
      const shell = SHELLS.find((one) => one === word);
      if (shell === undefined || more.length > 0)
        throw new UsageError(`name one shell: ${SHELLS.join(", ")}`);
      const script = SCRIPTS[shell](completedCommands(await allManuals(commands)));
      out(output === "json" ? `${JSON.stringify({ shell, script })}\n` : script);
      return 0;
    },
  };
}
