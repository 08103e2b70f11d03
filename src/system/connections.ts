/** Samples the connections in conntrack, up to a bound: a node may have a million. */

import { closeSync, openSync, readSync } from "node:fs";
import type { Run, Script } from "./script.ts";

/** Some entries, as the kernel lists them. */
export interface ConnectionSample {
  readonly lines: readonly string[];
  /** Whether these are all. */
  readonly isWhole: boolean;
}

/** Some 10,000 entries. */
const SAMPLE_BYTES = 2 * 1024 * 1024;

/** The tool lists everything; we skip a table that takes it longer. */
const DEADLINE_MS = 3_000;

const LIST = "/proc/net/nf_conntrack";

/** Reads the start of the kernel's own list, or the tool's whole list where there is none. Throws a `CommandError`. */
export async function sampleConnections(run: Run): Promise<ConnectionSample> {
  try {
    return sampleList(SAMPLE_BYTES);
  } catch {
    // No permission, or no such list: the tool reports the fault, if there is one.
    const lists = [];
    for (const family of ["ipv4", "ipv6"]) lists.push(await listWithTool(run, family));
    return { lines: lists.flat(), isWhole: true };
  }
}

/** Reads the start of the kernel's own list; the kernel builds no more of it. Throws where it cannot be read. */
export function sampleList(limitBytes: number): ConnectionSample {
  const fd = openSync(LIST, "r");
  try {
    const bytes = Buffer.alloc(limitBytes);
    let size = 0;
    for (let count = -1; count !== 0 && size < limitBytes; size += count)
      count = readSync(fd, bytes, size, limitBytes - size, null);
    const isWhole = size < limitBytes;
    const lines = bytes.toString("latin1", 0, size).split("\n");
    return { lines: isWhole ? lines : lines.slice(0, -1), isWhole };
  } finally {
    closeSync(fd);
  }
}

async function listWithTool(run: Run, family: string): Promise<readonly string[]> {
  const script: Script = {
    file: "conntrack",
    args: ["-L", "-f", family],
    purpose: "listing connections",
    deadlineMs: DEADLINE_MS,
  };
  const { stdout } = await run(script);
  return stdout.split("\n");
}
