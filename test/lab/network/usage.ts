/** What a process takes of the machine, from /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Memory {
  readonly residentMb: number;
  readonly anonymousMb: number;
}

/** Its memory now. */
export function memoryOf(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const megabytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) / 1024;
  return { residentMb: megabytes("Rss"), anonymousMb: megabytes("Anonymous") };
}

/** What its descriptors lead to, such as `socket` or a file's path. */
export function descriptorsOf(pid: number): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).flatMap((fd) => {
    try {
      return [readlinkSync(`${directory}/${fd}`).replace(/:\[\d+\]$/, "")];
    } catch {
      // Closed since it was listed.
      return [];
    }
  });
}

/** Its children, those that have ended and were not waited for among them: process id and name. */
export function childrenOf(pid: number): readonly string[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  const pids = threads.flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean),
  );
  return pids.map((child) => `${child} ${nameOf(child)}`);
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "(ended)";
  }
}

/** Whether a process is there. A zombie does not count: its parent decides when it goes. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
