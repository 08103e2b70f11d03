/**
 * Nothing of a lab is left behind: its processes, namespaces and files go when it is closed, when the process ends or is
 * interrupted, and, if that was killed, when the next lab is made.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { commandNow } from "../command.ts";

/** Names of namespaces and directories begin with this and the process id. */
export const PREFIX = "ipmasq";
/** Where `ip` keeps their names. */
const NAMESPACES = "/run/netns";

const pending = new Set<() => void>();
let isWatching = false;

/** Calls `clean` at the end of the process, also on a signal; returns a function that calls it earlier, once. */
export function atTheEnd(clean: () => void): () => void {
  if (!isWatching) watchForTheEnd();
  isWatching = true;
  pending.add(clean);
  return () => {
    if (pending.delete(clean)) clean();
  };
}

function watchForTheEnd(): void {
  process.on("exit", () => {
    for (const clean of [...pending].reverse()) clean();
  });
  // Without a handler a signal ends the process without its "exit".
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const)
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

/** The remains of the labs that this process, or the given one, has made. */
export function leftovers(pid = process.pid): { namespaces: string[]; files: string[] } {
  const mine = (name: string) => name.startsWith(`${PREFIX}-${pid}-`);
  return {
    namespaces: namespaceNames().filter(mine),
    files: readdirSync(tmpdir()).filter(mine),
  };
}

/** Removes labs of processes that were killed; their number is in the name. */
export function removeLeftovers(ip: string): void {
  const isStale = (name: string) => {
    const pid = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const directories = readdirSync(tmpdir()).filter(isStale);
  removeNow(
    ip,
    namespaceNames().filter(isStale),
    directories.map((name) => join(tmpdir(), name)),
  );
}

function namespaceNames(): string[] {
  return existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
}

/** Ends every process in the namespaces, such as a tool of an agent that was killed, and removes them. */
export function removeNow(ip: string, namespaces: readonly string[], directories: readonly string[]): void {
  const forEach = (command: string) =>
    commandNow(
      ip,
      ["-force", "-batch", "-"],
      namespaces.map((name) => `netns ${command} ${name}\n`).join(""),
    );
  if (namespaces.length > 0) {
    for (const pid of forEach("pids").split("\n").filter(Boolean)) killNow(Number(pid));
    forEach("delete");
  }
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
}

function killNow(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
