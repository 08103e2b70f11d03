/** The command `render`: what `run` would program, without a look at the machine. */

import { comment, renderStep } from "../../backend/shell.ts";
import type { Plan, Step } from "../../backend/step.ts";
import type { Desired } from "../../core/desired.ts";
import { iptablesPlanner } from "../../iptables/plan.ts";
import type { Capabilities } from "../../iptables/planner.ts";
import { renderScript } from "../../netlink/text.ts";
import { planTable, tooManyRules } from "../../nftables/plan.ts";
import { NO_TABLE } from "../../nftables/sets.ts";
import { counted } from "../../text/plural.ts";
import type { Command, CommandIo } from "../command.ts";
import { desiredFlags, readDesired, sayProblems } from "../desired.ts";
import { pickFlags } from "../options.ts";
import { VERSION } from "../version.ts";

const flags = { ...desiredFlags, ...pickFlags("iptables-mode") };

type Values = Parameters<(typeof renderCommand)["run"]>[0]["values"];

/** A family's steps, or those of both. */
interface Part {
  readonly label: string;
  readonly steps: readonly Step[];
}

/** What current tools can do (1.6.2, of 2018, or later). */
const CAPABILITIES: Capabilities = {
  version: "1.8",
  variant: "nf_tables",
  check: true,
  wait: ["-w", "5"],
  restoreWait: ["-w", "5"],
  randomFully: true,
  ipset: true,
};

/** What a netlink socket takes at once on a kernel with the usual net.core.wmem_max and rmem_max of 212,992. */
const BATCH_BYTES = 425_952;

export const renderCommand: Command<typeof flags> = {
  name: "render",
  writesScript: true,
  summary: "Prints what run would program, as a shell script",
  operands: "",
  details: `Needs neither root nor the tools: nothing is looked at but the configuration (--config; - is standard
input) and, for flags that are not given, the agent that runs in this network namespace. The script is what run does on a node where nothing of ours stands; applied there with sh, it
leaves the same rules. With nftables each part is one transaction.

What run finds out on the node is assumed: tools that know --random-fully and ipset, and with
--backend=auto or --iptables-mode=auto a node that has iptables, and no kubelet's chains. Very long
lists make more or fewer transactions where the kernel has other limits for a socket's buffers.`,
  flags,
  examples: [
    { args: "render --config=agent-config/config", what: "the commands and the text for iptables-restore" },
    {
      args: "render --config=agent-config/config --backend=nftables --enable-ipv6",
      what: "the script for nft",
    },
    { args: "render --config=agent-config/config --ipset-threshold=2", what: "with a set for the list" },
  ],
  adopts: () => "/proc",
  async run(input, io) {
    const { values, output } = input;
    const desired = await readDesired(input, io);
    sayProblems(desired, io);
    if (desired.problems.length > 0) return 1;
    const parts = values.backend === "nftables" ? renderTable(desired) : renderChains(desired, values);
    const refused = parts.find(({ refusal }) => refusal !== undefined);
    if (refused !== undefined) return refuse(refused.refusal ?? "", io);
    io.out(output === "json" ? renderJson(parts, desired) : renderText(parts, desired, values));
    return 0;
  },
};

function refuse(refusal: string, { err }: CommandIo): number {
  err(`ip-masq-agent render: ${refusal}\n`);
  return 1;
}

type PlannedPart = Part & Pick<Plan, "refusal">;

function renderTable({ rulesets }: Desired): PlannedPart[] {
  const label = rulesets.map(({ family }) => family).join(" and ");
  const plan = planTable(rulesets, NO_TABLE, BATCH_BYTES);
  const refusal = plan.refusal ?? tooManyRules(plan, rulesets, BATCH_BYTES);
  return [{ label, steps: plan.steps, ...(refusal === undefined ? {} : { refusal }) }];
}

function renderChains({ rulesets }: Desired, values: Values): PlannedPart[] {
  const mode = values["iptables-mode"];
  const backend = iptablesPlanner(mode === "auto" ? "nft" : mode, values["ipset-threshold"]);
  const nothing = { rules: undefined, jump: false };
  return rulesets.map((ruleset) => ({
    label: ruleset.family,
    ...backend.plan(ruleset, CAPABILITIES, nothing),
  }));
}

function renderText(parts: readonly Part[], { source, rulesets }: Desired, values: Values): string {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  const assumed = [
    ...(values.backend === "auto" ? ["--backend=auto is taken for iptables"] : []),
    ...(values["iptables-mode"] === "auto" && values.backend !== "nftables"
      ? ["--iptables-mode=auto is taken for nft"]
      : []),
  ];
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
