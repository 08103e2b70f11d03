import { expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { staleConnections } from "./stale-connections.ts";

const LINES = [
  // As the kernel lists them, and as conntrack does.
  "ipv4     2 tcp      6 431999 ESTABLISHED src=10.244.1.2 dst=8.8.8.8 sport=41000 dport=443 src=8.8.8.8 dst=192.0.2.1 sport=443 dport=41000 [ASSURED] mark=0 zone=0 use=2",
  "udp      17 29 src=10.244.1.2 dst=9.9.9.9 sport=41000 dport=53 [UNREPLIED] src=9.9.9.9 dst=10.244.1.2 sport=53 dport=41000 mark=0 use=1",
  "ipv4     2 udp      17 29 src=192.0.2.1 dst=9.9.9.9 sport=41000 dport=53 src=9.9.9.9 dst=192.0.2.1 sport=53 dport=41000",
  "ipv6     10 tcp      6 100 ESTABLISHED src=fd00:244::2 dst=2600::1 sport=1 dport=2 src=2600::1 dst=2001:db8:ffff::1 sport=2 dport=1",
  "no connection",
];

function only(text: string) {
  const { value = 0n } = parseAddress(text) ?? {};
  return { first: value, last: value };
}

test("it returns connections whose verdict a new one would not have, without the node's own", () => {
  const local = { IPv4: [only("192.0.2.1")], IPv6: [only("2001:db8:ffff::1")] };
  const changes = [
    { family: "IPv4", kept: [only("8.8.8.8")], masqueraded: [only("9.9.9.9")] },
    { family: "IPv6", kept: [only("2600::1")], masqueraded: [] },
  ] as const;
  const stale = staleConnections(LINES, changes, local);
  expect(
    stale.map(({ protocol, source, destination, keeps }) => `${protocol} ${source} ${destination} ${keeps}`),
  ).toEqual(["tcp 10.244.1.2 8.8.8.8 node", "udp 10.244.1.2 9.9.9.9 pod", "tcp fd00:244::2 2600::1 node"]);
  // They already have the verdict that they would get.
  expect(
    staleConnections(
      LINES,
      [{ family: "IPv4", kept: [only("9.9.9.9")], masqueraded: [only("8.8.8.8")] }],
      local,
    ),
  ).toEqual([]);
});
