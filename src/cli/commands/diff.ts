/** The command `diff`: the changes that a new configuration would make, or the drift of the live rules. */

import { decide } from "../../agent/choose.ts";
import { SourceError } from "../../agent/config/file.ts";
import { isFailure, Refusal } from "../../backend/driver.ts";
import { type Cidr, isCidr, parseCidr } from "../../core/cidr.ts";
import { type Desired, onNode } from "../../core/desired.ts";
import type { Interval } from "../../core/intervals.ts";
import type { Ruleset } from "../../core/ruleset.ts";
import {
  COMMON_ZONES,
  changeVerdicts,
  findDangers,
  type VerdictChange,
  type Zone,
} from "../../core/verdicts.ts";
import type { OwnRules } from "../../diff/live.ts";
import { addressDangers, changePackets, sourceDangers } from "../../diff/packets.ts";
import { staleConnections } from "../../diff/stale-connections.ts";
import { renderDiff } from "../../diff/text.ts";
import { type ConnectionsView, type Difference, type DiffView, viewDifference } from "../../diff/view.ts";
import { readLinks } from "../../doctor/read-pods.ts";
import { boolType, stringType, wordType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { goQuote } from "../../go/quote.ts";
import { openNftables } from "../../netlink/socket/transport.ts";
import { keptIntervals } from "../../nftables/sets.ts";
import { ownAddresses, ownNetworks } from "../../system/addresses.ts";
import { sampleConnections } from "../../system/connections.ts";
import { run as runScript } from "../../system/exec.ts";
import { isKnown } from "../../system/fact.ts";
import { usableAddresses } from "../../system/node-addresses.ts";
import type { Script } from "../../system/script.ts";
import { BACKENDS, backendOf } from "../backends.ts";
import { type Command, type CommandInput, type CommandIo, UsageError } from "../command.ts";
import { type DesiredInput, desiredFlags, readDesired, sayProblems } from "../desired.ts";
import { inForce } from "../in-force.ts";
import { pickFlags } from "../options.ts";

/** The flags of `diff`. */
export const diffFlags = {
  ...desiredFlags,
  ...pickFlags("iptables-mode"),
  "cluster-cidr": flag(
    stringType,
    "",
    "Comma-separated `CIDRs` of the pods: a change that reaches into them is dangerous.",
  ),
  "service-cidr": flag(
    stringType,
    "",
    "Comma-separated `CIDRs` of the services: a change that reaches into them is dangerous.",
  ),
  "max-share": flag(
    stringType,
    "1",
    "A change of more than this `percentage` of a family's addresses is dangerous.",
  ),
  connections: flag(
    boolType,
    true,
    "Whether to check which live connections of this node keep their old verdict.",
  ),
  "fail-on": flag(
    wordType("any", "dangerous"),
    "any",
    "The differences that make the exit code 1: `any|dangerous`. A change that cannot be judged counts as dangerous.",
  ),
};

type Input = CommandInput<typeof diffFlags>;

export const diffCommand: Command<typeof diffFlags> = {
  name: "diff",
  summary: "Show what a new configuration would change, or how rules have drifted",
  operands: "[NEW_CONFIG]",
  details: `With NEW_CONFIG, compares it with the configuration in force: which destinations change their verdict, as CIDRs and
numbers of addresses, which rules and set elements change, and whether that is dangerous: whether it reaches into link-local
addresses, the cloud's metadata service, this node's own networks, or pods and services (--cluster-cidr, --service-cidr), or
concerns more than --max-share percent of all addresses. It also shows which sources become or cease to be masqueraded, and how interfaces
and addresses change: it is dangerous if a network of pods is no longer masqueraded, or if this node has none of the addresses. Without it, compares the live rules of this node with the configuration.
It changes nothing. - is standard input.

Flags that are not given come from the agent in this network namespace, if one is visible. The command asks that agent whether the
file of its --config is in force. If it is not, since the agent rejected it or it has just changed, the command compares NEW_CONFIG with
the live rules instead. With --config given, that file counts as the one in force. The first lines say what was compared.

Connections keep the verdict of their first packet; a sample of this node's connections shows those that a change would leave
with the old one.`,
  exitCodes: {
    meaning:
      "0 without a difference, or with none that --fail-on names; 1 with a difference; 2 after any error.",
    failure: 2,
  },
  flags: diffFlags,
  examples: [
    { args: "diff --config old.yaml new.yaml", what: "show what a new file would change" },
    { args: "diff --config=old.yaml --fail-on=dangerous new.yaml", what: "in a pipeline" },
    { args: "diff --backend=nftables", what: "show drift of this node's rules" },
  ],
  adopts: () => "/proc",
  readsNode: (_values, words) => words.length === 0,
  async run(input, io) {
    const { values, words } = input;
    const [path, ...more] = words;
    if (more.length > 0) throw new UsageError(`one NEW_CONFIG at a time, not ${words.length}`);
    const view = await compare(path, input, io);
    io.out(
      input.output === "json" ? `${JSON.stringify(view, undefined, 2)}\n` : renderDiff(view, io.colours),
    );
    const matters = values["fail-on"] === "any" || view.dangers.length + view.unclear.length > 0;
    return view.differs && matters ? 1 : 0;
  },
};

/** How a new configuration, or without one the live rules, differ from what is to be in force. */
export async function compare(path: string | undefined, input: Input, io: CommandIo): Promise<DiffView> {
  const { values } = input;
  const zones = readZones(values);
  const maxPercent = readShare(values["max-share"]);
  const next = path === undefined ? await readGood(input, io) : await readGood(named(path, input), io);
  const found = path === undefined ? await compareLive(next, input, io) : await compareNew(next, input, io);
  const { packets = { sources: [] } } = found;
  const dangers = [
    ...found.changes.flatMap((change) => findDangers(change, zones, maxPercent)),
    ...sourceDangers(packets.sources, packets.sources.length === 0 ? [] : await podZones(values)),
    // Elsewhere, for instance in a pipeline, this machine's addresses say nothing.
    ...(input.agent === undefined ? [] : addressDangers(packets, next, await usableAddresses())),
  ];
  const connections = values.connections ? await lookAtConnections(found.changes, io) : undefined;
  return viewDifference({ ...found, dangers, connections });
}

type Found = Omit<Difference, "dangers" | "connections">;

/** The same flags for a configuration that the command line names, and that must exist. */
function named(config: string, { values, given }: Input): DesiredInput {
  return { values: { ...values, config }, given: new Set([...given, "config"]) };
}

/** A configuration without problems. Reports problems, then throws a failure. */
async function readGood(input: DesiredInput, io: CommandIo): Promise<Desired> {
  const desired = await readDesired(input, io);
  sayProblems(desired, io);
  if (desired.problems.length === 0) return desired;
  throw new Refusal(`${desired.source} is not good, so there is nothing to compare: correct it first`);
}

/** The file counts as in force, unless the agent says otherwise or it has problems; then the live rules do. */
async function compareNew(next: Desired, input: Input, io: CommandIo): Promise<Found> {
  const agent = input.given.has("config") ? undefined : input.agent;
  if (agent === undefined) return compareFiles(await readGood(input, io), next, input);
  const current = await readDesired(input, io).catch((error: unknown) => {
    if (!(error instanceof SourceError)) throw error;
    return error;
  });
  const { file, note } = await inForce(current, agent, io.signal);
  // All of the new configuration differs from the live rules: that is not drift.
  const found =
    file === undefined
      ? { ...(await compareLive(next, input, io)), drift: [] }
      : await compareFiles(file, next, input);
  return { ...found, from: `${found.from} (${note})` };
}

async function compareFiles(from: Desired, to: Desired, { values, agent }: Input): Promise<Found> {
  const own = agent === undefined ? undefined : await usableAddresses();
  const [current, next] = [from, to].map((one) => (own === undefined ? one : onNode(one, own))) as [
    Desired,
    Desired,
  ];
  const pairs = current.rulesets.map((before, i) => [before, next.rulesets[i] ?? before] as const);
  const kept = pairs.map((pair) => pair.map(keptIntervals) as [Interval[], Interval[]]);
  const commands = await backendOf(values.backend).commands();
  const rules = pairs.flatMap(([before, after]) => commands.compare(before, after, values));
  const changes = pairs.map(([{ family }], i) =>
    changeVerdicts(family, kept[i]?.[0] ?? [], kept[i]?.[1] ?? []),
  );
  const packets = changePackets(current, next);
  return { from: current.source, to: next.source, changes, unclear: [], rules, drift: [], packets };
}

async function compareLive(next: Desired, { values }: Input, { signal }: CommandIo): Promise<Found> {
  const desired = onNode(next, await usableAddresses());
  const run = (script: Script) => runScript(script, signal);
  const { rulesets, source } = desired;
  const wanted = { backend: values.backend, iptablesMode: values["iptables-mode"] };
  const choice = await decide(wanted, { run, open: openNftables });
  if (!choice.ok) throw new Refusal(`no backend works: ${choice.lacks.join("; ")}`);
  const { name, variant } = choice;
  const { current } = await BACKENDS[name].commands();
  const own = await current(rulesets, { ...values, variant }, { run, signal });
  const refusal = own.plans.find((plan) => plan.refusal !== undefined)?.refusal;
  if (refusal !== undefined) throw new Refusal(refusal);
  return {
    from: `the live rules of this node (${name})`,
    to: source,
    changes: rulesets.flatMap((ruleset) => changeOf(ruleset, own)),
    unclear: rulesets.flatMap(({ family }) => (own.kept.get(family) === undefined ? [family] : [])),
    rules: own.changes,
    drift: own.plans.flatMap(({ drift }) => drift),
  };
}

function changeOf(ruleset: Ruleset, { kept }: OwnRules): VerdictChange[] {
  const live = kept.get(ruleset.family);
  return live === undefined ? [] : [changeVerdicts(ruleset.family, live, keptIntervals(ruleset))];
}

/** The live connections that keep the old verdict. A failure to read them does not fail the comparison. */
async function lookAtConnections(
  changes: readonly VerdictChange[],
  { signal }: CommandIo,
): Promise<ConnectionsView | undefined> {
  if (changes.every(({ kept, masqueraded }) => kept.length + masqueraded.length === 0)) return undefined;
  try {
    const { lines, isWhole } = await sampleConnections((script) => runScript(script, signal));
    const connections = lines.filter((line) => line.includes("src="));
    return {
      looked: connections.length,
      isWhole,
      stale: staleConnections(connections, changes, ownAddresses()),
    };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { looked: 0, isWhole: false, stale: [], failure: error.message };
  }
}

function givenZones(values: Input["values"], name: "cluster-cidr" | "service-cidr", what: string): Zone[] {
  return values[name]
    .split(",")
    .filter(Boolean)
    .map((text) => ({ what, cidr: readCidr(name, text.trim()) }));
}

/** Networks of pods, as the flag and this node's links and routes say. */
async function podZones(values: Input["values"]): Promise<Zone[]> {
  const learnt = await readLinks();
  const networks = isKnown(learnt) ? learnt.value.networks : [];
  return [
    ...givenZones(values, "cluster-cidr", "pods"),
    ...networks.map(({ cidr, from }) => ({ what: `pods of this node, by ${from}`, cidr })),
  ];
}

function readZones(values: Input["values"]): Zone[] {
  return [
    ...COMMON_ZONES,
    ...givenZones(values, "cluster-cidr", "pods"),
    ...givenZones(values, "service-cidr", "services"),
    ...ownNetworks().map(({ device, cidr }) => ({ what: `a network of this node, on ${device}`, cidr })),
  ];
}

function readCidr(name: string, text: string): Cidr {
  const cidr = parseCidr(text);
  if (isCidr(cidr)) return cidr;
  const hint =
    cidr.reason === "unaligned"
      ? `: did you mean ${cidr.network}?`
      : ": an address and a prefix length, such as 10.0.0.0/8";
  throw new UsageError(`--${name}=${goQuote(text)} is not a valid CIDR${hint}`);
}

function readShare(text: string): number {
  const share = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(share <= 100))
    throw new UsageError(`--max-share=${goQuote(text)} is not a percentage: write a number from 0 to 100`);
  return share;
}
