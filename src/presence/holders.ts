/** The processes that hold the sockets by which agents know of each other, as far as /proc shows them. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Fact, isKnown, known, tryRead } from "../system/fact.ts";
import { agentArguments, commandLine, pidsIn } from "../system/processes.ts";
import { printableLine } from "../text/printable.ts";
import { type HeldName, netlinkInode, parseHeldNames } from "./names.ts";

/** A process by its command line; it may claim anything there, so this is not proof. */
export interface HoldingProcess {
  readonly pid: number;
  readonly words: readonly string[];
  readonly isAgent: boolean;
}

export interface Holder extends HeldName {
  /** Undefined if no visible process has the socket: its process is in another PID namespace, or hidden from us. */
  readonly process: HoldingProcess | undefined;
}

/** The agents' names that are held in this network namespace. Cheap where there are none, as on most nodes. */
export function readHeldNames(proc: string): Fact<readonly HeldName[]> {
  const what = "whether another agent runs";
  const text = tryRead(what, () => readFileSync(`${proc}/net/unix`, "latin1"));
  if (!isKnown(text)) return text;
  if (text.value === undefined) return { unknown: what, why: `there is no ${proc}/net/unix` };
  return { value: parseHeldNames(text.value) };
}

/** Finds the holders of these names. Looks at every process until all are found. */
export function findHolders(proc: string, names: readonly HeldName[]): readonly Holder[] {
  if (names.length === 0) return [];
  const find = finder(proc);
  return names.map((name) => ({ ...name, process: find(name.inode) }));
}

/** The process of this network namespace that has a port of netfilter's netlink, in words. */
export function describePort(proc: string, port: number): string {
  const text = known(tryRead("netlink sockets", () => readFileSync(`${proc}/net/netlink`, "latin1")));
  const inode = netlinkInode(text ?? "", port);
  return describeHolder({ process: inode === undefined ? undefined : finder(proc)(inode) });
}

/** Looks at every process until it finds the one that has a socket. */
function finder(proc: string): (inode: number) => HoldingProcess | undefined {
  const processes = (known(pidsIn(proc, "other processes")) ?? []).map((pid): HoldingProcess => {
    const words = commandLine(proc, pid);
    return { pid, words, isAgent: agentArguments(words) !== undefined };
  });
  const likelyFirst = [...processes.filter(({ isAgent }) => isAgent), ...processes.filter(isOther)];
  return (inode) => likelyFirst.find(({ pid }) => hasSocket(proc, pid, inode));
}

function isOther({ isAgent }: HoldingProcess): boolean {
  return !isAgent;
}

function hasSocket(proc: string, pid: number, inode: number): boolean {
  try {
    const directory = `${proc}/${pid}/fd`;
    return readdirSync(directory).some((fd) => linkOf(`${directory}/${fd}`) === `socket:[${inode}]`);
  } catch {
    // It has ended, or we may not look.
    return false;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // Closed meanwhile.
    return undefined;
  }
}

/** `pid 4711 (node ip-masq-agent.cjs --backend=nftables)`, cut where it gets long. */
export function describeHolder({ process }: Pick<Holder, "process">): string {
  if (process === undefined) return "a process that is not visible from here";
  const line = process.words.join(" ");
  const shown = line.length > SHOWN ? `${line.slice(0, SHOWN)}...` : line;
  return `pid ${process.pid} (${printableLine(shown)})`;
}

const SHOWN = 400;
