/**
 * Whom a process belongs to. Anybody may start a process that calls itself ip-masq-agent or kubelet; what it says of itself counts
 * only if it is ours, or root's.
 */

import { readlinkSync } from "node:fs";
import { known, readText, tryRead } from "./fact.ts";

/** The user of a process, and whether that is the one who asks. */
export interface Owner {
  /** Undefined if it has ended. Of a program that changes users, the one who started it. */
  readonly uid: number | undefined;
  /** Our effective user, in our user namespace. */
  readonly isOurs: boolean;
  /** Ours or root's: nobody else can make such a process. */
  readonly isTrusted: boolean;
}

/** As whom we ask. */
export function ownUid(): number {
  return process.geteuid?.() ?? -1;
}

/** Looks at all four user ids: a setuid program, which anybody may start under any name, has not been started by its effective one. */
export function readOwner(proc: string, pid: number): Owner {
  const status = known(readText(`${proc}/${pid}/status`, "a process")) ?? "";
  const [, ...ids] = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status) ?? [];
  const [uid, ...others] = ids.map(Number);
  const isPlain = uid !== undefined && others.every((other) => other === uid) && isOfOurUsers(proc, pid);
  const isOurs = isPlain && uid === ownUid();
  return { uid, isOurs, isTrusted: isOurs || (isPlain && uid === 0) };
}

/** Whether its user ids mean what ours do. What we may not see is no proof against a process. */
function isOfOurUsers(proc: string, pid: number): boolean {
  const namespace = (who: number | "self") =>
    known(tryRead("a user namespace", () => readlinkSync(`${proc}/${who}/ns/user`)));
  const theirs = namespace(pid);
  return theirs === undefined || theirs === namespace("self");
}
