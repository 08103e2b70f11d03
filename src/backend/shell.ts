/** Steps as lines for a POSIX shell, which do the same as an agent that carries them out. */

import { renderScript } from "../netlink/text.ts";
import type { Script } from "../system/script.ts";
import type { Step } from "./step.ts";

/** A step with its purpose above it. */
export function renderStep(step: Step): string {
  return `# ${comment(step.purpose)}\n${"operations" in step ? renderInput("nft -f -", renderScript(step.operations)) : renderTool(step)}`;
}

/** Accepted exit codes are not failures, and a failure leads to the `otherwise` script. */
function renderTool({ file, args, stdin, accept = [], otherwise }: Script): string {
  const words = [file, ...args].map(quote).join(" ");
  if (otherwise !== undefined) return `${words} 2>/dev/null ||\n  ${renderTool(otherwise)}`;
  const command =
    accept.length === 0 ? words : `${words} 2>/dev/null || [ $? -eq ${accept.join(" -o $? -eq ")} ]`;
  return stdin === undefined ? `${command}\n` : renderInput(command, stdin);
}

/** Text as a tool's input, up to an end line that the text does not have. */
function renderInput(command: string, text: string): string {
  let end = "END";
  while (`\n${text}`.includes(`\n${end}\n`)) end += "_";
  return `${command} <<'${end}'\n${text}${end}\n`;
}

/** Text without line ends: it may contain a user's name for something. */
export function comment(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}

/** A word that a shell reads as it is. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
