/**
 * How much memory this process may take by its cgroup, and those that it is in. Below what Node.js needs, the kernel ends the
 * agent before it has programmed anything, and nothing of that is in its log (measured with 32 MiB).
 */
import { readFileSync } from "node:fs";
import type { Backend } from "../backend/step.ts";

/** A limit and the file that sets it. */
export interface MemoryLimit {
  readonly bytes: number;
  readonly path: string;
}

const MIB = 1024 * 1024;

/** The agent with everything on, a list of some thousand CIDRs, and its tools. */
const ENOUGH_BYTES = 96 * MIB;

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
  // Version 1 says a number near 2^63 where there is none.
  return limits.filter(({ bytes }) => bytes < 2 ** 60).sort((a, b) => a.bytes - b.bytes)[0];
}

/** What to say of a limit that is too low; undefined if it is not. */
export function describeLowLimit(limit: MemoryLimit | undefined): string | undefined {
  if (limit === undefined || limit.bytes >= ENOUGH_BYTES) return undefined;
  const size = Math.floor(limit.bytes / MIB);
  return `the memory limit is ${size} MiB (${limit.path}), and the agent needs ${ENOUGH_BYTES / MIB} MiB: the kernel may end it without a line in the log; raise resources.limits.memory`;
}

/**
 * What a rule of a chain takes at most while all are replaced: in the agent, in iptables-nft-restore beside it, and in the kernel the old ones
 * and the new ones. Measured with 50,000: 3.3 KiB.
 */
const RULE_BYTES = 4 * 1024;

/** The same backend, which refuses chains that the kernel would end the agent for, in the midst of replacing them. */
export function withinMemory(backend: Backend, limit: MemoryLimit | undefined): Backend {
  if (limit === undefined) return backend;
  return {
    ...backend,
    plan(ruleset, capabilities, observed) {
      const plan = backend.plan(ruleset, capabilities, observed);
      const isSet = capabilities.ipset === true && backend.wantsSet(ruleset);
      const needed = ENOUGH_BYTES + ruleset.entries.length * RULE_BYTES;
      const fits = isSet || capabilities.variant !== "nf_tables" || needed <= limit.bytes;
      if (fits || plan.steps.length === 0 || plan.refusal !== undefined) return plan;
      return { drift: [], steps: [], refusal: describeLongChain(ruleset.entries.length, needed, limit) };
    },
  };
}

function describeLongChain(entries: number, needed: number, { bytes, path }: MemoryLimit): string {
  const size = (all: number) => `${Math.ceil(all / MIB)} MiB`;
  return `${entries} CIDRs as a chain may take ${size(needed)} of memory, and the limit is ${size(bytes)} (${path}): let them be a set (--ipset-threshold, with ipset), use --backend=nftables, or raise resources.limits.memory`;
}

/** Where this process' cgroup and all around it say their limits, as far as they are mounted here. */
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

/** A container has only its own part of the tree mounted; where the group is no part of that, it is the top. */
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
    // Not there, or not for us: then nothing is known of a limit.
    return undefined;
  }
}
