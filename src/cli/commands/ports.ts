/** The command `ports`: which source ports of this node are in use, towards what, and by whom. */

import { SourceError } from "../../agent/config/file.ts";
import { packAddress } from "../../conntrack/address.ts";
import type { Condition } from "../../conntrack/condition.ts";
import { type Conntrack, openConntrack } from "../../conntrack/conntrack.ts";
import { protocolNumber } from "../../conntrack/flow.ts";
import { createTally, portOwner, shareOf } from "../../conntrack/usage.ts";
import { countType, stringType } from "../../go/flag-types.ts";
import { type FlagValues, flag } from "../../go/flags.ts";
import { ownAddressTexts } from "../../system/addresses.ts";
import { type Command, type CommandInput, type CommandIo, UsageError } from "../command.ts";
import { desiredFlags, optionsOf, readDesired } from "../desired.ts";
import { readEndpoint, readProtocol } from "./destination.ts";
import { choiceOf, notExact, renderPorts } from "./ports-text.ts";
import { explainRemote, type PortsView, viewKey } from "./ports-view.ts";

const flags = {
  ...desiredFlags,
  top: flag(countType, 5, "How many of the fullest are shown."),
  to: flag(
    stringType,
    "",
    "`address`, or address:port, of the remote to look at; empty: all. Behind a Service, its endpoint.",
  ),
  protocol: flag(stringType, "", "`name` of the protocol to look at: tcp, udp or sctp; empty: all."),
};

/** The effects of the command: on this machine, or in a test. */
export interface PortsWorld {
  readonly open: () => Conntrack;
  readonly addresses: () => readonly string[];
}

/** A table of a million takes 2 s. */
const TIMEOUT_MS = 10_000;

/** Above this share of ports in use by connections that go on the exit code is 1, as the alert. */
const FULL_ABOVE = 0.8;

export const portsCommand = createPortsCommand({ open: openConntrack, addresses: ownAddressTexts });

export function createPortsCommand(world: PortsWorld): Command<typeof flags> {
  return {
    name: "ports",
    summary: "Show how many of the node's source ports are in use, and by which pods",
    operands: "",
    details: `Each masqueraded connection to one address, port and protocol needs a source port of the node's own. The command
counts all connections that the kernel tracks now, by the address of the node and by the remote after translation of Services: the fullest first.
It counts connections that have ended (TCP in TIME_WAIT or CLOSE) separately: kernels from about 6.5 on reuse such a port when no other is free. The node's own
sockets hold ports, too. Needs no agent, but the capability NET_ADMIN.

The number of ports comes from --to-ports of the agent that runs in this network namespace, if one is seen; otherwise it is the kernel's 64,512.
Where more than half are in use, the command explains from the configuration why the remote is masqueraded.

The exit code is 1 if connections that go on hold more than 80 % of the ports towards a remote, or not all could be counted.`,
    flags,
    examples: [
      { args: "ports", what: "the five fullest" },
      { args: "ports --to=8.8.8.8:443 --protocol=tcp -o json", what: "one remote, with all its sources" },
    ],
    adopts: () => "/proc",
    readsNode: () => true,
    run: (input, io) => run(world, input, io),
  };
}

async function run(world: PortsWorld, input: CommandInput<typeof flags>, io: CommandIo): Promise<number> {
  const { values, output } = input;
  const condition = conditionOf(values);
  const { toPorts, randomFully } = optionsOf(values);
  if (values.top === 0) throw new UsageError("--top=0 shows nothing: give 1 or more");
  const reasonOf = await reasons(input, io);
  const owner = portOwner(world.addresses(), toPorts);
  const tally = createTally(owner);
  const conntrack = world.open();
  const { signal } = io;
  const size = await conntrack.size({ signal });
  const listed = await conntrack.list(condition, tally.add, { timeoutMs: TIMEOUT_MS, signal });
  const all = tally.fullest(Number.POSITIVE_INFINITY);
  const fullest = all.slice(0, values.top);
  const keys = fullest.map((use) => viewKey(use, owner, reasonOf));
  const exact = listed.isWhole && fullest.every(({ isExact }) => isExact);
  const view: PortsView = { ...size, keys, exact };
  if (!listed.isFiltered)
    io.err("ip-masq-agent ports: this kernel does not filter: the whole table was read\n");
  if (!exact) io.err(`ip-masq-agent ports: ${notExact(listed.read, size.entries)}\n`);
  if (output === "json") io.out(`${JSON.stringify(view, undefined, 2)}\n`);
  else io.out(renderPorts(view, choiceOf(toPorts, randomFully), io.colours));
  const isFull = all.some(({ inUse, ended }) => shareOf(inUse - ended, owner) > FULL_ABOVE);
  return exact && !isFull ? 0 : 1;
}

function conditionOf({ to, protocol }: Pick<FlagValues<typeof flags>, "to" | "protocol">): Condition {
  const named = readProtocol(protocol);
  const remote = to === "" ? undefined : readEndpoint("--to=", to);
  const source = remote && packAddress(remote.address);
  const reply = {
    ...(source !== undefined && { source }),
    ...(remote?.port !== undefined && { sourcePort: remote.port }),
    ...(named !== undefined && { protocol: protocolNumber(named) }),
  };
  return Object.keys(reply).length === 0 ? {} : { reply };
}

/** Explains why a remote is masqueraded; if the configuration cannot be read, the command still shows the ports. */
async function reasons(
  input: CommandInput<typeof flags>,
  io: CommandIo,
): Promise<(address: string) => string> {
  const desired = await readDesired(input, io).catch((error: unknown) => {
    if (error instanceof SourceError && !input.given.has("config")) return error;
    throw error;
  });
  if (desired instanceof SourceError) return () => `why it is masqueraded is not known: ${desired.message}`;
  const [problem] = desired.problems;
  if (problem !== undefined)
    return () => `why it is masqueraded is not known: ${desired.source} is not good: ${problem.message}`;
  return (address) => explainRemote(address, desired);
}
