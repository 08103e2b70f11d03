/** Gathers what `doctor` has to know of the node. Nothing here decides anything. */

import { release } from "node:os";
import { attempt } from "../backend/attempt.ts";
import { usesNftables } from "../backend/kube-proxy.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import type { PortRange } from "../core/ports.ts";
import { ownSets } from "../iptables/ipset.ts";
import { IPSET_VERSION } from "../iptables/ipset-scripts.ts";
import type { IptablesVariant } from "../iptables/tools.ts";
import { resolveVariant } from "../iptables/variant.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { ownerComment } from "../nftables/plan.ts";
import { describeHolder, findHolders, readHeldNames } from "../presence/holders.ts";
import { derive, isKnown, known } from "../system/fact.ts";
import { readMemoryLimit } from "../system/memory-limit.ts";
import { readCapabilities } from "../system/privileges.ts";
import { readInotify } from "../system/processes.ts";
import type { Run } from "../system/script.ts";
import type { AutoFacts, Facts, OwnSide, OwnTable, Settings } from "./facts.ts";
import { readCni } from "./read-cni.ts";
import { readSetNames, readTool, type Tool } from "./read-iptables.ts";
import { readOwnTable } from "./read-nftables.ts";
import { type ClusterCidr, readLinks, readPodNetworks } from "./read-pods.ts";
import { readPortShare } from "./read-ports.ts";
import { readConntrack, readGrowth, readLinkSettings, readLock, readSysctls } from "./read-proc.ts";
import { readRules } from "./read-rules.ts";
import { countsBetween, readCounts } from "./read-seen.ts";

/** The inputs of a look at a node. */
export interface Subject {
  readonly chain: string;
  readonly families: readonly Family[];
  /** `auto`: the one whose rules exist. */
  readonly backend: Settings["backend"] | "auto";
  readonly iptablesMode: IptablesVariant | "auto";
  readonly toPorts: readonly PortRange[];
  readonly config: Facts["config"];
  readonly processes: Facts["processes"];
  readonly neverAsked: Facts["neverAsked"];
  /** Where the node's /proc and CNI configuration are. */
  readonly proc: string;
  readonly cniDirectory: string;
  /** The cluster's networks, on whose command line ever. */
  readonly clusterCidrs: readonly ClusterCidr[];
  /** Between two readings of counters. */
  readonly intervalMs: number;
}

export interface DoctorWorld {
  readonly sides: readonly OwnSide[];
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Looks at everything, the counters meanwhile. */
export async function gatherFacts(subject: Subject, world: DoctorWorld): Promise<Facts> {
  const { chain, families, proc, toPorts, intervalMs } = subject;
  const count = () =>
    readCounts(world.sides, { chain, families, signal: world.signal, proc, open: world.open });
  const before = await count();
  const growth = readGrowth(proc, intervalMs, world.signal);
  const read = readFilter(subject, world);
  const [counters, later, links, { nftables, tool, ipset, sets, ...filter }] = await Promise.all([
    growth,
    growth.then(count),
    readLinks(),
    read,
  ]);
  const cni = readCni(subject.cniDirectory);
  const conntrack = readConntrack(proc);
  const settings = { chain, families, toPorts, ...chosen(subject, known(nftables), known(tool)) };
  const own = world.sides.find(({ name }) => name === settings.backend);
  if (own === undefined) throw new Error(`no backend ${settings.backend}`);
  const needed = own.isInNatTable ? {} : { minor: true };
  return {
    settings,
    own,
    others: world.sides.filter((one) => one !== own),
    versions: [
      { value: { name: "kernel", version: release() } },
      { value: { name: "Node.js", version: process.version } },
      isKnown(tool)
        ? { value: { name: tool.value.command, version: `${tool.value.version} (${tool.value.variant})` } }
        : { ...tool, ...needed },
      ipset,
      ...(isKnown(nftables) ? [{ value: { name: "nf_tables", version: "over netlink" } }] : []),
    ],
    capabilities: readCapabilities(),
    config: subject.config,
    ...filter,
    nftables: derive(nftables, (one) => ({ own: one })),
    sets,
    links,
    // Where the counters of conntrack were not read twice, the interval has not passed.
    seen:
      known(counters) === undefined ? undefined : countsBetween([before, later], { own, links, intervalMs }),
    neverAsked: subject.neverAsked,
    linkSettings: readLinkSettings(proc, known(links)),
    memoryLimit: readMemoryLimit(),
    podNetworks: readPodNetworks(cni, subject.clusterCidrs),
    ownSets: FAMILIES.flatMap((family) => ownSets({ chain, family })).map(({ name }) => name),
    processes: subject.processes,
    holders: await readHolders(proc),
    auto: await readAuto(subject, known(tool), world),
    cni,
    lock: readLock(proc, world.env),
    sysctls: readSysctls(proc),
    conntrack,
    portShare: await readPortShare(conntrack, toPorts),
    counters,
    inotify: readInotify(proc),
  };
}

async function readFilter({ iptablesMode, proc }: Subject, { run, open, signal }: DoctorWorld) {
  const mode = await resolveVariant(iptablesMode, run);
  const [nftables, tool, ipset] = await Promise.all([
    readOwnTable(open),
    readTool(mode, run),
    readIpset(run),
  ]);
  const [sets, rules] = await Promise.all([
    readSetNames(run),
    readRules({ run, open, signal, proc, tool: known(tool) }),
  ]);
  return { nftables, tool, ipset, sets, ...rules };
}

async function readIpset(run: Run): Promise<Facts["versions"][number]> {
  const answer = await attempt("ipset", () => run(IPSET_VERSION));
  const named = derive(answer, ({ stdout }) => ({
    name: "ipset",
    version: /v([0-9.]+)/.exec(stdout)?.[1] ?? "of unknown version",
  }));
  // Short lists need no sets.
  return isKnown(named) ? named : { ...named, minor: true };
}

async function readHolders(proc: string): Promise<Facts["holders"]> {
  const names = readHeldNames(proc);
  if (!isKnown(names)) return names;
  const holders = await findHolders(proc, names.value);
  return {
    value: holders.map((holder) => ({
      ...holder,
      who: describeHolder(holder),
      isAgent: holder.isTrusted ? holder.process?.isAgent : false,
    })),
  };
}

/** The answer as far as it is known without a tool, which might make a table that it only looks at. */
async function readAuto({ backend }: Subject, tool: Tool | undefined, { open }: DoctorWorld) {
  if (backend !== "auto") return { value: undefined };
  const answer = await attempt("what --backend=auto comes to", () => connected(open, usesNftables));
  return derive(answer, (uses): AutoFacts => {
    if (uses) return { backend: "nftables", why: "kube-proxy uses nftables" };
    if (tool === undefined) return { backend: "nftables", why: "no iptables runs here" };
    return { backend: "iptables", why: "kube-proxy does not use nftables" };
  });
}

function chosen(
  { backend, chain }: Subject,
  ownTable: OwnTable | undefined,
  tool: Tool | undefined,
): Pick<Settings, "backend" | "variant"> {
  const usesTable = ownTable?.comment === ownerComment(chain) || tool === undefined;
  const found = usesTable ? "nftables" : "iptables";
  return { backend: backend === "auto" ? found : backend, variant: tool?.variant };
}
