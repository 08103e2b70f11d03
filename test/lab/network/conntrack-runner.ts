/**
 * What runs in a network namespace of its own, for the tests of src/conntrack: enters connections into the kernel's table, which is as
 * good as making them, and asks for them. One scenario in each process; prints its answer as a line of JSON.
 */
import { createPortsCommand } from "../../../src/cli/commands/ports.ts";
import type { PortsView } from "../../../src/cli/commands/ports-view.ts";
import { type ConnectionView, createWhoCommand } from "../../../src/cli/commands/who.ts";
import { packAddress } from "../../../src/conntrack/address.ts";
import { putCondition } from "../../../src/conntrack/condition.ts";
import { openConntrack, openDeletion } from "../../../src/conntrack/conntrack.ts";
import { CT_MSG, STATUS, SUBSYS_CTNETLINK } from "../../../src/conntrack/constants.ts";
import { type Flow, readFlow } from "../../../src/conntrack/flow.ts";
import { UNANSWERED } from "../../../src/conntrack/forgettable.ts";
import { measureShares } from "../../../src/conntrack/port-shares.ts";
import { createTally, portOwner } from "../../../src/conntrack/usage.ts";
import {
  closeMessage,
  createWriter,
  openMessage,
  parseMessages,
  written,
} from "../../../src/netlink/attributes.ts";
import { NLM_F, NLMSG, PROTOCOLS } from "../../../src/netlink/constants.ts";
import { loadNetlink } from "../../../src/netlink/socket/addon.ts";
import { type Entry, enteringMessages } from "../conntrack.ts";
import { say } from "../io.ts";

export const NODE = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" } as const;
const ADDRESSES = [NODE.IPv4, NODE.IPv6];
const world = { open: openConntrack, addresses: () => ADDRESSES };
const conntrack = openConntrack();

/** Enters connections; throws if the kernel refuses one. */
async function enter(entries: Iterable<Entry>): Promise<void> {
  const refused = new Set<number>();
  const socket = loadNetlink(8 * 1024 * 1024)({
    message: (bytes) => {
      for (const { type, payload } of parseMessages(bytes))
        if (type === NLMSG.ERROR)
          refused.add(new DataView(payload.buffer, payload.byteOffset).getInt32(0, true));
    },
    lost: (error) => {
      throw error;
    },
  });
  for (const bytes of enteringMessages(entries)) {
    const errno = socket.send(bytes);
    if (errno !== 0) throw new Error(`sending: ${errno}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.close();
  if (refused.size > 0) throw new Error(`refused: ${[...refused]}`);
}

/** Half of the connections towards a few remotes, of all protocols and both families, and half that keep their address. */
function* crowd(count: number): Generator<Entry> {
  for (let i = 0; i < count; i++) {
    const isIpv6 = i % 10 === 9;
    const pod = isIpv6 ? `fd00:244::${(i % 97).toString(16)}` : `10.244.1.${2 + (i % 97)}`;
    const port = 1_024 + (i % 64_512);
    const block = Math.floor(i / 64_512);
    if (i % 2 === 1 && !isIpv6) {
      const remote = `10.9.${i % 200}.${block}`;
      yield { protocol: "tcp", source: pod, sourcePort: port, remote, port: 80, node: pod, nodePort: port };
      continue;
    }
    const protocol = (["tcp", "udp", "sctp"] as const)[i % 5 > 2 ? i % 3 : 0] ?? "tcp";
    const state = protocol === "tcp" && i % 7 === 0 ? ("TIME_WAIT" as const) : undefined;
    const remote = isIpv6 ? `2600::${block + 1}` : `8.8.${block}.${i % 4 === 0 ? 8 : i % 30}`;
    const node = isIpv6 ? NODE.IPv6 : NODE.IPv4;
    const more = state === undefined ? {} : { state };
    yield { protocol, source: pod, sourcePort: port, remote, port: 443, node, nodePort: port, ...more };
  }
}

/** What the command says of each key, beside a full count of what was entered. */
async function count(connections: number) {
  const entries = [...crowd(connections)];
  await enter(entries);
  const truth = new Map<string, { inUse: number; ended: number; sources: Set<string> }>();
  for (const { protocol, remote, port, node, source, state } of entries) {
    if (node === source) continue;
    const key = `${protocol} ${remote} ${port} ${node}`;
    const one = truth.get(key) ?? { inUse: 0, ended: 0, sources: new Set() };
    truth.set(key, one);
    one.inUse++;
    one.sources.add(source);
    if (state === "TIME_WAIT") one.ended++;
  }
  const { out, err } = await say(createPortsCommand(world), ["--no-adopt", "--top=100000", "-o", "json"]);
  const { keys, exact, entries: size } = JSON.parse(out) as PortsView;
  const wrong = keys.filter(({ protocol, remote, port, nodeAddress, inUse, ended, by }) => {
    const one = truth.get(`${protocol} ${remote} ${port} ${nodeAddress}`);
    return one?.inUse !== inUse || one.ended !== ended || one.sources.size !== by.length;
  });
  const isSorted = keys.every(({ inUse }, i) => inUse <= (keys[i - 1]?.inUse ?? inUse));
  const largest = Math.max(...[...truth.values()].map(({ inUse }) => inUse));
  const owner = portOwner(ADDRESSES, [{ first: 1_024n, last: 1_023n + BigInt(Math.floor(largest * 1.5)) }]);
  const table = { list: conntrack.list, entries: (await conntrack.size()).entries };
  const shares = await measureShares(table, { ...owner, isCounted: () => true }, () => performance.now());
  return {
    ...{ size, exact, err, isSorted, keys: keys.length, expected: truth.size, wrong: wrong.length },
    share: shares.share * owner.ports,
    largest,
  };
}

/** Flows of pods with a port of the node, half of them behind a Service. */
function* asked(count: number): Generator<Entry> {
  for (let i = 0; i < count; i++) {
    const isIpv6 = i % 3 === 0;
    const protocol = (["tcp", "udp", "sctp"] as const)[i % 5 > 3 ? 2 : i % 2] ?? "udp";
    const [source, remote, service, node] = isIpv6
      ? [
          `fd00:244::${(2 + (i % 50)).toString(16)}`,
          `2600::${(1 + (i % 40)).toString(16)}`,
          "fd00:96::a",
          NODE.IPv6,
        ]
      : [`10.244.1.${2 + (i % 50)}`, `8.8.8.${i % 40}`, "10.96.0.10", NODE.IPv4];
    const behind = i % 4 < 2 ? {} : { asked: service, askedPort: 80 };
    const nodePort = 1_024 + ((i * 7_919) % 64_512);
    yield {
      protocol,
      source,
      sourcePort: 1_024 + (i % 60_000),
      remote,
      port: 443,
      node,
      nodePort,
      ...behind,
    };
  }
}

/** How many of the flows `who` tells rightly, with --to each of them, without it some. */
async function who(flows: number, withoutTo: number) {
  const entries = [...asked(flows)];
  await enter(entries);
  const command = createWhoCommand(world);
  const tell = async (entry: Entry, isToGiven: boolean) => {
    const to = isToGiven ? [`--to=${endpoint(entry.remote, entry.port)}`] : [];
    const args = [endpoint(entry.node, entry.nodePort), ...to, `--protocol=${entry.protocol}`, "-o", "json"];
    const { out } = await say(command, args);
    const { connections } = JSON.parse(out) as { readonly connections: readonly ConnectionView[] };
    const { source, sourcePort, asked = entry.remote, askedPort = entry.port } = entry;
    const right = ({ source: from, asked: what }: ConnectionView) =>
      from === endpoint(source, sourcePort) && what === endpoint(asked, askedPort);
    return isToGiven ? connections.length === 1 && connections.every(right) : connections.some(right);
  };
  let [right, rightWithoutTo] = [0, 0];
  for (const [i, entry] of entries.entries()) {
    if (await tell(entry, true)) right++;
    if (i % Math.ceil(flows / withoutTo) === 0 && (await tell(entry, false))) rightWithoutTo++;
  }
  const none = await say(command, [`${NODE.IPv4}:1023`, "--to=8.8.8.8:1"]);
  return { right, rightWithoutTo, none: none.code };
}

function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The kernel's answer to a filter by an IPv6 address, which only this code may use. */
async function ipv6Filter() {
  const entries = ["2600::1", "2600::2", "2600::3"].map((remote, i) => ({
    ...{ source: "fd00:244::2", sourcePort: 5_000, remote, port: 443, node: NODE.IPv6, nodePort: 40_000 + i },
  }));
  await enter(entries);
  const writer = createWriter();
  const type = (SUBSYS_CTNETLINK << 8) | CT_MSG.GET;
  const flags = NLM_F.REQUEST | NLM_F.DUMP;
  const start = openMessage(writer, { type, flags, sequence: 1, family: 10 });
  putCondition(writer, { reply: { source: packAddress("2600::2") ?? "", protocol: PROTOCOLS.udp } });
  closeMessage(writer, start);
  const ports = await new Promise<number[]>((resolve, reject) => {
    const found: number[] = [];
    const socket = loadNetlink(1 << 20)({
      message: (bytes) => {
        for (const { type, attributes } of parseMessages(bytes)) {
          if (type === NLMSG.DONE || type === NLMSG.ERROR) resolve(found.sort());
          else found.push(readFlow(attributes)?.reply.destinationPort ?? 0);
        }
      },
      lost: reject,
    });
    socket.hold(true);
    socket.send(written(writer));
  });
  const own: number[] = [];
  const reply = { source: packAddress("2600::2") ?? "", protocol: PROTOCOLS.udp };
  const { isFiltered } = await conntrack.list(
    { reply },
    (flow: Flow) => void own.push(flow.reply.destinationPort),
  );
  return { kernel: ports, ours: own, isFiltered };
}

/** What is deleted of a table with every kind of entry, and what stays. */
async function remove() {
  const of = (count: number, more: Partial<Entry>): Entry[] =>
    Array.from({ length: count }, (_, i) => {
      const { source = "10.244.1.2", remote = "8.8.8.8" } = more;
      const ports = { sourcePort: 10_000 + i, nodePort: 10_000 + i, port: 5_060 };
      return { ...ports, source, remote, node: source, status: UNANSWERED_STATUS, ...more };
    });
  const ipv6 = { source: "fd00:244::2", remote: "2600::1" };
  await enter([
    ...of(50, {}),
    ...of(30, ipv6),
    // The same flows in another zone are other entries.
    ...of(20, { zone: 7 }),
    ...of(10, { ...ipv6, zone: 7 }),
    ...of(10, { remote: "9.9.9.9", status: UNANSWERED_STATUS | STATUS.SEEN_REPLY }),
    ...of(5, { protocol: "tcp", state: "SYN_SENT" }),
  ]);
  const deletion = openDeletion();
  const isUdp = ({ original }: Flow) => original.protocol === PROTOCOLS.udp;
  const some = await deletion(UNANSWERED, isUdp, { most: 15 });
  const rest = await deletion(UNANSWERED, isUdp, { most: 10_000 });
  const again = await deletion(UNANSWERED, isUdp, { most: 10_000 });
  const left: Record<string, number> = {};
  await conntrack.list({}, ({ original }) => {
    left[original.protocol] = (left[original.protocol] ?? 0) + 1;
  });
  const sum = ({ counts }: typeof some) => counts.IPv4 + counts.IPv6;
  return { some: [sum(some), some.isWhole], rest: [sum(rest), rest.isWhole], again: sum(again), left };
}

/** IPS_CONFIRMED. */
const UNANSWERED_STATUS = 0x8;

/** Processor time in milliseconds, the least of several rounds, and memory before and after many lists. */
async function cost(connections: number, lists: number) {
  function* entries(): Generator<Entry> {
    for (let i = 0; i < connections; i++) {
      const pod = `10.244.1.${2 + (i % 200)}`;
      const port = 1_024 + (i % 64_512);
      const block = Math.floor(i / 64_512);
      yield i % 4 === 0
        ? {
            source: pod,
            sourcePort: port,
            remote: "8.8.8.8",
            port: 443 + block,
            node: NODE.IPv4,
            nodePort: port,
          }
        : { source: pod, sourcePort: port, remote: `10.9.0.${block}`, port: 80, node: pod, nodePort: port };
    }
  }
  await enter(entries());
  const owner = portOwner(ADDRESSES, []);
  const reply = { source: packAddress("8.8.8.8") ?? "", protocol: PROTOCOLS.udp, sourcePort: 443 };
  const sample = () => conntrack.list({}, createTally(owner).add, { most: 1_600 });
  const remote = () => conntrack.list({ reply }, createTally(owner).add);
  const all = () => conntrack.list({}, createTally(owner).add);
  const costs = { sampleMs: await least(sample), remoteMs: await least(remote), allMs: await least(all) };
  const [before, after, last] = [
    await residentBytes(sample, lists),
    await residentBytes(sample, lists),
    await residentBytes(sample, lists),
  ];
  // A leak grows in both rounds; V8's heap may grow in one.
  return { ...costs, grownMb: Math.min(after - before, last - after) / 1e6 };
}

async function least(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 8; i++) {
    const start = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1_000);
  }
  return best;
}

async function residentBytes(work: () => Promise<unknown>, times: number): Promise<number> {
  for (let i = 0; i < times; i++) await work();
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

const SCENARIOS: Readonly<Record<string, (...numbers: number[]) => Promise<unknown>>> = {
  count,
  who: (flows = 0, withoutTo = 0) => who(flows, withoutTo),
  ipv6Filter,
  remove,
  cost: (connections = 0, lists = 0) => cost(connections, lists),
};

async function main(): Promise<void> {
  const [scenario = "", ...numbers] = process.argv.slice(2);
  const result = await SCENARIOS[scenario]?.(...numbers.map(Number));
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
}

void main();
