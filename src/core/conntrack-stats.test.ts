import { describe, expect, test } from "vitest";
import { findBusiest, parseConntrackCounters } from "./conntrack-stats.ts";

const line = (protocol: string, destination: string, port: number, seen: string, i = 0) =>
  `ipv4     2 ${protocol}      6 86399 ESTABLISHED src=10.1.0.2 dst=${destination} sport=${4000 + i} dport=${port} src=${destination} dst=${seen} sport=${port} dport=${4000 + i} [ASSURED] mark=0 use=1`;

test("counters are added up over the CPUs", () => {
  const text = "entries insert_failed drop\n00000005 00000001 0000000a\n00000005 00000002 00000000\n";
  expect(parseConntrackCounters(text)).toMatchObject({ insert_failed: 3, drop: 10 });
});

describe("the busiest destination", () => {
  const many = Array.from({ length: 30 }, (_, i) => line("tcp", "8.8.8.8", 443, "192.0.2.1", i));
  const lines = [
    ...many,
    ...many.slice(0, 10).map((one) => one.replaceAll("tcp", "udp")),
    ...Array.from({ length: 99 }, (_, i) => line("tcp", "10.9.9.9", 80, "10.1.0.2", i)),
    "garbage",
    "",
  ];

  test("is that of most connections that leave with another address", () => {
    expect(findBusiest(lines, 1)).toEqual({
      protocol: "tcp",
      address: "8.8.8.8",
      port: 443,
      connections: 30,
    });
  });

  test("stands for the whole table", () => {
    expect(findBusiest(lines, 0.1)?.connections).toBe(300);
  });

  test("is none where nothing is translated", () => {
    expect(findBusiest(lines.slice(-20), 1)).toBeUndefined();
    expect(findBusiest([], 1)).toBeUndefined();
  });

  test("may be an IPv6 address", () => {
    const one = line("udp", "2001:db8::1", 53, "2001:db8::2").replace("ipv4     2", "ipv6     10");
    expect(findBusiest([one], 1)).toMatchObject({ protocol: "udp", address: "2001:db8::1", port: 53 });
  });
});
