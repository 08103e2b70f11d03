/** What /proc tells `doctor` of the kernel and of this process. */

import { existsSync, realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConntrackCounters } from "../system/conntrack-stats.ts";
import { derive, type Fact, isKnown, known, readText, tryRead } from "../system/fact.ts";
import { type ConntrackGrowth, type Facts, type LinkSettings, type LockFacts, SYSCTLS } from "./facts.ts";
import type { PodFacts } from "./pod-networks.ts";

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

/** More links are not looked at: a node has one for each pod. */
const MANY_LINKS = 64;

/** The settings of links that pods' packets come in by or leave through. */
export function readLinkSettings(proc: string, pods: PodFacts | undefined): readonly LinkSettings[] {
  const ways = [...(pods?.links ?? [])].flatMap(([name, isPods]) => (isPods ? name : []));
  const names = [...new Set([...(pods?.uplinks ?? []).flatMap(({ name }) => name ?? []), ...ways])];
  const read = (path: string) => known(readText(`${proc}/sys/net/${path}`, path))?.trim();
  const all = read("ipv4/conf/all/rp_filter");
  return names.slice(0, MANY_LINKS).flatMap((name): LinkSettings[] => {
    const own = read(`ipv4/conf/${name}/rp_filter`);
    // The kernel takes the greater: 1 is strict, and 2, which is not, takes precedence.
    const rpFilter =
      own === undefined || all === undefined ? own : String(Math.max(Number(own), Number(all)));
    return [
      { name, family: "IPv4", forwarding: read(`ipv4/conf/${name}/forwarding`), rpFilter },
      { name, family: "IPv6", forwarding: read(`ipv6/conf/${name}/forwarding`), rpFilter: undefined },
    ];
  });
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
