/** Inputs of such a size, or so hostile, that a reader which takes too long for each part of them would seem to hang. */

import { validateCommand } from "../../src/cli/commands/validate.ts";
import { explainInterval } from "../../src/core/explanation.ts";
import type { ProblemCode } from "../../src/core/problem.ts";
import { encodeBatch } from "../../src/netlink/encode.ts";
import type { Operation } from "../../src/netlink/operations.ts";
import { hintFor } from "../../src/validate/hints.ts";
import { rulesetOf } from "../lab/config.ts";
import { say } from "../lab/io.ts";

/** Work, and how much processor time it may take. */
export interface Large {
  readonly name: string;
  readonly limitMs: number;
  readonly run: () => unknown;
}

const MIB = 1_048_576;

/** Repeated to 1 MiB, they make a careless regular expression take for ever. */
const HOSTILE = [
  ...'\n \t{1-\u00a0[#:"0',
  "{{",
  "<a",
  "\u0024{",
  "a ",
  "1.",
  "- ",
  "%a",
  "__a",
  "a:",
  "!a ",
  "@@a",
];

function hints(piece: string): Large {
  const text = piece.repeat(Math.ceil(MIB / piece.length));
  const hint = (code: ProblemCode, key: string, value?: string) =>
    hintFor({ code, key, path: "f", message: "", ...(value === undefined ? {} : { text: value }) });
  return {
    name: `hints for 1 MiB of ${JSON.stringify(piece)}`,
    // 1 to 30 ms on a quiet machine.
    limitMs: 1_500,
    run: () => {
      for (const code of ["cidr", "duration", "type", "unknown-key"] as const)
        for (const key of ["", "nonMasqueradeCIDRs", "nonMasqueradeCIDRs[0]"]) hint(code, key, text);
      hint("unknown-key", text);
    },
  };
}

/** Each entry inside the first one, and all of them on one line. */
function validating(): Large {
  const cidrs = Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  const stdin = JSON.stringify({ cidrLimit: 200_000, nonMasqueradeCIDRs: ["10.0.0.0/8", ...cidrs] });
  return {
    name: "validate, 100,000 nested entries",
    limitMs: 10_000,
    run: () => say(validateCommand, ["-"], { stdin }),
  };
}

/** The same and nested prefixes. */
function explaining(): Large {
  const many = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const nonMasqueradeCIDRs = [...many, ...many, ...Array(1_000).fill("10.0.0.0/8")];
  const ruleset = rulesetOf("IPv4", JSON.stringify({ cidrLimit: 100_000, nonMasqueradeCIDRs }));
  return {
    name: "explain, 41,000 entries",
    limitMs: 10_000,
    run: () => explainInterval(ruleset, { first: 0n, last: (1n << 32n) - 1n }),
  };
}

function packing(): Large {
  const elements = Array.from({ length: 100_000 }, (_, i) => {
    return { first: BigInt(i) * 64n, last: BigInt(i) * 64n + 31n };
  });
  const table = { family: "inet", table: "t" } as const;
  const operation: Operation = { op: "add elements", ...table, set: "v4", key: "ipv4_addr", elements };
  // 10 to 25 ms on a quiet machine.
  return { name: "100,000 intervals as messages", limitMs: 500, run: () => encodeBatch([operation], 1) };
}

/** All of them. */
export const LARGE: readonly Large[] = [...HOSTILE.map(hints), validating(), explaining(), packing()];
