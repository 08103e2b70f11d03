/** The error of a tool that failed. */
import { COMPLAINT_CHARACTERS, cut } from "../text/cut.ts";
import { type Privileges, renderNeed } from "./capabilities.ts";
import type { Script } from "./script.ts";

/** A tool that did not start, that a signal killed, or whose exit code is not an answer. */
export class CommandError extends Error {
  readonly purpose: string;
  /** The system's code if the tool did not start, such as `ENOENT`. */
  readonly code: string | undefined;
  readonly exitCode: number | undefined;
  /** The signal, if someone else killed the process, not we at the deadline. */
  readonly killedBy: string | undefined;
  readonly stderr: string;

  constructor(script: Script, failure: Failure) {
    super(`error ${script.purpose}: ${failure.why}${remedy(script, failure)}`, { cause: failure.cause });
    this.name = "CommandError";
    this.purpose = script.purpose;
    this.code = failure.code;
    this.exitCode = failure.exitCode;
    this.killedBy = failure.killedBy;
    this.stderr = failure.stderr ?? "";
  }
}

interface Failure {
  readonly why: string;
  readonly code?: string;
  readonly exitCode?: number;
  readonly killedBy?: string | undefined;
  readonly stderr?: string;
  readonly cause?: unknown;
  /** The privileges of the process whose tool failed; called only where they are the remedy. */
  readonly privileges?: () => Privileges;
}

/** Whether a tool says that it lacks permission. */
export function isForbidden(stderr: string): boolean {
  return /must be root|permission denied|operation not permitted/i.test(stderr);
}

/** The operator's remedy for failures that are not the rules' fault. */
function remedy(script: Script, { code, stderr = "", privileges = () => UNKNOWN }: Failure): string {
  if (code === "ENOENT") {
    const name = PACKAGES[script.file];
    const instead = name === undefined ? ", or see --iptables-mode" : "";
    return ` (${script.file} is not in PATH: install it, e.g. with "apt-get install ${name ?? "iptables"}"${instead})`;
  }
  // Before the check for permission: a lock on a read-only root has nothing to do with capabilities.
  if (/can't open lock file/i.test(stderr)) {
    return " (iptables-legacy needs it; in a container, mount the host's /run/xtables.lock, writable)";
  }
  if (isForbidden(stderr)) {
    // Only the legacy variant opens a raw socket; before 1.8 there was no other, and the tool did not name it.
    const isNetlink = /^ip6?tables\S* v[\d.]+ \(nf_tables\)|^ipset v/m.test(stderr);
    return ` (${renderNeed(privileges(), isNetlink ? ["NET_ADMIN"] : undefined)})`;
  }
  if (/xtables lock|xtables\.lock/.test(stderr)) {
    return " (another process holds the lock; in a container, mount the host's /run/xtables.lock)";
  }
  return "";
}

/** A tool's complaint for a log line, without its advice to read its help. */
export function oneLine(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const text = lines.filter((line) => line !== "" && !line.startsWith("Try `")).join("; ");
  return cut(text, COMPLAINT_CHARACTERS);
}

/** Debian's packages of the tools that do not belong to iptables. */
const PACKAGES: Readonly<Record<string, string>> = {
  ipset: "ipset",
  nft: "nftables",
  conntrack: "conntrack",
};

const UNKNOWN: Privileges = { root: false, effective: undefined };
