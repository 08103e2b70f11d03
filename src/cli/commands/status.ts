/** The command `status`: the state of the agent on this node. */
import type { Status } from "../../observe/status.ts";
import { askable, askStatus } from "../ask.ts";
import { type Command, UsageError } from "../command.ts";
import { pickFlags } from "../options.ts";
import { nameOf } from "../running-agent.ts";
import { renderStatus } from "./status-text.ts";

const flags = pickFlags("http-address", "masq-chain");

export const statusCommand: Command<typeof flags> = {
  name: "status",
  summary: "Show the state of the agent on this node",
  operands: "",
  details: `Shows the backend, the digests of the configuration in force and of the one read last (accepted, refused or
unreadable), the rules, the last pass and the repaired drift. "In force" is what the last pass saw in the kernel. The exit code is 1
if no agent answers, the configuration read last is not accepted, rules are not in force, or the last pass had an error.

The agent serves this at its --http-address, which comes from the agent in this network namespace, if one is visible; otherwise
give the same here, if it is not the default. With several agents, --masq-chain selects one.`,
  flags,
  examples: [
    { args: "status", what: "show the agent at the default address" },
    {
      args: "status --http-address=127.0.0.1:9000 -o json",
      what: "a different address, for a program to read",
    },
  ],
  adopts: () => "/proc",
  async run(input, { out, err, colours, signal, clock }) {
    const { values, given, agent, output } = input;
    const fail = (why: string) => {
      err(`ip-masq-agent status: ${why}\n`);
      return 1;
    };
    if (agent === undefined && given.has("masq-chain") && !given.has("http-address"))
      return fail(`no agent with --masq-chain=${values["masq-chain"]} is visible: give its --http-address`);
    const address = askable(values["http-address"]);
    if (typeof address === "string") {
      if (agent === undefined) throw new UsageError(address);
      return fail(`${nameOf(agent)} cannot answer: its ${address}`);
    }
    const answer = await askStatus(address, signal, clock);
    if (!answer.ok) return fail(answer.why);
    const { status } = answer;
    out(output === "json" ? `${JSON.stringify(status)}\n` : renderStatus(status, colours));
    return isWell(status) ? 0 : 1;
  },
};

function isWell({ config, rules, lastPass }: Status): boolean {
  const isInForce = Object.values(rules).every(({ inForce }) => inForce);
  return config.valid && isInForce && lastPass !== null && lastPass.errors.length === 0;
}
