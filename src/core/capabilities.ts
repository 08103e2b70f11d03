/** The capabilities that programming the packet filter takes, and what to say to a process without them. */

/** By their bits (linux/capability.h): the first for everything, the second for iptables-legacy's raw socket. */
const BITS = { NET_ADMIN: 12n, NET_RAW: 13n } as const;

export type Capability = keyof typeof BITS;

const ALL = Object.keys(BITS) as readonly Capability[];

/** What a process may; `effective` is undefined if the system does not say. */
export interface Privileges {
  readonly root: boolean;
  readonly effective: bigint | undefined;
}

/** The effective set in the text of /proc/PID/status. */
export function parseEffective(status: string): bigint | undefined {
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return digits === undefined ? undefined : BigInt(`0x${digits}`);
}

export function missingCapabilities(effective: bigint): readonly Capability[] {
  return ALL.filter((name) => ((effective >> BITS[name]) & 1n) === 0n);
}

/** What a process has to be given whose tool was not permitted its work. */
export function renderNeed({ root, effective }: Privileges): string {
  const missing = effective === undefined ? ALL : missingCapabilities(effective);
  if (root && missing.length === 0)
    return `this process is root and has ${ALL.join(" and ")}: a user namespace, a seccomp profile or a security module forbids it`;
  // Who is not root and has them all does not hand them on to its tools.
  const names = missing.length === 0 ? ALL : missing;
  const wanted = `the ${names.length === 1 ? "capability" : "capabilities"} ${names.join(" and ")}`;
  return `this needs ${root ? "" : "root, or "}${wanted}: in Kubernetes, securityContext.capabilities.add`;
}
