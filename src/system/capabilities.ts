/** The capabilities that a process needs to program the packet filter, and the advice to a process without them. */

/** By their bits (linux/capability.h): the first for everything, the second for iptables-legacy's raw socket. */
const BITS = { NET_ADMIN: 12n, NET_RAW: 13n } as const;

export type Capability = keyof typeof BITS;

const ALL = Object.keys(BITS) as readonly Capability[];

/** The privileges of a process; `effective` is undefined if the system does not say. */
export interface Privileges {
  readonly root: boolean;
  readonly effective: bigint | undefined;
  /** The capabilities that the tools of a non-root user inherit; undefined where that is not known. */
  readonly ambient?: bigint | undefined;
}

/** The effective set in the text of /proc/PID/status, or a different one. */
export function parseEffective(status: string, set: "CapEff" | "CapAmb" = "CapEff"): bigint | undefined {
  const digits = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
  return digits === undefined ? undefined : BigInt(`0x${digits}`);
}

export function missingCapabilities(effective: bigint): readonly Capability[] {
  return ALL.filter((name) => ((effective >> BITS[name]) & 1n) === 0n);
}

/** Advice for a process whose tool was not permitted its work, which needs these capabilities. */
export function renderNeed(
  { root, effective, ambient }: Privileges,
  needed: readonly Capability[] = ALL,
): string {
  const held = root ? effective : (ambient ?? effective);
  const missing = needed.filter((name) => held === undefined || missingCapabilities(held).includes(name));
  const who = root ? "this process is root and has" : "this process' tools have";
  if (missing.length === 0 && (root || ambient !== undefined))
    return `${who} ${needed.join(" and ")}: a user namespace, a seccomp profile, a security module or another process' nftables table (flag owner) forbids it`;
  // A non-root process that has them all may not pass them on to its tools.
  const names = missing.length === 0 ? needed : missing;
  const wanted = `the ${names.length === 1 ? "capability" : "capabilities"} ${names.join(" and ")}`;
  return `this needs ${root ? "" : "root, or "}${wanted}: in Kubernetes, securityContext.capabilities.add`;
}
