/** Checks of `doctor`: the kernel's settings and limits, and what this process may do. */

import { formatRange, localPorts, NODE_PORTS, type PortRange } from "../core/ports.ts";
import { missingCapabilities } from "../system/capabilities.ts";
import { type Cause, type Fact, isKnown, known } from "../system/fact.ts";
import type { Facts, Sysctl } from "./facts.ts";
import { error, type FindingText, info, warning } from "./finding.ts";

const NEARLY = 0.75;
const FULL = 0.9;

export function versions({ versions: all, settings }: Facts): readonly FindingText[] {
  const tools = all.flatMap((fact) => known(fact) ?? []).map(({ name, version }) => `${name} ${version}`);
  const families = settings.families.join(" and ");
  return [
    info(`backend ${settings.backend}, chain ${settings.chain}, ${families}`),
    ...tools.map((text) => info(text)),
  ];
}

/** Facts that could not be learnt. */
export function unknowns(facts: Facts): readonly FindingText[] {
  const fields: readonly unknown[] = Object.values(facts);
  return fields
    .flatMap((field) => [field, ...Object.values(field ?? {})])
    .filter(isUnknown)
    .map(({ unknown, why, minor, cause }) =>
      (minor === true ? info : warning)(
        `could not check ${unknown}: ${why}`,
        cause === undefined ? ASK : REMEDIES[cause](known(facts.capabilities)),
      ),
    );
}

/** The tool's or the kernel's own words say more than we know. */
const ASK = "the reason is what the tool or the kernel said: run the same by hand to look further";

const REMEDIES: Readonly<Record<Cause, (effective: bigint | undefined) => string>> = {
  permission: (effective) =>
    effective !== undefined && missingCapabilities(effective).length === 0
      ? "this process has NET_ADMIN and NET_RAW: a user namespace, a seccomp profile, a security module or the file's owner forbids it"
      : "run doctor as root in the node's network namespace (in Kubernetes, securityContext.capabilities.add: NET_ADMIN, NET_RAW)",
  "no tool": () => "run doctor in the agent's image, which has the tools, or install it",
};

function isUnknown(one: unknown): one is Exclude<Fact<never>, { readonly value: never }> {
  return typeof one === "object" && one !== null && "unknown" in one;
}

export function capabilities({ capabilities: fact, settings }: Facts): readonly FindingText[] {
  if (!isKnown(fact)) return [];
  const missing = missingCapabilities(fact.value);
  const remedy = "run it as root, or with the capability (in Kubernetes, securityContext.capabilities.add)";
  const without = "what the kernel's packet filter holds cannot be checked";
  if (missing.includes("NET_ADMIN"))
    return [error(`the capability NET_ADMIN is missing: ${without}`, remedy)];
  if (settings.variant === "legacy" && missing.includes("NET_RAW"))
    return [error("the capability NET_RAW is missing, which iptables-legacy needs", remedy)];
  return [];
}

/** A node that does not forward has no pods to masquerade for. */
export function forwarding({ sysctls, settings }: Facts): readonly FindingText[] {
  const names: readonly Sysctl[] = [
    "net.ipv4.ip_forward",
    ...(settings.families.includes("IPv6") ? (["net.ipv6.conf.all.forwarding"] as const) : []),
  ];
  return names
    .filter((name) => known(sysctls[name]) === "0")
    .map((name) =>
      error(
        `${name} is 0: the node forwards nothing of its pods`,
        `sysctl -w ${name}=1, and keep it in /etc/sysctl.d`,
      ),
    );
}

/** Source ports that somebody else uses. */
export function ports({ settings, sysctls }: Facts): readonly FindingText[] {
  const [low = 0n, high = -1n] = numbers(known(sysctls["net.ipv4.ip_local_port_range"]));
  const reserved = (known(sysctls["net.ipv4.ip_local_reserved_ports"]) ?? "")
    .split(",")
    .flatMap((part): PortRange[] => {
      const [first, last = first] = numbers(part.replace("-", " "));
      return first === undefined || last === undefined ? [] : [{ first, last }];
    });
  const own = localPorts(`${low} ${high}`, reserved.map(formatRange).join());
  // That is what --to-ports=local asks for.
  const isLocal = settings.toPorts.map(formatRange).join() === own.map(formatRange).join();
  return settings.toPorts.flatMap((range): FindingText[] => {
    const text = `--to-ports ${formatRange(range)}`;
    const taken = reserved.filter((other) => overlaps(range, other)).map(formatRange);
    return [
      ...(overlaps(range, NODE_PORTS)
        ? [
            warning(
              `${text} overlaps the NodePort range ${formatRange(NODE_PORTS)}: connections to NodePorts and masqueraded ones may collide`,
              "leave that range out, as in --to-ports=1024-29999,32768-65535",
            ),
          ]
        : []),
      ...(!isLocal && overlaps(range, { first: low, last: high })
        ? [
            info(
              `${text} overlaps net.ipv4.ip_local_port_range (${low}-${high}): the node's own connections use these ports too`,
            ),
          ]
        : []),
      ...(taken.length > 0
        ? [
            info(
              `${text} overlaps net.ipv4.ip_local_reserved_ports (${taken.join(", ")}), which somebody keeps for a purpose`,
            ),
          ]
        : []),
    ];
  });
}

function overlaps(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** The numbers in a text. */
export function numbers(text = ""): bigint[] {
  return (text.match(/\d+/g) ?? []).map(BigInt);
}

/** The table of connections: when it is full, new ones are dropped. */
export function conntrackTable({ conntrack }: Facts): readonly FindingText[] {
  const found = known(conntrack);
  if (found === undefined || found.max === 0 || found.count / found.max <= NEARLY) return [];
  const { count, max } = found;
  const say = count / max > FULL ? error : warning;
  return [
    say(
      `the conntrack table holds ${count} of ${max} connections (${percent(count / max)}): when it is full, new ones are dropped`,
      "raise net.netfilter.nf_conntrack_max (kube-proxy: --conntrack-max-per-core), or find who opens so many (conntrack -L)",
    ),
  ];
}

const COUNTERS: Readonly<Record<string, readonly [string, string]>> = {
  insert_failed: [
    "connections whose source could not be made unique are dropped: ports run out, or two packets of one flow race",
    "use --random-fully and no narrow --to-ports; for DNS, a cache on the node",
  ],
  drop: [
    "packets are dropped, since their connection cannot be tracked",
    "see the size of the conntrack table and insert_failed",
  ],
  early_drop: ["connections are forgotten to make room for new ones", "raise net.netfilter.nf_conntrack_max"],
};

/** Counters that should stand still and grow while we look. */
export function conntrackCounters({ counters }: Facts): readonly FindingText[] {
  const found = known(counters);
  if (found === undefined) return [];
  return Object.entries(COUNTERS).flatMap(([name, [meaning, remedy]]) => {
    const grown = (found.after[name] ?? 0) - (found.before[name] ?? 0);
    if (grown <= 0) return [];
    return warning(`conntrack's ${name} grew by ${grown} in ${found.intervalMs / 1000}s: ${meaning}`, remedy);
  });
}

/** Watching the configuration needs one instance and a few watches. */
export function inotify({ inotify: fact }: Facts): readonly FindingText[] {
  const found = known(fact);
  if (found === undefined) return [];
  const { instances, maxInstances, watches, maxWatches } = found;
  const rows = [
    { name: "fs.inotify.max_user_instances", used: instances, max: maxInstances },
    { name: "fs.inotify.max_user_watches", used: watches, max: maxWatches },
  ];
  return rows
    .filter(({ used, max }) => used / max > FULL)
    .map(({ name, used, max }) =>
      warning(
        `${used} of ${max} of ${name} are used: whoever needs one more cannot watch files, the agent neither`,
        `sysctl -w ${name}=${max * 4}`,
      ),
    );
}

function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}
