/** Reads from /proc what `doctor` asks of the kernel and of this process. */

import { existsSync, realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { attempt } from "../backend/attempt.ts";
import { openConntrack } from "../conntrack/conntrack.ts";
import { type ConntrackCounters, parseConntrackCounters } from "../system/conntrack-stats.ts";
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

/** Two readings of the counters, `intervalMs` apart; a kernel that has no file of them is asked over netlink. */
export async function readGrowth(
  proc: string,
  intervalMs: number,
  signal: AbortSignal,
  ask: () => Promise<Fact<ConntrackCounters>> = askCounters,
): Promise<Fact<ConntrackGrowth | undefined>> {
  const read = async (): Promise<Fact<ConntrackCounters | undefined>> => {
    const text = readText(`${proc}/net/stat/nf_conntrack`, COUNTERS);
    if (!isKnown(text)) return text;
    if (text.value !== undefined) return { value: parseConntrackCounters(text.value) };
    // Asking would load the kernel's module where no connections are tracked.
    return existsSync(`${proc}/sys/net/netfilter/nf_conntrack_count`) ? ask() : { value: undefined };
  };
  const before = await read();
  if (!isKnown(before)) return before;
  const first = before.value;
  if (first === undefined) return { value: undefined };
  await sleep(intervalMs, undefined, { signal });
  return derive(await read(), (after = {}) => ({ before: first, after, intervalMs }));
}

const COUNTERS = "conntrack's counters";

/** The counters that checks use, by their names in the file. */
async function askCounters(): Promise<Fact<ConntrackCounters>> {
  const asked = await attempt(COUNTERS, () => openConntrack().counters());
  if (!isKnown(asked)) return { ...asked, minor: true };
  const { insertFailed, drop, earlyDrop, invalid } = asked.value;
  return { value: { insert_failed: insertFailed, drop, early_drop: earlyDrop, invalid } };
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
