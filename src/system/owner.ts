/**
 * The owner of a process. Any user may start a process that calls itself ip-masq-agent or kubelet; we trust it only if
 * it is ours, or root's.
 */

import { readlinkSync } from "node:fs";
import { known, readText, tryRead } from "./fact.ts";

/** The user of a process, and whether that is our own user. */
export interface Owner {
  /** Undefined if the process has ended. For a program that changes users, the user who started it. */
  readonly uid: number | undefined;
  /** Our effective user, in our user namespace. */
  readonly isOurs: boolean;
  /** Ours or root's: no other user can create such a process. */
  readonly isTrusted: boolean;
}

/** Our own user. */
export function ownUid(): number {
  return process.geteuid?.() ?? -1;
}

/**
 * Compares all four user ids: any user can start a setuid program under any name, and its effective user did not start
 * it.
 */
export function readOwner(proc: string, pid: number): Owner {
  const status = known(readText(`${proc}/${pid}/status`, "a process")) ?? "";
  const [, ...ids] = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status) ?? [];
  const [uid, ...others] = ids.map(Number);
  const isPlain = uid !== undefined && others.every((other) => other === uid) && isOfOurUsers(proc, pid);
  const isOurs = isPlain && uid === ownUid();
  return { uid, isOurs, isTrusted: isOurs || (isPlain && uid === 0) };
}

/** Whether its user ids mean the same as ours. A namespace that we may not see does not count against a process. */
function isOfOurUsers(proc: string, pid: number): boolean {
  const namespace = (who: number | "self") =>
    known(tryRead("a user namespace", () => readlinkSync(`${proc}/${who}/ns/user`)));
  const theirs = namespace(pid);
  return theirs === undefined || theirs === namespace("self");
}
