/** A node in memory: a nat table for each family, and a `run` that answers as the agent's own does. */

import { CommandError } from "../../src/system/command-error.ts";
import type { Answer, Script } from "../../src/system/script.ts";
import { createNat, type Nat } from "./memory/nat.ts";

export interface FakeNode {
  readonly IPv4: Nat;
  readonly IPv6: Nat;
  /** Answers instead of the tables, where it gives one. */
  interfere: (script: Script) => Answer | undefined;
  readonly run: (script: Script) => Promise<Answer>;
  /** The command lines since the last call, without their constant parts. */
  readonly taken: () => string[];
}

/** A fresh node with tools of this version. */
export function createNode(version?: string): FakeNode {
  const calls: string[] = [];
  const node: FakeNode = {
    IPv4: createNat("IPv4", version),
    IPv6: createNat("IPv6", version),
    interfere: () => undefined,
    async run(script) {
      calls.push([script.file, ...script.args].join(" ").replace(/ -m comment .*$/, " ..."));
      const nat = script.file.startsWith("ip6") ? node.IPv6 : node.IPv4;
      const answer = node.interfere(script) ?? nat.run(script);
      const { exitCode, stderr } = answer;
      if (exitCode === 1 && script.otherwise !== undefined) return node.run(script.otherwise);
      if (exitCode === 0 || script.accept?.includes(exitCode) === true) return answer;
      throw new CommandError(script, { why: `exit status ${exitCode}: ${stderr.trim()}`, exitCode, stderr });
    },
    taken: () => calls.splice(0),
  };
  return node;
}

/** A refusal as of a tool that may not. */
export const DENIED: Answer = { exitCode: 4, stdout: "", stderr: "Permission denied (you must be root)" };
