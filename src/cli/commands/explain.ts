/** The command `explain`: why a destination is masqueraded or not, by the configuration, a node's rules, or a dump of them. */
import { type Desired, onNode } from "../../core/desired.ts";
import { isOpen } from "../../explain/agreement.ts";
import { answerParts } from "../../explain/answer.ts";
import type { Destination } from "../../explain/destination.ts";
import { renderExplanation } from "../../explain/text.ts";
import {
  type DestinationView,
  type ExplainView,
  type PartView,
  type TraceView,
  viewDestination,
} from "../../explain/view.ts";
import { boolType, stringType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { hasPorts } from "../../trace/protocols.ts";
import { type Command, type CommandInput, type CommandIo, UsageError } from "../command.ts";
import { desiredFlags, readDesired, sayProblems } from "../desired.ts";
import { resolveDestination } from "./destination.ts";
import { type AskedNode, type AskedPacket, readNode, readPacket, refuseIdle } from "./explain-node.ts";
import { givenAddresses } from "./node-addresses.ts";

const flags = {
  ...desiredFlags,
  source: flag(stringType, "", "`address` of the pod that the packet comes from; empty: any."),
  live: flag(boolType, false, "Whether to read the rules of this node too, and report where they disagree."),
  rules: flag(
    stringType,
    "",
    "`file` with the rules of a node, saved by iptables-save or nft -j list ruleset, to look at; - is standard input. They are compared with the configuration if --config is given.",
  ),
  mark: flag(
    stringType,
    "",
    "`number`, the packet's mark; empty: 0, and rules for other marks are listed separately.",
  ),
  protocol: flag(stringType, "", "`name` of the packet's protocol, such as tcp; empty: any."),
  "in-interface": flag(
    stringType,
    "",
    "`name` of the interface that the packet comes in through; empty: with --live the one that leads to --source, else any.",
  ),
  "out-interface": flag(
    stringType,
    "",
    "`name` of the interface that the packet leaves through; empty: with --live as the kernel routes it, else any.",
  ),
  "node-address": flag(
    stringType,
    "",
    "With --rules: comma-separated IP `addresses` of the node that the dump comes from, for destinations on the node itself; also those of which outputAddresses may use some.",
  ),
};

export const explainCommand: Command<typeof flags> = {
  name: "explain",
  summary: "Explain why destinations are masqueraded or keep the pod's address",
  operands: "DESTINATION...",
  details: `A destination is an address, a CIDR, which is split where the answer changes, or a host name; HOST:PORT, [IPV6]:PORT and
URLs name a port as well, of tcp unless --protocol says otherwise. Without
--live and --rules only the configuration is read: which entry decides, where it is written, and which other entries contain the
destination but do not decide. Where the configuration says whose packets are masqueraded, through which interfaces they leave and with
which addresses, the answer has these conditions; with --source, --out-interface and --node-address it has none.

Flags that are not given are those of the agent that runs in this network namespace, if one is seen.

With --live, explain follows the rules of this node as well, whichever program made them: from the pod's link through exemptions from conntrack, marks,
translation of the destination (Services of kube-proxy in each of its modes), drops and policies, to source NAT. Of a Service, the answer
names the endpoints, one of which gets the packet, and the source that each sees. The packet is the first of a connection. An outcome that
depends on details that are not given is reported as "possible": that is an answer, with exit code 0 and "agrees": "depends" in JSON. Explain changes nothing. Where the tool nft fails, it reads the rules from the kernel. Exit code 1 means
that the rules do not do what the configuration says, or that there is no answer for a destination: for example because it is
not known where a rule sends the packet, or because not all rules could be read.`,
  flags,
  examples: [
    { args: "explain 10.1.2.3 8.8.8.8", what: "by the configuration" },
    { args: "explain 10.0.0.0/7 -o json", what: "each part of a CIDR, for a program" },
  ],
  adopts: ({ rules }) => (rules === "" ? "/proc" : undefined),
  readsNode: ({ live }) => live,
  async run(input, io) {
    const { words, given, values } = input;
    if (words.length === 0) throw new UsageError("no destination: give addresses, CIDRs, host names or URLs");
    if (values.live && values.rules !== "")
      throw new UsageError("--live and --rules exclude each other: one node at a time");
    const packet = readPacket(values);
    const resolved = await Promise.all(words.map(resolveDestination));
    for (const one of resolved) if (one.ok && one.warning !== undefined) io.err(`warning: ${one.warning}\n`);
    const destinations = resolved.flatMap((one) =>
      one.ok ? one.destinations.map((each) => withProtocol(each, packet.packet.protocol)) : [],
    );
    const read = values.rules === "" || given.has("config") ? await readDesired(input, io) : undefined;
    refuseIdle(values, read);
    const own = givenAddresses(values["node-address"]);
    const desired = read === undefined || own === undefined ? read : onNode(read, own);
    if (desired !== undefined) sayProblems(desired, io);
    if (desired !== undefined && desired.problems.length > 0) {
      io.err(
        `ip-masq-agent explain: ${desired.source} is not good, so there is nothing to explain: correct it first\n`,
      );
      return 1;
    }
    const node = await readNode(values, packet, io);
    for (const one of resolved) if (!one.ok) io.err(`ip-masq-agent explain: ${one.message}\n`);
    const answers: (DestinationView | string)[] = [];
    const on = desired === undefined || node?.own === undefined ? desired : onNode(desired, node.own);
    for (const destination of destinations) answers.push(await settle({ ...packet, destination }, on, node));
    node?.routes?.close();
    const isWhole = write(answers, node, input, io);
    return isWhole && destinations.length > 0 && resolved.every(({ ok }) => ok) ? 0 : 1;
  },
};

/** The destination with the protocol of its port: as a flag says, as its URL says, or else tcp. */
function withProtocol(destination: Destination, flagged: string | undefined): Destination {
  const { asked, port, protocol: named = "tcp" } = destination;
  if (port === undefined) return destination;
  const protocol = flagged ?? named;
  if (!hasPorts(protocol))
    throw new UsageError(`${asked} has a port, but --protocol=${protocol} has none: leave out one of them`);
  return { ...destination, protocol };
}

/** One question. */
interface Asked extends AskedPacket {
  readonly destination: Destination;
}

/** Answers with the kernel's routes for the packets, if it can look them up. */
async function settle(
  asked: Asked,
  desired: Desired | undefined,
  node: AskedNode | undefined,
): Promise<DestinationView | string> {
  const routes = node?.routes;
  if (node === undefined || routes === undefined) return answer(asked, desired, node);
  return routes.settle((routeOf) => answer(asked, desired, { ...node, routeOf, hereOf: routes.hereOf }));
}

function answer(
  { destination, packet, sourceFamily }: Asked,
  desired: Desired | undefined,
  node: AskedNode | undefined,
): DestinationView | string {
  const { family, interval, asked, port, protocol } = destination;
  const ruleset = desired?.rulesets.find((one) => one.family === family);
  if (sourceFamily !== undefined && sourceFamily !== family)
    return `${asked} is ${family}, but --source is ${sourceFamily}: ask about one family at a time`;
  const parts = answerParts({
    family,
    interval,
    port,
    protocol,
    ruleset,
    hasConfig: desired !== undefined,
    packet,
    node,
  });
  return parts === undefined
    ? `${asked} falls into too many parts by these rules: ask about a smaller CIDR`
    : viewDestination(destination, parts, desired);
}

/** Prints the answers; returns whether all are certain, and no rules disagree with the configuration. */
function write(
  answers: readonly (DestinationView | string)[],
  node: AskedNode | undefined,
  { output }: CommandInput<typeof flags>,
  { out, err, colours }: CommandIo,
): boolean {
  const destinations = answers.filter((one) => typeof one !== "string");
  const failures = answers.filter((one) => typeof one === "string");
  for (const failure of failures) err(`ip-masq-agent explain: ${failure}\n`);
  const { notRead, leftOut } = node ?? {};
  const view: ExplainView = {
    ...(notRead === undefined ? {} : { notRead }),
    ...(leftOut === undefined ? {} : { leftOut }),
    destinations,
  };
  if (output === "json") out(`${JSON.stringify(view, undefined, 2)}\n`);
  else out(renderExplanation(view, colours));
  const isOpen = destinations.some(({ parts }) => parts.some(isUnanswered));
  return failures.length === 0 && !isOpen && (notRead ?? []).length === 0;
}

function isUnanswered({ agrees, live }: PartView): boolean {
  return agrees === "no" || agrees === "unknown" || (live !== undefined && isTraceOpen(live));
}

function isTraceOpen({ possible, ...otherwise }: TraceView): boolean {
  return [...possible, otherwise].some(
    (one) => isOpen(one) || (one.endpoints ?? []).some(({ live }) => isTraceOpen(live)),
  );
}
