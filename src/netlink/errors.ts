/** Errors of the kernel and of this machine. A caller's mistake throws a plain error. */
import { readFileSync } from "node:fs";
import { getSystemErrorMap } from "node:util";
import type { Operation } from "./operations.ts";
import { renderName } from "./text.ts";

export interface Failure {
  /** The kernel's name for it, such as `ENOENT`. */
  readonly code: string;
  /** The attempt that failed. */
  readonly what: string;
  /** The code in words. */
  readonly why: string;
  /** The operation that the kernel rejected, if it was one. */
  readonly operation?: Operation | undefined;
  readonly cause?: unknown;
}

/** The kernel rejected a request, or did not answer. If it rejects one operation of a batch, it applies none. */
export class NftablesError extends Error {
  override readonly name = "NftablesError";
  readonly code: string;
  readonly operation: Operation | undefined;

  constructor({ code, what, why, operation, cause }: Failure) {
    super(`${what}: ${code}: ${why}`, { cause });
    this.code = code;
    this.operation = operation;
  }
}

/** The addon cannot be loaded, so this process cannot reach nf_tables. */
export class NetlinkUnavailable extends Error {
  override readonly name = "NetlinkUnavailable";
  readonly platform: string;

  constructor(platform: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    super(
      `no netlink sockets on ${platform}: the addon netlink cannot be loaded (${reason}). ` +
        "The build compiles it if there is a C compiler, and a bundle needs it as a file beside itself",
      { cause },
    );
    this.platform = platform;
  }
}

/** The error in the kernel's answer to an attempt, a negative number; none for zero. */
export function kernelFailure(errno: number, what: string, operation?: Operation): NftablesError {
  const [code, words] = getSystemErrorMap().get(errno) ?? [`errno ${-errno}`, "unknown error"];
  const why = code === "EPERM" ? renderForbidden(holdsNetAdmin()) : (HINTS[code] ?? words);
  return new NftablesError({
    code,
    what: operation === undefined ? what : renderName(operation),
    why,
    operation,
  });
}

/** The codes' meanings for nf_tables, where the system's words mislead. libuv's name of EOPNOTSUPP is ENOTSUP. */
const HINTS: Readonly<Record<string, string>> = {
  ENOENT: "it, or something that it refers to, does not exist",
  EEXIST: "it exists already, or an element overlaps one that is there",
  EBUSY: "it is still in use",
  EPROTONOSUPPORT: "this kernel has no netfilter netlink",
  ENOTSUP: "this kernel lacks nf_tables, or the part of it that is needed",
};

/** Filters of system calls, security modules and the owners of tables say EPERM as well as a missing capability does. */
export function renderForbidden(holds: boolean | undefined): string {
  if (holds !== true)
    return "CAP_NET_ADMIN is missing in this network namespace: run as root, or add NET_ADMIN to the container's capabilities";
  return "this process has the capability NET_ADMIN, so something else forbids it: a user namespace, a seccomp profile, a security module, or a table that belongs to another process (flag owner)";
}

/** By the bit of linux/capability.h; undefined where the system does not say. */
function holdsNetAdmin(): boolean | undefined {
  try {
    const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
    return digits === undefined ? undefined : ((BigInt(`0x${digits}`) >> 12n) & 1n) === 1n;
  } catch {
    return undefined;
  }
}

/** A kernel without nf_tables, or without netfilter's netlink family, answers with one of these codes. */
const UNSUPPORTED: readonly string[] = ["EINVAL", "ENOTSUP", "EPROTONOSUPPORT", "EAFNOSUPPORT"];

/** Whether nf_tables cannot be reached here: without the addon, or not in the kernel. Only for errors of reading. */
export function isUnsupported(error: unknown): boolean {
  if (error instanceof NetlinkUnavailable) return true;
  return error instanceof NftablesError && UNSUPPORTED.includes(error.code);
}

/** Whether the request was for an object that does not exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof NftablesError && error.code === "ENOENT";
}

/** The answer, or undefined if the object does not exist. */
export async function ifFound<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
