/** The command `report`: all that a bug report needs, in one answer. */

import { release } from "node:os";
import { renderConfig } from "../../agent/config/holder.ts";
import { attempt } from "../../backend/attempt.ts";
import { openConntrack } from "../../conntrack/conntrack.ts";
import { readConntrack, readSysctls } from "../../doctor/read-proc.ts";
import { viewDiagnosis } from "../../doctor/text.ts";
import { boolType, stringType } from "../../go/flag-types.ts";
import { type FlagTable, type FlagValues, flag } from "../../go/flags.ts";
import { connected, openNftables } from "../../netlink/socket/transport.ts";
import type { Status } from "../../observe/status.ts";
import { factValue, PART_CHARACTERS, PART_MS, readPart, type Unknown } from "../../report/part.ts";
import { redact } from "../../report/redact.ts";
import { readRules } from "../../report/rules.ts";
import { createKeyedBits, readNodeNames, readVocabulary } from "../../report/secret.ts";
import { run as runScript } from "../../system/exec.ts";
import { derive, type Fact, isKnown, known } from "../../system/fact.ts";
import { measureTables } from "../../trace/live-netlink.ts";
import { renderAdvice } from "../../validate/hints.ts";
import { askable, askStatus } from "../ask.ts";
import type { Command, CommandInput, CommandIo } from "../command.ts";
import { desiredFlags, readDesired } from "../desired.ts";
import { pickFlags } from "../options.ts";
import { nameOf } from "../running-agent.ts";
import { VERSION } from "../version.ts";
import { compare, diffFlags } from "./diff.ts";
import { doctorFlags, examine } from "./doctor.ts";

const flags = {
  ...desiredFlags,
  ...pickFlags("iptables-mode", "http-address"),
  proc: flag(stringType, "/proc", "The `directory` where the node's proc is mounted."),
  "cni-dir": flag(stringType, "/etc/cni/net.d", "The `directory` of the node's CNI configuration."),
  redact: flag(
    boolType,
    false,
    "Whether to replace addresses and names by pseudonyms, the same ones throughout, for a report that you want to publish.",
  ),
};

type Input = CommandInput<typeof flags>;

export const reportCommand: Command<typeof flags> = {
  name: "report",
  summary: "Collect what a bug report needs into one JSON document",
  operands: "",
  details: `Writes the version, flags, configuration, status and recent events of the running agent, the answers of doctor and diff, the rules
of every packet filter, kernel settings and conntrack figures as JSON on standard output. It changes nothing and needs no agent. A part
that cannot be read says why: { "unknown": ..., "why": ... }. Each part takes at most ${PART_MS / 1000} s and ${PART_CHARACTERS / 1024 / 1024} MiB; a list that is cut
says how many items it lacks. The exit code is 0 even if parts are unknown.

--redact replaces addresses, the names of hosts, links, chains and sets, comments, and every other word that does not occur in this
program's own text. The same name gets the same pseudonym everywhere. Networks contain the addresses that they contained, and private
addresses stay private. The mapping is forgotten afterwards. Read the report before you publish it. stderr is not redacted.`,
  flags,
  examples: [
    { args: "report --redact", what: "to attach to a bug report" },
    { args: "report", what: "with all names, for those who run the node" },
  ],
  adopts: ({ proc }) => proc,
  readsNode: () => true,
  async run(input, io) {
    const report = await collect(input, io);
    const { proc, redact: isPublic } = input.values;
    const world = () => ({ vocabulary: readVocabulary(), names: readNodeNames(kubelets()), createKeyedBits });
    const kubelets = () => known(io.processes(proc))?.kubelets ?? [];
    io.out(`${JSON.stringify(isPublic ? redact(report, world()) : report, undefined, 2)}\n`);
    return 0;
  },
};

/** Everything at the same time. */
async function collect(input: Input, io: CommandIo): Promise<Readonly<Record<string, unknown>>> {
  const { values, given, agent } = input;
  const part = <T>(what: string, read: (quiet: CommandIo) => Promise<T> | T) =>
    readPart(what, (signal) => read({ ...io, signal, err: () => {} }), io);
  const status = readStatus(values["http-address"], io);
  const parts = {
    configuration: part("the configuration", (quiet) => readConfiguration(input, quiet)),
    status: part("the status of the agent", async () => factValue(derive(await status, withoutEvents))),
    events: part("recent events of the agent", async () => eventsOf(await status)),
    doctor: part("doctor", (quiet) => readDoctor(input, quiet)),
    diff: part("diff", (quiet) => compare(undefined, withInitial(diffFlags, input), quiet)),
    rules: readRules({
      ...io,
      run: runScript,
      measure: (signal) => connected(openNftables, (nftables) => measureTables(nftables, signal)),
    }),
    sysctls: part("settings of the kernel", () => valuesOf(readSysctls(values.proc))),
    conntrack: part("connection tracking", ({ signal }) => readFigures(values.proc, signal)),
  };
  const read = await Promise.all(Object.values(parts));
  const { version: node, platform, arch } = process;
  return {
    at: new Date().toISOString(),
    redacted: values.redact,
    version: { version: VERSION, node, platform: `${platform}/${arch}`, kernel: release() },
    flags: { values, given: [...given], agent: agent === undefined ? null : nameOf(agent) },
    ...Object.fromEntries(Object.keys(parts).map((name, i) => [name, read[i]])),
  };
}

/** The text, and its parsed content. */
async function readConfiguration(input: Input, io: CommandIo): Promise<unknown> {
  const { text, source, config, problems, warnings } = await readDesired(input, io);
  return {
    source,
    files: text.files.map(({ path, bytes }) => ({ path, text: new TextDecoder().decode(bytes) })),
    read: problems.length === 0 ? JSON.parse(renderConfig(config)) : null,
    problems: problems.map(renderAdvice),
    warnings: warnings.map(renderAdvice),
  };
}

async function readStatus(text: string, { signal, clock }: CommandIo): Promise<Fact<Status>> {
  const what = "the status of the agent";
  const address = askable(text);
  if (typeof address === "string") return { unknown: what, why: address };
  const answer = await askStatus(address, signal, clock);
  return answer.ok ? { value: answer.status } : { unknown: what, why: answer.why };
}

function withoutEvents({ recent: _, ...status }: Status): unknown {
  return status;
}

function eventsOf(status: Fact<Status>): Status["recent"] | Unknown {
  const what = "recent events of the agent";
  if (!isKnown(status)) return { unknown: what, why: status.why };
  return status.value.recent ?? { unknown: what, why: `version ${status.value.version} does not serve them` };
}

async function readDoctor(input: Input, io: CommandIo): Promise<unknown> {
  const { facts, diagnosis } = await examine(withInitial(doctorFlags, input), io);
  return { ...viewDiagnosis(diagnosis), versions: facts.versions.map(factValue) };
}

/** Reads over netlink; /proc is for kernels that do not answer. */
async function readFigures(proc: string, signal: AbortSignal): Promise<unknown> {
  const table = readPlainly(() => openConntrack().size({ signal }));
  const counters = readPlainly(() => openConntrack().counters({ signal }));
  return { table: await table, counters: await counters, proc: factValue(readConntrack(proc)) };
}

async function readPlainly<T>(read: () => Promise<T>): Promise<T | Unknown> {
  const fact = await attempt("connection tracking", async () => read());
  return isKnown(fact) ? fact.value : { unknown: fact.unknown, why: fact.why };
}

function valuesOf(facts: Readonly<Record<string, Fact<unknown>>>): unknown {
  return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, factValue(fact)]));
}

/** The same input for another command, whose further flags are at their defaults. */
function withInitial<Table extends FlagTable>(table: Table, input: Input): CommandInput<Table> {
  const initial = Object.fromEntries(Object.entries(table).map(([name, { initial }]) => [name, initial]));
  return { ...input, values: { ...initial, ...input.values } as unknown as FlagValues<Table> };
}
