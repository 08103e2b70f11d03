/** The command `render`: the rules that `run` would program, without a look at the machine. */

import { comment, renderStep } from "../../backend/shell.ts";
import type { Step } from "../../backend/step.ts";
import { type Desired, onNode } from "../../core/desired.ts";
import { stringType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { renderScript } from "../../netlink/text.ts";
import { counted } from "../../text/plural.ts";
import type { Rendered } from "../backend.ts";
import { backendOf } from "../backends.ts";
import { type Command, type CommandIo, UsageError } from "../command.ts";
import { desiredFlags, readDesired, sayProblems } from "../desired.ts";
import { pickFlags } from "../options.ts";
import { VERSION } from "../version.ts";
import { givenAddresses } from "./node-addresses.ts";

const flags = {
  ...desiredFlags,
  ...pickFlags("iptables-mode"),
  "node-address": flag(
    stringType,
    "",
    "Comma-separated IP `addresses` of the node, of which outputAddresses uses some.",
  ),
};

type Input = Parameters<(typeof renderCommand)["run"]>[0];
type Values = Input["values"];

/** A family's steps, or those of both. */
type Part = Rendered["parts"][number];

export const renderCommand: Command<typeof flags> = {
  name: "render",
  writesScript: true,
  summary: "Print what run would program, as a shell script",
  operands: "[FILE]",
  details: `Needs neither root nor the tools: it reads only the configuration (FILE, or --config; - is
standard input), of the node's addresses those of --node-address, with --to-ports=local this machine's settings, and for flags that are not given those of the agent in this network namespace. The script does what run does on a node without any of our rules; applied there with sh, it
leaves the same rules. With nftables each part is one transaction.

The script assumes what run finds out on the node: tools that know --random-fully and ipset, and with
--backend=auto or --iptables-mode=auto a node that has iptables, and no kubelet's chains. Very long
lists make more or fewer transactions where the kernel has different limits for a socket's buffers.`,
  flags,
  examples: [
    {
      args: "render --config=agent-config/config",
      what: "print the commands and the text for iptables-restore",
    },
    {
      args: "render --config=agent-config/config --backend=nftables --enable-ipv6",
      what: "print the script for nft",
    },
    { args: "render --config=agent-config/config --ipset-threshold=2", what: "print a set for the list" },
  ],
  adopts: () => "/proc",
  async run(input, io) {
    const { values, output } = input;
    const own = givenAddresses(values["node-address"]);
    const read = await readDesired(withFile(input), io);
    const desired = own === undefined ? read : onNode(read, own);
    sayProblems(desired, io);
    if (desired.problems.length > 0) return 1;
    const { render } = await backendOf(values.backend).commands();
    const { parts, assumed } = render(desired.rulesets, values);
    const refused = parts.find(({ refusal }) => refusal !== undefined);
    if (refused !== undefined) return refuse(refused.refusal ?? "", io);
    io.out(
      output === "json"
        ? renderJson(parts, desired)
        : renderText(parts, desired, [...assumedBackend(values), ...assumedAddresses(desired), ...assumed]),
    );
    return 0;
  },
};

/** FILE is what --config would be. */
function withFile(input: Input): Pick<Input, "values" | "given" | "agent"> {
  const { values, given, words, agent } = input;
  const [file, ...more] = words;
  if (file === undefined) return input;
  if (more.length > 0 || given.has("config"))
    throw new UsageError("one configuration at a time: FILE, or --config");
  return { values: { ...values, config: file }, given: new Set([...given, "config"]), agent };
}

function refuse(refusal: string, { err }: CommandIo): number {
  err(`ip-masq-agent render: ${refusal}\n`);
  return 1;
}

function assumedBackend({ backend }: Values): string[] {
  return backend === "auto" ? ["--backend=auto means iptables here"] : [];
}

/** Families whose rules would name addresses of the node. */
function assumedAddresses({ config, rulesets }: Desired): string[] {
  return rulesets.flatMap(({ family, masquerade }) =>
    masquerade.pool === undefined && config.outputAddresses.some((block) => block.family === family)
      ? [
          `${family}: MASQUERADE, as on a node with no address in outputAddresses: --node-address names the node's`,
        ]
      : [],
  );
}

function renderText(
  parts: readonly Part[],
  { source, rulesets }: Desired,
  assumed: readonly string[],
): string {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  return [
    "#!/bin/sh",
    `# ip-masq-agent ${VERSION}, ${comment(source)}: ${counted(cidrs, "CIDR")} with link-local`,
    ...assumed.map((line) => `# ${line}`),
    "set -e",
    ...parts.map(({ label, steps }) => `\n# --- ${label}\n${steps.map(renderStep).join("").trimEnd()}`),
    "",
  ].join("\n");
}

function renderJson(parts: readonly Part[], { source }: Desired): string {
  const answer = parts.map(({ label, steps }) => ({
    families: label.split(" and "),
    steps: steps.map(plainStep),
  }));
  return `${JSON.stringify({ source, parts: answer })}\n`;
}

function plainStep(step: Step): unknown {
  if ("operations" in step)
    return { purpose: step.purpose, file: "nft", args: ["-f", "-"], stdin: renderScript(step.operations) };
  const { purpose, file, args, stdin, accept, otherwise } = step;
  return { purpose, file, args, stdin, accept, otherwise: otherwise && plainStep(otherwise) };
}
