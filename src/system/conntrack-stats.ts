/** The counters of connection tracking, as numbers. */

/** Counters by the kernel's names for them. */
export type ConntrackCounters = Readonly<Record<string, number>>;

/**
 * `/proc/net/stat/nf_conntrack`: a line of names, and one of hexadecimal numbers for each CPU. `entries` is the same in
 * each line, and not a counter.
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
