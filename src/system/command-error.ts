/** What a tool can fail with. */
import { COMPLAINT_CHARACTERS, cut } from "../text/cut.ts";
import { type Privileges, renderNeed } from "./capabilities.ts";
import type { Script } from "./script.ts";

/** A tool that could not be started, was ended by a signal, or exited with a code that is no answer. */
export class CommandError extends Error {
  readonly purpose: string;
  /** The system's code if the tool could not be started, such as `ENOENT`. */
  readonly code: string | undefined;
  readonly exitCode: number | undefined;
  /** The signal by which somebody else, not we at the deadline, has ended it. */
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
  /** What the process may do whose tool failed; asked for only where that is the remedy. */
  readonly privileges?: () => Privileges;
}

/** Whether a tool says that it may not do its work. */
export function isForbidden(stderr: string): boolean {
  return /must be root|permission denied|operation not permitted/i.test(stderr);
}

/** What an operator has to do about the failures that are not the rules' fault. */
function remedy(script: Script, { code, stderr = "", privileges = () => UNKNOWN }: Failure): string {
  if (code === "ENOENT") {
    const name = PACKAGES[script.file];
    const instead = name === undefined ? ", or see --iptables-mode" : "";
    return ` (${script.file} is not in PATH: install it, e.g. with "apt-get install ${name ?? "iptables"}"${instead})`;
  }
  // Ahead of what is forbidden: a lock on a read-only root has nothing to do with capabilities.
  if (/can't open lock file/i.test(stderr)) {
    return " (iptables-legacy needs it; in a container, mount the host's /run/xtables.lock, writable)";
  }
  if (isForbidden(stderr)) {
    // Only the legacy variant opens a raw socket; before 1.8 there was no other, and its name is not told.
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

/** What Debian calls the packages of tools that are none of iptables'. */
const PACKAGES: Readonly<Record<string, string>> = {
  ipset: "ipset",
  nft: "nftables",
  conntrack: "conntrack",
};

const UNKNOWN: Privileges = { root: false, effective: undefined };
