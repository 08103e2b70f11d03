/** The command `doctor`. */

import { statSync } from "node:fs";
import { SourceError } from "../../agent/config/file.ts";
import { onNode } from "../../core/desired.ts";
import { enabledFamilies } from "../../core/ruleset.ts";
import { CHECKS, diagnose, hasAtLeast } from "../../doctor/checks.ts";
import type { Facts } from "../../doctor/facts.ts";
import { SEVERITIES } from "../../doctor/finding.ts";
import { gatherFacts, type Subject } from "../../doctor/gather.ts";
import {
  checksJson,
  type Diagnosis,
  diagnosisJson,
  renderChecks,
  renderDiagnosis,
} from "../../doctor/text.ts";
import { parseDuration, toMilliseconds } from "../../go/duration.ts";
import { boolType, stringType, wordType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { openNftables } from "../../netlink/socket/transport.ts";
import { keptIntervals } from "../../nftables/sets.ts";
import type { Status } from "../../observe/status.ts";
import { systemClock } from "../../system/clock.ts";
import { run as runScript } from "../../system/exec.ts";
import { derive, known, tryRead } from "../../system/fact.ts";
import { growSlowly } from "../../system/heap.ts";
import { usableAddresses } from "../../system/node-addresses.ts";
import type { Script } from "../../system/script.ts";
import { nearest } from "../../text/near.ts";
import { renderAdvice } from "../../validate/hints.ts";
import { askable, askStatus } from "../ask.ts";
import { allCommands } from "../backends.ts";
import { type Command, type CommandInput, type CommandIo, UsageError } from "../command.ts";
import { type DesiredInput, desiredFlags, optionsOf, readDesired } from "../desired.ts";
import { pickFlags } from "../options.ts";
import { flagsOf, nameOf } from "../running-agent.ts";
import { clusterCidrFlag, readClusterCidrs } from "./cluster-cidr.ts";

/** The flags of `doctor`. */
export const doctorFlags = {
  ...desiredFlags,
  ...pickFlags("iptables-mode", "http-address"),
  proc: flag(stringType, "/proc", "The `directory` where the node's proc is mounted."),
  "cni-dir": flag(stringType, "/etc/cni/net.d", "The `directory` of the node's CNI configuration."),
  "cluster-cidr": clusterCidrFlag,
  interval: flag(
    stringType,
    "1s",
    "The `duration` between two readings of counters: of conntrack, of our rules, of pods' links.",
  ),
  verbose: flag(boolType, false, "Also show checks that passed."),
  list: flag(boolType, false, "Only list the checks: what each looks for, and how to fix it."),
  "fail-on": flag(
    wordType(...SEVERITIES),
    "warning",
    `The least \`severity\` of a finding that makes the exit code 1: ${SEVERITIES.join(", ")}.`,
  ),
  ignore: flag(stringType, "", "The `checks` to leave out, with commas between their names."),
};

/** At a screen no one waits longer for an answer. */
const MAX_INTERVAL_MS = 60_000;

/** The time that an agent has to answer whose process is seen: a note is not worth more. */
const SHORT_MS = 1_000;

type Flags = typeof doctorFlags;

export const doctorCommand: Command<Flags> = {
  name: "doctor",
  summary: "Find what defeats the agent on this node, and how to fix it",
  operands: "",
  details: [
    "Checks this node's rules, the kernel's settings, the CNI's configuration and the kubelet's command line.",
    "It changes nothing, and says what it cannot check.",
    "",
    "Flags that are not given come from the agent in this network namespace, if one is visible.",
    "In a pod, mount the host's /proc and /etc/cni/net.d, and name them with --proc and --cni-dir,",
    "so that it can check everything.",
    "",
    "Exit code 1 means that there are errors or warnings; --fail-on=error makes it 1 for errors only, and",
    "--fail-on=info also for notes, of which the check versions always has some.",
  ].join("\n"),
  flags: doctorFlags,
  examples: [
    { args: "doctor", what: "find what is wrong on this node" },
    { args: "doctor --verbose --backend=nftables", what: "also show notes, for an agent on nftables" },
    {
      args: "doctor -o json --fail-on=error --ignore=lock,inotify",
      what: "for a program to read, without two checks",
    },
    { args: "doctor --list", what: "show what doctor looks for" },
  ],
  adopts: ({ proc }) => proc,
  readsNode: () => true,
  async run(input, io) {
    const { values, output } = input;
    const ignored = readIgnored(values.ignore);
    if (values.list) {
      io.out(output === "json" ? checksJson() : renderChecks(io.colours));
      return 0;
    }
    const { diagnosis } = await examine(input, io, ignored);
    const { findings } = diagnosis;
    io.out(
      output === "json" ? diagnosisJson(diagnosis) : renderDiagnosis(diagnosis, values.verbose, io.colours),
    );
    return hasAtLeast(findings, values["fail-on"]) ? 1 : 0;
  },
};

/** The facts of the node and what follows from them. */
export async function examine(
  input: CommandInput<Flags>,
  io: CommandIo,
  ignored: Diagnosis["ignored"] = [],
): Promise<{ readonly facts: Facts; readonly diagnosis: Diagnosis }> {
  // It may run beside the agent, within the same limit of memory.
  growSlowly();
  const subject = await subjectOf(input, io);
  const { signal } = io;
  const run = (script: Script) => runScript(script, signal);
  const sides = (await allCommands()).map(({ doctor }) => doctor);
  const facts = await gatherFacts(subject, { sides, run, open: openNftables, env: process.env, signal });
  const { settings, own } = facts;
  const findings = diagnose(facts, ignored);
  return { facts, diagnosis: { settings, own, source: subject.source, findings, ignored } };
}

/** The subject of the checks: the given flags and, for the others, those of the running agent. */
async function subjectOf(
  input: CommandInput<Flags>,
  io: CommandIo,
): Promise<Subject & { readonly source: string | undefined }> {
  const { values, given, agent } = input;
  const { proc, "cni-dir": cniDirectory } = values;
  const intervalMs = readInterval(values.interval);
  const clusterCidr = values["cluster-cidr"];
  readClusterCidrs(clusterCidr);
  if (given.has("proc")) requireDirectory("proc", `${proc}/sys`);
  if (given.has("cni-dir")) requireDirectory("cni-dir", cniDirectory);
  const processes = io.processes(proc);
  const options = optionsOf(values);
  const isSeen = (known(processes)?.agents.length ?? 0) > 0;
  const status = await statusAt(values["http-address"], io.signal, isSeen ? SHORT_MS : undefined);
  return {
    chain: options.masqChain,
    families: enabledFamilies(options),
    backend: values.backend,
    iptablesMode: values["iptables-mode"],
    toPorts: options.toPorts,
    config: await readConfiguration(input, io),
    processes: derive(processes, ({ kubelets, agents }) => ({
      kubelets,
      agents: agents.map(({ pid, args, isOurs }) => ({
        pid,
        isOurs,
        chain: flagsOf(args)?.["masq-chain"] ?? "",
      })),
      answers: !isSeen && status !== undefined,
    })),
    neverAsked: status?.neverAsked ?? [],
    clusterCidrs: [
      ...(clusterCidr === "" ? [] : [{ from: "--cluster-cidr", text: clusterCidr }]),
      ...(known(processes)?.clusterCidrs ?? []),
    ],
    proc,
    cniDirectory,
    intervalMs,
    source: agent && `using the flags of ${nameOf(agent)}`,
  };
}

function readInterval(text: string): number {
  const interval = parseDuration(text);
  if (!interval.ok) throw new UsageError(`invalid --interval: ${interval.message}`);
  const ms = toMilliseconds(interval.nanoseconds);
  if (ms < 0 || ms > MAX_INTERVAL_MS) throw new UsageError(`invalid --interval ${text}: use 0s to 1m`);
  return ms;
}

function readIgnored(text: string): readonly string[] {
  const names = CHECKS.map(({ name }) => name);
  const ignored = text === "" ? [] : text.split(",").map((name) => name.trim());
  const unknown = ignored.find((name) => !names.includes(name));
  if (unknown === undefined) return ignored;
  const meant = nearest(unknown, names);
  const hint = meant === undefined ? "--list has all checks" : `did you mean ${meant}?`;
  throw new UsageError(`invalid --ignore: there is no check ${JSON.stringify(unknown)}: ${hint}`);
}

/** The status of the agent that answers there, if one does. */
async function statusAt(
  text: string,
  signal: AbortSignal,
  patienceMs: number | undefined,
): Promise<Status | undefined> {
  const address = askable(text);
  const answer =
    typeof address === "string" ? undefined : await askStatus(address, signal, systemClock, patienceMs);
  return answer?.ok === true ? answer.status : undefined;
}

function requireDirectory(flag: string, path: string): void {
  const found = tryRead(path, () => statSync(path).isDirectory());
  if (known(found) !== true) throw new UsageError(`--${flag}: ${path} is not a readable directory`);
}

/** An unreadable configuration is a finding like any other. */
async function readConfiguration(input: DesiredInput, io: CommandIo): Promise<Facts["config"]> {
  const { values } = input;
  try {
    const desired = onNode(await readDesired(input, io), await usableAddresses());
    const { text, config, problems, warnings, rulesets } = desired;
    const isGood = problems.length === 0;
    return {
      value: {
        path: values.config,
        exists: text.files.length > 0,
        problems: problems.map(renderAdvice),
        warnings: warnings.map(renderAdvice),
        resyncMs: isGood ? config.resyncIntervalMs : undefined,
        entries: config.nonMasqueradeCIDRs.length + config.masqueradeCIDRs.length,
        kept: isGood ? new Map(rulesets.map((one) => [one.family, keptIntervals(one)])) : undefined,
        ...(isGood ? { rulesets, outputAddresses: config.outputAddresses } : {}),
      },
    };
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    const problems = [error.message];
    return {
      value: {
        path: values.config,
        exists: true,
        problems,
        warnings: [],
        resyncMs: undefined,
        entries: 0,
        kept: undefined,
      },
    };
  }
}
