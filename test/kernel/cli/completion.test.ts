import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { completionCommand } from "../../../src/cli/completion/command.ts";
import { say } from "../../lab/io.ts";

const command = completionCommand(COMMANDS);
const directory = mkdtempSync(join(tmpdir(), "completion-"));
const script = async (shell: string) => (await say(command, [shell])).out;

beforeAll(() => {
  writeFileSync(join(directory, "my config"), "");
});
afterAll(() => rmSync(directory, { recursive: true }));

function isInstalled(shell: string): boolean {
  const found = spawnSync(shell, ["--version"]).status === 0;
  if (!found) console.warn(`NOT TESTED: completion in ${shell}, which is not installed`);
  return found;
}

/** Command lines, split as bash splits them (`=` is a word of its own), and what completes the last word. */
const CASES: readonly (readonly [words: readonly string[], expected: readonly string[]])[] = [
  [["va"], ["validate"]],
  [["validate", "--str"], ["--strict"]],
  [["validate", "--backend", "nf"], ["nftables"]],
  [["validate", "--backend", "=", "ip"], ["iptables"]],
  [
    ["validate", "--backend", "="],
    ["iptables", "nftables", "auto"],
  ],
  [["validate", "-backend", "a"], ["auto"]],
  [
    ["validate", "-o", ""],
    ["text", "json"],
  ],
  [["validate", "my"], ["my config"]],
  [["render", "--config", "m"], ["my config"]],
  [["render", "--masq-chain", "m"], []],
  [["render", "m"], ["my config"]],
  [["cleanup", ""], []],
  [["cleanup", "--dry-run", "--all"], ["--all-chains"]],
  [["--logging-format", "j"], ["json"]],
  [["--enable"], ["--enable-ipv6"]],
  [["completion", "f"], ["fish"]],
  [["help", "com"], ["completion"]],
];

describe("bash", async () => {
  const bash = await script("bash");
  test.each(CASES)("%j: %j", (words, expected) => {
    const input = [
      bash,
      `COMP_WORDS=(ip-masq-agent ${words.map((word) => `'${word}'`).join(" ")})`,
      `COMP_CWORD=${words.length}`,
      "_ip_masq_agent",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's
      'for i in "${!COMPREPLY[@]}"; do printf "%s\\n" "${COMPREPLY[i]}"; done',
    ].join("\n");
    const { stdout, stderr } = spawnSync("bash", ["-u"], { input, cwd: directory, encoding: "utf8" });
    expect({ stdout: stdout.split("\n").slice(0, -1), stderr }).toEqual({ stdout: expected, stderr: "" });
  });

  test("is loaded by the one line of the documentation", () => {
    const input = `${bash}\ncomplete -p ip-masq-agent`;
    const { stdout } = spawnSync("bash", [], { input, encoding: "utf8" });
    expect(stdout).toBe("complete -o bashdefault -o filenames -F _ip_masq_agent ip-masq-agent\n");
  });
});

describe.skipIf(!isInstalled("fish"))("fish", async () => {
  const fish = await script("fish");
  // What bash splits at "=" is one word here; files come with what else there is.
  const cases = CASES.filter(([words]) => !words.includes("=") && !words.includes("-backend"));
  test.each(cases)("%j: %j", (words, expected) => {
    const line = `ip-masq-agent ${words.join(" ")}`;
    const file = join(directory, ".script.fish");
    writeFileSync(file, `${fish}\ncomplete -C '${line}'\n`);
    const { stdout, stderr } = spawnSync("fish", ["--no-config", file], { cwd: directory, encoding: "utf8" });
    const completed = stdout
      .split("\n")
      .slice(0, -1)
      .map((one) => one.split("\t")[0]?.replaceAll("\\", ""));
    expect({ completed: completed.sort(), stderr }).toEqual({ completed: [...expected].sort(), stderr: "" });
  });
});

describe.skipIf(!isInstalled("zsh"))("zsh", async () => {
  const zsh = await script("zsh");
  test("takes the script, and its function is there", () => {
    const input = `autoload -U compinit; compinit -u -D\n${zsh}\nprint -- $_comps[ip-masq-agent]; functions _ip-masq-agent >/dev/null && print found`;
    const { stdout, stderr } = spawnSync("zsh", ["-f"], { input, encoding: "utf8" });
    expect({ stdout, stderr }).toEqual({ stdout: "_ip-masq-agent\nfound\n", stderr: "" });
  });
});

test("another shell, or none, is a usage error", async () => {
  for (const args of [[], ["tcsh"], ["bash", "zsh"]]) expect((await say(command, args)).code).toBe(2);
});
