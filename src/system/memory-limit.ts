/**
 * The memory limits of this process' cgroup and of those around it. Below what Node.js needs, the kernel kills the
 * agent before it has programmed anything, and the log says nothing about it (measured with 32 MiB).
 */
import { readFileSync } from "node:fs";

/** A limit and the file that sets it. */
export interface MemoryLimit {
  readonly bytes: number;
  readonly path: string;
}

export const MIB = 1024 * 1024;

/** The agent with everything on, a list of some thousand CIDRs, and its tools. */
export const ENOUGH_BYTES = 96 * MIB;

/** The lowest limit; undefined if there is none, or it cannot be read. `read` gives a file's text. */
export function readMemoryLimit(
  read: (path: string) => string | undefined = readText,
): MemoryLimit | undefined {
  const groups = read("/proc/self/cgroup") ?? "";
  const mounts = read("/proc/self/mountinfo") ?? "";
  const limits = limitFiles(groups, mounts).flatMap((path) => {
    const text = read(path)?.trim() ?? "";
    return /^\d+$/.test(text) ? [{ bytes: Number(text), path }] : [];
  });
  // Version 1 gives a number near 2^63 where there is no limit.
  return limits.filter(({ bytes }) => bytes < 2 ** 60).sort((a, b) => a.bytes - b.bytes)[0];
}

export const RAISE_LIMIT = "raise resources.limits.memory";

/** The warning about a limit that is too low; undefined if it is not. */
export function describeLowLimit(limit: MemoryLimit | undefined): string | undefined {
  if (limit === undefined || limit.bytes >= ENOUGH_BYTES) return undefined;
  const size = Math.floor(limit.bytes / MIB);
  return `the memory limit is ${size} MiB (${limit.path}), and the agent needs ${ENOUGH_BYTES / MIB} MiB: the kernel may end it without a line in the log; ${RAISE_LIMIT}`;
}

/** The files with the limits of this process' cgroup and of all around it, as far as they are mounted here. */
function limitFiles(groups: string, mounts: string): readonly string[] {
  return mounts.split("\n").flatMap((line) => {
    const [head = "", tail = ""] = line.split(" - ");
    const [, , , root = "", mountPoint = ""] = head.split(" ");
    const [type, , options = ""] = tail.split(" ");
    const isV1 = type === "cgroup" && options.split(",").includes("memory");
    if (type !== "cgroup2" && !isV1) return [];
    const group = groupOf(groups, isV1);
    if (group === undefined) return [];
    const name = isV1 ? "memory.limit_in_bytes" : "memory.max";
    return ancestors(mountPoint, within(group, root)).map((directory) => `${directory}/${name}`);
  });
}

function groupOf(groups: string, isV1: boolean): string | undefined {
  const lines = groups.split("\n").map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const found = lines.find((line) =>
    isV1 ? line?.[1]?.split(",").includes("memory") === true : line?.[1] === "",
  );
  return found?.[2];
}

/** A container has only its own part of the tree mounted; where the group is not in that part, it is the top. */
function within(group: string, root: string): string {
  const inside = root === "/" ? group : group.startsWith(root) ? group.slice(root.length) : "";
  return inside.includes("..") ? "" : inside;
}

function ancestors(mountPoint: string, inside: string): readonly string[] {
  const parts = inside.split("/").filter(Boolean);
  return Array.from({ length: parts.length + 1 }, (_, i) => [mountPoint, ...parts.slice(0, i)].join("/"));
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It does not exist, or we may not read it: then no limit is known.
    return undefined;
  }
}
