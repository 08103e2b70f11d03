import { describe, expect, test } from "vitest";
import { findBusiest, type PortOwner, parseConntrackCounters } from "./conntrack-stats.ts";

const NODE = "192.0.2.1";
const OWN = [NODE, "192.0.2.2", "2001:0db8:0000:0000:0000:0000:0000:0002"];
const OWNER: PortOwner = { isOwnAddress: (text) => OWN.includes(text), isCounted: (port) => port >= 1_024 };
const POD = "10.1.0.2";

/** An entry: who asks whom, what stands behind it, and where the answer goes. */
interface Entry {
  readonly protocol?: string;
  readonly source?: string;
  readonly asked?: string;
  readonly remote?: string;
  readonly node?: string;
  readonly nodePort?: number;
}

function line({
  protocol = "tcp",
  source = POD,
  asked,
  remote = "8.8.8.8",
  node = NODE,
  nodePort = 4_000,
}: Entry): string {
  return `ipv4     2 ${protocol}      6 86399 ESTABLISHED src=${source} dst=${asked ?? remote} sport=5000 dport=80 src=${remote} dst=${node} sport=443 dport=${nodePort} [ASSURED] mark=0 use=1`;
}

const times = (count: number, entry: Entry) =>
  Array.from({ length: count }, (_, i) => line({ ...entry, nodePort: entry.nodePort ?? 4_000 + i }));
const busiest = (...lines: readonly string[][]) => findBusiest(lines.flat(), 1, OWNER);

test("counters are added up over the CPUs", () => {
  const text = "entries insert_failed drop\n00000005 00000001 0000000a\n00000005 00000002 00000000\n";
  expect(parseConntrackCounters(text)).toMatchObject({ insert_failed: 3, drop: 10 });
});

describe("the busiest destination", () => {
  test("has most connections whose answers go to an address of the node", () => {
    const others = times(10, { protocol: "udp" });
    expect(busiest(times(30, {}), others, times(99, { node: POD }), ["garbage", ""])).toEqual({
      protocol: "tcp",
      address: "8.8.8.8",
      port: 443,
      nodeAddress: NODE,
      connections: 30,
    });
  });

  test("stands for the whole table", () => {
    expect(findBusiest(times(30, {}), 0.1, OWNER)?.connections).toBe(300);
  });

  test.each<[string, readonly string[][], number]>([
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
      "two addresses of the node, each of which has its own ports",
      [times(30, {}), times(40, { node: "192.0.2.2" })],
      40,
    ],
    [
      "the node's own connections, which have ports as well",
      [times(20, {}), times(15, { source: NODE })],
      35,
    ],
    [
      "connections that others make to the node",
      [times(5, {}), times(50, { source: "203.0.113.9", asked: NODE, remote: NODE, node: "203.0.113.9" })],
      5,
    ],
    [
      "a NodePort, behind which the node asks",
      [times(7, { source: "203.0.113.9", asked: NODE, remote: "10.2.0.7" })],
      7,
    ],
    ["the node's connections to itself", [times(5, {}), times(50, { source: NODE, remote: "192.0.2.2" })], 5],
    ["ports that are not counted", [times(5, {}), times(50, { nodePort: 1_023 })], 5],
    ["an address that is not the node's any more, after SNAT", [times(6, { node: "198.51.100.1" })], 6],
  ])("counts %s", (_what, lines, connections) => {
    expect(busiest(...lines)?.connections).toBe(connections);
  });

  test("is none where no port of the node is in use", () => {
    expect(busiest(times(20, { node: POD }))).toBeUndefined();
    expect(busiest()).toBeUndefined();
  });

  test("may be an IPv6 address", () => {
    const address = "2001:0db8:0000:0000:0000:0000:0000:0001";
    const one = line({ protocol: "udp", source: "fd00::7", remote: address, node: OWN[2] ?? "" });
    expect(findBusiest([one.replace("ipv4     2", "ipv6     10")], 1, OWNER)).toMatchObject({
      protocol: "udp",
      address,
      nodeAddress: OWN[2],
    });
  });
});
