/** The command `who`: finds the pod whose connection has an address and port of this node outside. */

import { type PackedAddress, packAddress, printAddress, printEndpoint } from "../../conntrack/address.ts";
import { type Conntrack, type Listed, openConntrack } from "../../conntrack/conntrack.ts";
import { TCP_STATES } from "../../conntrack/constants.ts";
import { type Flow, type Protocol, protocolName, protocolNumber } from "../../conntrack/flow.ts";
import { portOwner } from "../../conntrack/usage.ts";
import { stringType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { PROTOCOLS } from "../../netlink/constants.ts";
import { ownAddressTexts } from "../../system/addresses.ts";
import { type Command, type CommandInput, type CommandIo, UsageError } from "../command.ts";
import { readEndpoint, readProtocol } from "./destination.ts";
import type { PortsWorld } from "./ports.ts";

const flags = {
  to: flag(
    stringType,
    "",
    "`address:port` of the remote, as a firewall's log has it; empty: any. With it the answer takes microseconds.",
  ),
  protocol: flag(stringType, "", "`name` of the protocol: tcp, udp or sctp; empty: all."),
};

/** One connection, in the order of the output. */
export interface ConnectionView {
  readonly protocol: string;
  /** The client. */
  readonly source: string;
  /** The destination of the client's packets. */
  readonly asked: string;
  /** The remote that replies: the same, except for a Service. */
  readonly remote: string;
  /** The source that the remote sees. */
  readonly node: string;
  /** TCP's; undefined for others. */
  readonly state?: string;
  readonly secondsLeft: number;
  /** Whether the remote sees an address or port that is not the source's own. */
  readonly translated: boolean;
  /** Whether it is a socket of this node. */
  readonly own: boolean;
}

const TIMEOUT_MS = 10_000;

export const whoCommand = createWhoCommand({ open: openConntrack, addresses: ownAddressTexts });

export function createWhoCommand(world: PortsWorld): Command<typeof flags> {
  return {
    name: "who",
    summary: "Name the pod whose connection uses an address and port of this node",
    operands: "ADDRESS:PORT",
    details: `ADDRESS:PORT is the source in the log of a firewall or a server: an address of this node and a port. The command
lists the connections that the kernel has with it now, and with --to and --protocol exactly one. Needs no agent, but the capability NET_ADMIN.

It cannot look into the past: the kernel forgets TCP two minutes after its end, UDP 30 to 120 seconds after its last packet. For that,
log connections (docs/troubleshoot.md).

The exit code is 1 if there is none.`,
    flags,
    examples: [
      { args: "who 192.0.2.1:49956", what: "all that have this source" },
      { args: "who 192.0.2.1:49956 --to=8.8.8.8:443 --protocol=tcp -o json", what: "one connection" },
    ],
    readsNode: () => true,
    run: (input, io) => run(world, input, io),
  };
}

interface Asked {
  readonly node: PackedAddress;
  readonly nodePort: number;
  readonly to: { readonly remote: PackedAddress; readonly port: number } | undefined;
  readonly protocols: readonly Protocol[];
}

async function run(
  world: PortsWorld,
  { values, words, output }: CommandInput<typeof flags>,
  io: CommandIo,
): Promise<number> {
  const say = (text: string) => io.err(`ip-masq-agent who: ${text}\n`);
  const asked = readAsked(words, values);
  const owner = portOwner(world.addresses(), []);
  if (!owner.isOwn(asked.node)) say(`note: ${printAddress(asked.node)} is not an address of this node now`);
  const { flows, isWhole, isFiltered } = await look(world.open(), asked, io.signal);
  if (!isFiltered) say("this kernel does not filter: the whole table was read");
  if (!isWhole) say(`not all connections could be read within ${TIMEOUT_MS / 1000} s: there may be others`);
  const connections = flows.map((flow) => viewConnection(flow, owner.isOwn));
  if (output === "json") io.out(`${JSON.stringify({ connections }, undefined, 2)}\n`);
  else io.out(connections.map((one) => `${renderConnection(one)}\n`).join(""));
  if (connections.length > 0) return 0;
  say(`no such connection now: ${describe(asked)}. UDP is forgotten 30 to 120 s after its last packet`);
  return 1;
}

function readAsked(
  words: readonly string[],
  values: { readonly to: string; readonly protocol: string },
): Asked {
  const [word, second] = words;
  if (word === undefined)
    throw new UsageError("give an address of this node and a port, such as 192.0.2.1:49956");
  if (second !== undefined) throw new UsageError(`unexpected argument: ${second}: ask about one at a time`);
  const node = readWhole("", word);
  const to = values.to === "" ? undefined : readWhole("--to=", values.to);
  const protocol = readProtocol(values.protocol);
  if (to !== undefined && to.address.length !== node.address.length)
    throw new UsageError(`${word} and --to=${values.to} are of different families`);
  return {
    node: node.address,
    nodePort: node.port,
    to: to && { remote: to.address, port: to.port },
    protocols: protocol === undefined ? (Object.keys(PROTOCOLS) as Protocol[]) : [protocol],
  };
}

function readWhole(what: string, text: string): { readonly address: PackedAddress; readonly port: number } {
  const { address, port } = readEndpoint(what, text);
  const packed = packAddress(address);
  if (packed === undefined || port === undefined)
    throw new UsageError(
      `${what}${text} has no port: try ${text.includes(":") ? `[${address}]` : address}:443`,
    );
  return { address: packed, port };
}

type Found = Pick<Listed, "isWhole" | "isFiltered"> & { readonly flows: readonly Flow[] };

/** In order of protocol and remote. */
async function look(conntrack: Conntrack, asked: Asked, signal: AbortSignal): Promise<Found> {
  const { node: destination, nodePort: destinationPort, to } = asked;
  const flows: Flow[] = [];
  let [isWhole, isFiltered] = [true, true];
  for (const protocol of asked.protocols.map(protocolNumber)) {
    const reply = { destination, destinationPort, protocol };
    if (to === undefined) {
      const found: Flow[] = [];
      const bounds = { timeoutMs: TIMEOUT_MS, signal };
      const listed = await conntrack.list({ reply }, (flow) => void found.push(flow), bounds);
      isWhole &&= listed.isWhole;
      isFiltered &&= listed.isFiltered;
      flows.push(...found.sort(byRemote));
    } else {
      const flow = await conntrack.find({ ...reply, source: to.remote, sourcePort: to.port }, { signal });
      if (flow !== undefined) flows.push(flow);
    }
  }
  return { flows, isWhole, isFiltered };
}

function byRemote({ reply: a }: Flow, { reply: b }: Flow): number {
  if (a.source !== b.source) return a.source < b.source ? -1 : 1;
  return a.sourcePort - b.sourcePort;
}

function viewConnection(
  { original, reply, state, secondsLeft }: Flow,
  isOwn: (address: PackedAddress) => boolean,
): ConnectionView {
  const source = printEndpoint(original.source, original.sourcePort);
  const node = printEndpoint(reply.destination, reply.destinationPort);
  return {
    protocol: protocolName(original.protocol) ?? String(original.protocol),
    source,
    asked: printEndpoint(original.destination, original.destinationPort),
    remote: printEndpoint(reply.source, reply.sourcePort),
    node,
    ...(original.protocol === PROTOCOLS.tcp && { state: TCP_STATES[state] ?? String(state) }),
    secondsLeft,
    translated: source !== node,
    own: isOwn(original.source),
  };
}

function renderConnection(one: ConnectionView): string {
  const { protocol, source, asked, remote, node, state, translated, own } = one;
  const port = source.slice(source.lastIndexOf(":") + 1);
  return [
    `${protocol} ${source} -> ${asked}`,
    ...(asked === remote ? [] : [`, behind that Service ${remote}`]),
    ...(translated ? [`, masqueraded as ${node}`] : []),
    ...(own ? [`, a socket of this node: ss -nap "sport = :${port}" names the process`] : []),
    ...(translated || own ? [] : [", which keeps its address"]),
    ...(state === undefined ? [] : [` (${state})`]),
  ].join("");
}

function describe({ node, nodePort, to, protocols }: Asked): string {
  const remote = to === undefined ? "" : ` to ${printEndpoint(to.remote, to.port)}`;
  return `${protocols.join(", ")} from ${printEndpoint(node, nodePort)}${remote}`;
}
