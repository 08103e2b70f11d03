/** Other visible processes of the node: kubelets, agents, and users of inotify. */

import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { flagValue } from "../go/flags.ts";
import { type Fact, isKnown, known, readText, tryRead } from "./fact.ts";
import { type Owner, ownUid, readOwner } from "./owner.ts";

/** The running programs, by command lines. */
export interface Processes {
  readonly kubelets: readonly (readonly string[])[];
  /** Agents of our user in our network namespace. */
  readonly agents: readonly SeenAgent[];
  /** Processes of a different user that call themselves an agent here: any user can do that, so we do not trust them. */
  readonly strangers: readonly { readonly pid: number; readonly uid: number }[];
  /** The cluster's networks on command lines of its own programs. */
  readonly clusterCidrs: readonly { readonly from: string; readonly text: string }[];
  /** Agents whose network namespace this user may not see. */
  readonly hidden: readonly number[];
}

/** A running agent. */
export interface SeenAgent {
  readonly pid: number;
  /** The words after the program's name. */
  readonly args: readonly string[];
  /** Whether it is this program, of any version, and not the Go program. */
  readonly isOurs: boolean;
}

/** Programs of a cluster that know its pods' networks. */
const KNOWS_PODS = ["kube-proxy", "kube-controller-manager", "hyperkube", "k3s", "k3s-server"];

/** Program names of an agent, the Go program's among them. */
const AGENT = /^ip-masq-agent(\.c?js)?$/;

/** Looks once through all of /proc. Skips processes that end meanwhile. */
export function readProcesses(proc: string): Fact<Processes> {
  const pids = pidsIn(proc, "other processes");
  if (!isKnown(pids)) return pids;
  const all = pids.value.map((pid) => ({ pid, words: commandLine(proc, pid) }));
  const netns = namespaceOf(proc, "self");
  // A kubelet of another namespace is another node's (kind has many on one machine).
  const isHere = (pid: number) => [undefined, netns].includes(namespaceOf(proc, pid));
  const isClusters = (pid: number) => isHere(pid) && readOwner(proc, pid).isTrusted;
  const kubelets = all.filter(({ pid, words }) => isKubelet(words) && isClusters(pid));
  const clusterCidrs = all.flatMap(({ pid, words }) =>
    clusterCidrOf(pid, words).filter(() => isClusters(pid)),
  );
  const named = all.flatMap(({ pid, words }) => (pid === process.pid ? [] : agentOf(proc, pid, words)));
  const pidsOfNamed = new Set(named.map(({ pid }) => pid));
  const here = named
    .filter(({ pid }) => !pidsOfNamed.has(parentOf(proc, pid) ?? 0))
    .flatMap((agent) => sortOut(proc, agent, netns) ?? []);
  return {
    value: {
      kubelets: kubelets.map(({ words }) => words),
      agents: here.flatMap(({ kind, agent }) => (kind === "agent" ? agent : [])),
      strangers: here.flatMap(({ kind, agent: { pid }, owner: { uid } }) =>
        kind === "stranger" && uid !== undefined ? { pid, uid } : [],
      ),
      hidden: here.flatMap(({ kind, agent }) => (kind === "hidden" ? agent.pid : [])),
      clusterCidrs,
    },
  };
}

interface Sorted {
  readonly kind: "agent" | "stranger" | "hidden";
  readonly agent: SeenAgent;
  readonly owner: Owner;
}

/**
 * A process that calls itself an agent, and may be in our network namespace. A different user's is hidden from all but
 * root.
 */
function sortOut(proc: string, agent: SeenAgent, netns: string | undefined): Sorted | undefined {
  const theirs = namespace(proc, agent.pid);
  if (isKnown(theirs) && theirs.value !== netns) return undefined;
  const owner = readOwner(proc, agent.pid);
  if (owner.uid === undefined) return undefined;
  const isStrange = !owner.isOurs && (isKnown(theirs) || ownUid() === 0);
  return { kind: isStrange ? "stranger" : isKnown(theirs) ? "agent" : "hidden", agent, owner };
}

function clusterCidrOf(pid: number, [program = "", ...args]: readonly string[]): Processes["clusterCidrs"] {
  const name = basename(program);
  const text = KNOWS_PODS.includes(name) ? flagValue(args, "cluster-cidr") : undefined;
  return text === undefined ? [] : [{ from: `--cluster-cidr of ${name}, pid ${pid}`, text }];
}

/** Our agent is a script that node runs; the Go program is a file of its own, whose flags any first word ends. */
function agentOf(proc: string, pid: number, words: readonly string[]): readonly SeenAgent[] {
  if (!words.some((word) => AGENT.test(basename(word)))) return [];
  const file = known(tryRead("a program", () => readlinkSync(`${proc}/${pid}/exe`)));
  const name = basename((file ?? words[0] ?? "").replace(/ \(deleted\)$/, ""));
  const isOurs = /^node(js)?$/.test(name);
  // Other processes have an agent's command line, too: tini passes one on, and any program can start under any name.
  if (!isOurs && !AGENT.test(name)) return [];
  const args = isOurs || !AGENT.test(basename(words[0] ?? "")) ? agentArguments(words) : words.slice(1);
  return args === undefined ? [] : [{ pid, args, isOurs }];
}

/** The parent of a process. Until an agent's child becomes its tool, it has the agent's command line. */
function parentOf(proc: string, pid: number): number | undefined {
  const stat = known(readText(`${proc}/${pid}/stat`, "a parent")) ?? "";
  // proc(5): the name is in parentheses and may have any character; the state and the parent follow.
  const ppid = /\) \S (\d+) [^)]*$/.exec(stat)?.[1];
  return ppid === undefined ? undefined : Number(ppid);
}

/** The processes that exist now. */
export function pidsIn(proc: string, what: string): Fact<readonly number[]> {
  const names = tryRead(what, () => readdirSync(proc));
  if (!isKnown(names)) return names;
  if (names.value === undefined) return { unknown: what, why: `there is no ${proc}` };
  return { value: names.value.filter((name) => /^\d+$/.test(name)).map(Number) };
}

/** No program of a cluster has a longer command line, and a process can make its own as long as its memory. */
const COMMAND_BYTES = 128 * 1024;
const CHUNK_BYTES = 4_096;

/** The command line of a process; nothing if it has ended, or is hidden from us. */
export function commandLine(proc: string, pid: number): readonly string[] {
  let fd: number | undefined;
  try {
    fd = openSync(`${proc}/${pid}/cmdline`, "r");
    const chunks: Buffer[] = [];
    for (let size = 0; size < COMMAND_BYTES; size += CHUNK_BYTES) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(fd, chunk);
      chunks.push(chunk.subarray(0, count));
      if (count < CHUNK_BYTES) break;
    }
    return Buffer.concat(chunks).toString("utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function isKubelet([program = "", command]: readonly string[]): boolean {
  const name = basename(program);
  return name === "kubelet" || (name === "hyperkube" && command === "kubelet");
}

/** The arguments of a running agent: the words after the program's name, which may follow `node` and its options. */
export function agentArguments(words: readonly string[]): readonly string[] | undefined {
  const at = words.findIndex(
    (word, i) => AGENT.test(basename(word)) && words.slice(0, i).every(isInterpreter),
  );
  if (at < 0) return undefined;
  const [first, ...rest] = words.slice(at + 1);
  if (first === undefined || first === "" || first.startsWith("-")) return words.slice(at + 1);
  return first === "run" ? rest : undefined;
}

function isInterpreter(word: string): boolean {
  return word.startsWith("-") || /^node(js)?$|^tini$/.test(basename(word));
}

function namespace(proc: string, pid: number | "self"): Fact<string | undefined> {
  return tryRead("a network namespace", () => readlinkSync(`${proc}/${pid}/ns/net`));
}

/** Undefined if we may not see it, or it is gone. Compared with our own, which we can always see. */
function namespaceOf(proc: string, pid: number | "self"): string | undefined {
  return known(namespace(proc, pid));
}

const INOTIFY = "anon_inode:inotify";

/** The inotify resources that our user's processes hold: the limits are per user. */
export function readInotify(proc: string): Fact<InotifyFacts> {
  const what = "how much of inotify's limits is used";
  const limits = ["max_user_instances", "max_user_watches"].map((name) => {
    const text = readText(`${proc}/sys/fs/inotify/${name}`, what);
    return isKnown(text) ? Number(text.value) : Number.NaN;
  });
  const [maxInstances = Number.NaN, maxWatches = Number.NaN] = limits;
  const pids = pidsIn(proc, what);
  if (!isKnown(pids)) return pids;
  if (!limits.every(Number.isInteger))
    return { unknown: what, why: "the limits cannot be read", minor: true };
  const counts = pids.value.map((pid) => inotifyOf(proc, pid));
  const sum = (key: "instances" | "watches") => counts.reduce((total, one) => total + one[key], 0);
  return { value: { instances: sum("instances"), maxInstances, watches: sum("watches"), maxWatches } };
}

function inotifyOf(proc: string, pid: number): { readonly instances: number; readonly watches: number } {
  try {
    if (statSync(`${proc}/${pid}`).uid !== process.geteuid?.()) return { instances: 0, watches: 0 };
    const fds = readdirSync(`${proc}/${pid}/fd`).filter((fd) => isInotify(`${proc}/${pid}/fd/${fd}`));
    const infos = fds.map((fd) => readFileSync(`${proc}/${pid}/fdinfo/${fd}`, "utf8"));
    const watches = infos.reduce((total, info) => total + (info.match(/^inotify wd:/gm)?.length ?? 0), 0);
    return { instances: fds.length, watches };
  } catch {
    // It has ended, or does not belong to us after all.
    return { instances: 0, watches: 0 };
  }
}

function isInotify(path: string): boolean {
  try {
    return readlinkSync(path) === INOTIFY;
  } catch {
    // Closed meanwhile.
    return false;
  }
}

/** The inotify resources that one user's processes hold, and the limits. */
export interface InotifyFacts {
  readonly instances: number;
  readonly maxInstances: number;
  readonly watches: number;
  readonly maxWatches: number;
}
