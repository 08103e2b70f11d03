/** The world as the logger sees it: descriptor 2, files, the clock. */

import { closeSync, constants, fstatSync, openSync, rmSync, symlinkSync, writeSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import type { LogFile, LogPlace, LogWorld } from "./types.ts";

const STDERR = 2;
/** How long to wait for a full pipe, in all, before dropping the rest of a line. */
const PATIENCE_MS = 100;

/** This process's own world. */
export function processWorld(): LogWorld {
  let stderr: number | undefined;
  const write = (bytes: Uint8Array, from: number) => {
    stderr ??= withoutWaiting(STDERR);
    return writeSync(stderr, bytes, from);
  };
  return {
    now: Date.now,
    pid: process.pid,
    writeStderr: createPatientWriter(write, sleepOneMs),
    openFile,
    link: replaceLink,
    place,
  };
}

/**
 * A descriptor for the same pipe whose writes do not wait for a reader: one that is stuck must not keep the agent from its rules. It
 * is opened again, since a flag on the old one would change every process that writes there. The old one if that fails, and
 * for everything but pipes: a second descriptor of a file has its own offset.
 */
function withoutWaiting(descriptor: number): number {
  try {
    if (!fstatSync(descriptor).isFIFO()) return descriptor;
    return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return descriptor;
  }
}

/**
 * A writer that never throws. While a pipe is full (EAGAIN), it tries again for a while, but after a wait in vain it tries the
 * next lines only once, so that a stuck reader costs the agent one wait and not one for each line. Any other failure (EPIPE,
 * EIO, EBADF) drops the line: there is no other place for it.
 */
export function createPatientWriter(
  write: (bytes: Uint8Array, from: number) => number,
  sleep: () => void,
): (text: string) => void {
  let stuck = false;
  return (text) => {
    const bytes = Buffer.from(text);
    let waits = stuck ? PATIENCE_MS : 0;
    for (let at = 0; at < bytes.length; ) {
      try {
        at += write(bytes, at);
        stuck = false;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
        stuck = waits++ >= PATIENCE_MS;
        if (stuck) return;
        sleep();
      }
    }
  };
}

function sleepOneMs(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

function openFile(path: string, mode: "append" | "truncate"): LogFile {
  const file = openSync(path, mode === "append" ? "a+" : "w+");
  return {
    size: fstatSync(file).size,
    write(text) {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    },
    close: () => closeSync(file),
  };
}

function replaceLink(target: string, path: string): void {
  try {
    rmSync(path, { force: true });
    symlinkSync(target, path);
  } catch {
    // klog ignores it too: the link is a convenience
  }
}

function place(): LogPlace {
  return {
    program: "ip-masq-agent",
    host: hostname().split(".")[0] || "unknownhost",
    user: userName(),
    temporary: tmpdir(),
    build: `node ${process.version} for ${process.platform}/${process.arch}`,
  };
}

/** A container's user id does not need a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknownuser";
  }
}
