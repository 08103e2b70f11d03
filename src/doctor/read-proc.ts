/** What /proc tells `doctor` of the kernel and of this process. */

import { existsSync, realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConntrackCounters } from "../system/conntrack-stats.ts";
import { derive, type Fact, isKnown, readText, tryRead } from "../system/fact.ts";
import { type ConntrackGrowth, type Facts, type LockFacts, SYSCTLS } from "./facts.ts";

type Sysctls = Facts["sysctls"];

/** The kernel's settings. Some are not shown in every namespace, or not by every kernel. */
export function readSysctls(proc: string): Sysctls {
  const read = (name: string): Fact<string> => {
    const text = readText(`${proc}/sys/${name.replaceAll(".", "/")}`, name);
    if (!isKnown(text)) return text;
    if (text.value !== undefined) return { value: text.value.trim() };
    return { unknown: name, why: "the kernel does not show it here", minor: name !== "net.ipv4.ip_forward" };
  };
  return Object.fromEntries(SYSCTLS.map((name) => [name, read(name)])) as Sysctls;
}

/** How full the table is. It has no files until connections are tracked. */
export function readConntrack(proc: string): Facts["conntrack"] {
  const what = "how full the conntrack table is";
  const [count, max] = ["count", "max"].map((name) =>
    readText(`${proc}/sys/net/netfilter/nf_conntrack_${name}`, what),
  );
  if (count === undefined || max === undefined || !isKnown(count))
    return { unknown: what, why: "unreadable" };
  return derive(max, (text) =>
    text === undefined || count.value === undefined
      ? undefined
      : { count: Number(count.value), max: Number(text) },
  );
}

/** Two readings of the counters, `intervalMs` apart. */
export async function readGrowth(
  proc: string,
  intervalMs: number,
  signal: AbortSignal,
): Promise<Fact<ConntrackGrowth | undefined>> {
  const what = "conntrack's counters";
  const read = () => readText(`${proc}/net/stat/nf_conntrack`, what);
  const before = read();
  if (!isKnown(before)) return before;
  if (before.value === undefined) {
    if (!existsSync(`${proc}/sys/net/netfilter/nf_conntrack_count`)) return { value: undefined };
    return { unknown: what, why: "this kernel has no /proc/net/stat/nf_conntrack", minor: true };
  }
  const first = parseConntrackCounters(before.value);
  await sleep(intervalMs, undefined, { signal });
  return derive(read(), (text) => ({ before: first, after: parseConntrackCounters(text ?? ""), intervalMs }));
}

/** The lock of iptables-legacy, and whether it can be the host's. */
export function readLock(proc: string, env: NodeJS.ProcessEnv): Fact<LockFacts> {
  const { XTABLES_LOCKFILE = "/run/xtables.lock", KUBERNETES_SERVICE_HOST, container } = env;
  const mounts = readText(`${proc}/self/mountinfo`, "whether the xtables lock is mounted");
  const inContainer =
    KUBERNETES_SERVICE_HOST !== undefined ||
    container !== undefined ||
    existsSync("/.dockerenv") ||
    existsSync("/run/.containerenv");
  const real = tryRead("lock", () => realpathSync(XTABLES_LOCKFILE));
  const path = isKnown(real) ? (real.value ?? XTABLES_LOCKFILE) : XTABLES_LOCKFILE;
  return derive(mounts, (text = "") => ({
    path,
    inContainer,
    exists: existsSync(path),
    mounted: text.split("\n").some((line) => line.split(" ")[4] === path),
  }));
}
