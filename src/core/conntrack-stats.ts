/** What the kernel's lists tell of SNAT pressure, as numbers. */

/** Counters by the names that the kernel gives them. */
export type ConntrackCounters = Readonly<Record<string, number>>;

/**
 * `/proc/net/stat/nf_conntrack`: a line of names, and one of hexadecimal numbers for each CPU. `entries` is the same in
 * each, and no counter.
 */
export function parseConntrackCounters(text: string): ConntrackCounters {
  const [names = [], ...cpus] = text
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const sum = (column: number) =>
    cpus.reduce((total, cpu) => total + Number.parseInt(cpu[column] ?? "0", 16), 0);
  return Object.fromEntries(names.map((name, column) => [name, sum(column)]));
}

/** The destination towards which most source ports are in use. */
export interface Busiest {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** Connections, as many as the whole table would have if it were all like the sample. */
  readonly connections: number;
}

/** `tcp 6 86400 ESTABLISHED src=.. dst=.. sport=.. dport=.. src=.. dst=.. sport=.. dport=..` behind the families' names. */
const CONNECTION = /\b(tcp|udp|sctp)\b.*?\bsrc=(\S+) dst=(\S+) sport=\d+ dport=(\d+).*?\bsrc=\S+ dst=(\S+)/;

/**
 * The busiest destination among the connections of a sample of the kernel's list that leave with another address than
 * their own: only those need a port of the node's. `share` is the sample's part of the table, from 0 to 1. Undefined without any.
 */
export function findBusiest(lines: readonly string[], share: number): Busiest | undefined {
  const counts = new Map<string, number>();
  for (const line of lines) {
    const [, protocol, source, address, port, seen] = CONNECTION.exec(line) ?? [];
    if (source === undefined || source === seen) continue;
    const key = `${protocol} ${address} ${port}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [first] = [...counts].sort(([, a], [, b]) => b - a);
  if (first === undefined) return undefined;
  const [protocol = "", address = "", port = ""] = first[0].split(" ");
  return { protocol, address, port: Number(port), connections: Math.round(first[1] / share) };
}
