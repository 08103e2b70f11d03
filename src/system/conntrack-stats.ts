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

/** The destination towards which most source ports of one of the node's addresses are in use. */
export interface Busiest {
  readonly protocol: string;
  /** Behind a Service, the endpoint: ports are chosen after the destination was translated. */
  readonly address: string;
  readonly port: number;
  /** Whose ports they are. */
  readonly nodeAddress: string;
  /** Connections, as many as the whole table would have if it were all like the sample. */
  readonly connections: number;
}

/** What has to be known of the node to tell which connections use its source ports. */
export interface PortOwner {
  readonly isOwnAddress: (address: string) => boolean;
  /** Whether the port is one of those of which the share is asked. */
  readonly isCounted: (port: number) => boolean;
}

/** `tcp 6 86400 ESTABLISHED src=.. dst=.. sport=.. dport=.. src=.. dst=.. sport=.. dport=..` behind the families' names. */
const CONNECTION =
  /\b(tcp|udp|sctp)\b.*?\bsrc=(\S+) dst=\S+ sport=\d+ dport=\d+.*?\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/;

/**
 * The busiest destination in a sample of the kernel's list. A connection uses a port of the node if answers go to an address of
 * the node: that is the reply's direction, in which the remote is the one behind a Service. The node's own connections use
 * ports, too; those that others make to it do not. `share` is the sample's part of the table, from 0 to 1.
 */
export function findBusiest(
  lines: readonly string[],
  share: number,
  { isOwnAddress, isCounted }: PortOwner,
): Busiest | undefined {
  const own = remembered(isOwnAddress);
  const counts = new Map<string, number>();
  for (const line of lines) {
    const [, protocol, source, remote = "", node = "", port, nodePort] = CONNECTION.exec(line) ?? [];
    const isTranslated = source !== node;
    if (source === undefined || !isCounted(Number(nodePort)) || own(remote)) continue;
    if (!isTranslated && !own(node)) continue;
    const key = `${protocol} ${remote} ${port} ${node}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [first] = [...counts].sort(([, a], [, b]) => b - a);
  if (first === undefined) return undefined;
  const [protocol = "", address = "", port = "", nodeAddress = ""] = first[0].split(" ");
  return { protocol, address, port: Number(port), nodeAddress, connections: Math.round(first[1] / share) };
}

/** A sample names few addresses, and each of them often. */
function remembered(ask: (address: string) => boolean): (address: string) => boolean {
  const answers = new Map<string, boolean>();
  return (address) => {
    const answer = answers.get(address) ?? ask(address);
    answers.set(address, answer);
    return answer;
  };
}
