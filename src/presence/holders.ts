/** The processes that hold the sockets by which agents know of each other, as far as /proc shows them. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { missingCapabilities, parseEffective } from "../system/capabilities.ts";
import { derive, type Fact, isKnown, known, readText, tryRead } from "../system/fact.ts";
import { ownUid, readOwner } from "../system/owner.ts";
import { agentArguments, commandLine, pidsIn } from "../system/processes.ts";
import { printableLine } from "../text/printable.ts";
import { type HeldName, inodeOf, netlinkInode, parseHeldNames } from "./names.ts";
import { readSocketUids } from "./socket-owner.ts";

/** A process by its command line; it may claim anything there, so this is not proof. */
export interface HoldingProcess {
  readonly pid: number;
  readonly words: readonly string[];
  readonly isAgent: boolean;
}

export interface Holder extends HeldName {
  /** The user who made the socket; undefined if the kernel does not say. */
  readonly uid?: number | undefined;
  /**
   * False if it is certain that no agent is behind it: its user is neither root nor ours, and it is not a process that we
   * see with the capability to program rules. Whoever holds such a name is ignored.
   */
  readonly isTrusted: boolean;
  /** Undefined if no visible process has the socket: its process is in another PID namespace, or hidden from us. */
  readonly process: HoldingProcess | undefined;
}

/** The agents' names that are held in this network namespace. Cheap where there are none, as on most nodes. */
export function readHeldNames(proc: string): Fact<readonly HeldName[]> {
  return derive(readSockets(proc), parseHeldNames);
}

function readSockets(proc: string): Fact<string> {
  const what = "whether another agent runs";
  const text = tryRead(what, () => readFileSync(`${proc}/net/unix`, "latin1"));
  if (!isKnown(text)) return text;
  if (text.value === undefined) return { unknown: what, why: `there is no ${proc}/net/unix` };
  return { value: text.value };
}

/** Finds the holders of these names. Looks at every process until all are found. */
export async function findHolders(proc: string, names: readonly HeldName[]): Promise<readonly Holder[]> {
  if (names.length === 0) return [];
  const find = finder(proc);
  const uids = await readSocketUids(names.map(({ inode }) => inode));
  return names.map((name) => {
    const [uid, process] = [uids.get(name.inode), find(name.inode)];
    return { ...name, uid, process, isTrusted: isTrusted(proc, uid, process?.pid) };
  });
}

/** The names of those that may be agents, which is all that an agent has to heed. */
export async function trustedNames(proc: string, names: readonly HeldName[]): Promise<readonly HeldName[]> {
  return (await findHolders(proc, names)).filter((holder) => holder.isTrusted);
}

/** Whether another process holds an address that is not to be heeded. */
export async function isSquatted(proc: string, address: string): Promise<boolean> {
  const inode = inodeOf(known(readSockets(proc)) ?? "", address);
  if (inode === undefined) return false;
  const [holder] = await findHolders(proc, [{ kind: "held", token: "", inode }]);
  return holder?.isTrusted === false;
}

/** Whether an agent may be behind a socket. */
function isTrusted(proc: string, uid: number | undefined, pid: number | undefined): boolean {
  if (uid === 0 || uid === ownUid()) return true;
  if (uid === undefined && (pid === undefined || readOwner(proc, pid).isTrusted)) return true;
  return pid !== undefined && canProgram(proc, pid);
}

/**
 * Whether a process has the capability to program rules here. In a user namespace that it made itself any user has all of
 * them; but only root can give one the same users as ours, and anybody may read the map of users.
 */
function canProgram(proc: string, pid: number): boolean {
  const read = (who: number | "self", file: string) =>
    known(readText(`${proc}/${who}/${file}`, "a process' privileges"));
  const users = read(pid, "uid_map");
  const effective = parseEffective(read(pid, "status") ?? "");
  const hasOurUsers = users !== undefined && users === read("self", "uid_map");
  return hasOurUsers && effective !== undefined && !missingCapabilities(effective).includes("NET_ADMIN");
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

/** `pid 4711 (node ip-masq-agent.cjs --backend=nftables)`, cut where it gets long; with its user if that is why we ignore it. */
export function describeHolder({
  process,
  uid,
  isTrusted = true,
}: Pick<Holder, "process"> & Partial<Holder>): string {
  const who = describeProcess(process);
  return isTrusted || uid === undefined ? who : `${who}, of user ${uid},`;
}

function describeProcess(process: HoldingProcess | undefined): string {
  if (process === undefined) return "a process that is not visible from here";
  const line = process.words.join(" ");
  const shown = line.length > SHOWN ? `${line.slice(0, SHOWN)}...` : line;
  return `pid ${process.pid} (${printableLine(shown)})`;
}

const SHOWN = 400;
