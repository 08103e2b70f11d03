import { describe, expect, test } from "vitest";
import { parsePorts } from "../core/ports.ts";
import { printAddress, printEndpoint } from "./address.ts";
import type { Flow } from "./flow.ts";
import { parseListLine } from "./proc-list.ts";
import { createTally, type PortUse, portOwner, shareOf } from "./usage.ts";

const NODE = "192.0.2.1";
const OWN = [NODE, "192.0.2.2", "2001:db8::2"];
const OWNER = portOwner(OWN, []);
const POD = "10.1.0.2";

/** An entry: who asks whom, what is behind it, and where the answer goes. */
interface Entry {
  readonly protocol?: string;
  readonly state?: string;
  readonly source?: string;
  readonly asked?: string;
  readonly remote?: string;
  readonly node?: string;
  readonly nodePort?: number;
}

function flow(entry: Entry): Flow {
  const { protocol = "tcp", source = POD, remote = "8.8.8.8", asked = remote, node = NODE } = entry;
  const state = protocol === "tcp" ? `${entry.state ?? "ESTABLISHED"} ` : "";
  const line = `ipv4     2 ${protocol}      6 86399 ${state}src=${source} dst=${asked} sport=5000 dport=80 src=${remote} dst=${node} sport=443 dport=${entry.nodePort ?? 4_000} [ASSURED] mark=0 use=1`;
  const parsed = parseListLine(line);
  if (parsed === undefined) throw new Error(line);
  return parsed;
}

const times = (count: number, entry: Entry) =>
  Array.from({ length: count }, (_, i) => flow({ ...entry, nodePort: entry.nodePort ?? 4_000 + i }));

function fullest(...flows: readonly Flow[][]): PortUse | undefined {
  const tally = createTally(OWNER);
  for (const one of flows.flat()) tally.add(one);
  return tally.fullest(1)[0];
}

test("a line of the kernel's list that is no connection with ports is left out", () => {
  for (const line of ["", "garbage", "ipv4 2 icmp 1 29 src=10.1.0.2 dst=8.8.8.8 type=8 code=0 id=7"])
    expect(parseListLine(line)).toBeUndefined();
});

describe("the fullest", () => {
  test("is the remote towards which one address of the node has most ports in use", () => {
    const use = fullest(times(30, {}), times(10, { protocol: "udp" }), times(99, { node: POD }));
    expect(use).toMatchObject({ protocol: "tcp", port: 443, inUse: 30, ended: 0, isExact: true });
    expect(use && printAddress(use.remote)).toBe("8.8.8.8");
    expect(use && printAddress(use.nodeAddress)).toBe(NODE);
  });

  test.each<[string, readonly Flow[][], number]>([
    [
      "two backends of a Service, one of which is asked directly as well",
      [
        times(300, { asked: "10.96.0.10", remote: "10.2.0.7" }),
        times(300, { asked: "10.96.0.10", remote: "10.2.0.8" }),
        times(500, { remote: "10.2.0.7" }),
      ],
      800,
    ],
    [
      "two addresses of the node, each with its own ports",
      [times(30, {}), times(40, { node: "192.0.2.2" })],
      40,
    ],
    ["the node's own sockets", [times(20, {}), times(15, { source: NODE })], 35],
    [
      "no connections that others make to the node",
      [times(5, {}), times(50, { source: "203.0.113.9", asked: NODE, remote: NODE, node: "203.0.113.9" })],
      5,
    ],
    [
      "a NodePort, behind which the node asks",
      [times(7, { source: "203.0.113.9", asked: NODE, remote: "10.2.0.7" })],
      7,
    ],
    [
      "no connections of the node to itself",
      [times(5, {}), times(50, { source: NODE, remote: "192.0.2.2" })],
      5,
    ],
    [
      "none over loopback",
      [times(5, {}), times(50, { source: "127.0.0.1", remote: "127.0.0.53", node: "127.0.0.1" })],
      5,
    ],
    ["no ports that are not counted", [times(5, {}), times(50, { nodePort: 1_023 })], 5],
    ["an address that is not the node's any more, after SNAT", [times(6, { node: "198.51.100.1" })], 6],
    ["SCTP", [times(8, { protocol: "sctp" })], 8],
    ["IPv6", [times(9, { source: "fd00::7", remote: "2001:db8:0:0:0::1", node: "2001:db8::2" })], 9],
  ])("counts %s", (_what, flows, connections) => {
    expect(fullest(...flows)?.inUse).toBe(connections);
  });

  test("is none where no port of the node is in use", () => {
    expect(fullest(times(20, { node: POD }))).toBeUndefined();
    expect(fullest()).toBeUndefined();
  });
});

test("TCP that has ended is counted apart, and only TCP can end", () => {
  const ended = [...times(1_000, { state: "TIME_WAIT" }), ...times(7, { state: "CLOSE", nodePort: 9_000 })];
  expect(fullest(ended, times(20, { source: "10.1.0.3" }))).toMatchObject({ inUse: 1_027, ended: 1_007 });
  expect(fullest(times(20, { protocol: "udp", state: "TIME_WAIT" }))).toMatchObject({ inUse: 20, ended: 0 });
});

test("sources come with the largest first, the node's own sockets as one of them", () => {
  const use = fullest(
    times(3, { source: "10.1.0.3" }),
    times(9, { source: "10.1.0.4" }),
    times(5, { source: NODE }),
    times(2, { source: "192.0.2.2" }),
  );
  expect(use?.by.map(({ address, inUse }) => [address && printAddress(address), inUse])).toEqual([
    ["10.1.0.4", 9],
    [undefined, 7],
    ["10.1.0.3", 3],
  ]);
});

test("ports that ranges have in common count once, and the share ends at all of them", () => {
  const parsed = parsePorts("2000-2999,2500-3499,40000");
  const owner = portOwner(OWN, parsed.ok ? parsed.ranges : []);
  expect(owner.ports).toBe(1_501);
  expect([1_999, 2_000, 3_499, 3_500, 40_000].map(owner.isCounted)).toEqual([false, true, true, false, true]);
  expect(shareOf(300.2, owner)).toBeCloseTo(0.2, 3);
  expect(shareOf(9_999, owner)).toBe(1);
  expect(portOwner(OWN, []).ports).toBe(64_512);
});

test("a scan of a network does not fill the memory, and what is large stays exact", () => {
  const bound = { keys: 100, sources: 50 };
  const tally = createTally(OWNER, bound);
  for (let i = 0; i < 20_000; i++) {
    const [a, b] = [i >> 8, i & 255];
    tally.add(flow({ source: `10.1.${a}.${b}`, remote: `198.18.${a}.${b}`, nodePort: 2_000 }));
    if (i % 10 === 0) tally.add(flow({ source: POD, nodePort: 2_000 + i }));
  }
  const all = tally.fullest(1_000);
  expect(all.length).toBeLessThanOrEqual(bound.keys);
  expect(all.reduce((sum, { by }) => sum + by.length, 0)).toBeLessThanOrEqual(bound.sources);
  expect(all[0]).toMatchObject({ inUse: 2_000, isExact: true });
  expect(all[0]?.by[0]).toMatchObject({ inUse: 2_000 });
  expect(all.some(({ isExact }) => !isExact)).toBe(true);
});

test("endpoints are printed so that they can be typed", () => {
  const use = fullest(times(1, { source: "fd00::7", remote: "2001:db8::1", node: "2001:db8::2" }));
  expect(use && printEndpoint(use.remote, use.port)).toBe("[2001:db8::1]:443");
});
