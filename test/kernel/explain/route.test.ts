/** `explain --live` names the interface, the next hop and the address that the kernel takes, whatever its routes are like; and says so where it depends. */
import { expect } from "vitest";
import type { ExplainView } from "../../../src/explain/view.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

/** A second way out, and routes of every kind. */
const ROUTES = [
  "link add eth1 type veth peer name eth1-peer",
  "link set eth1-peer up",
  "link set eth1 up",
  "addr add 198.18.0.1/24 dev eth1",
  "addr add 198.18.1.1/24 dev eth1",
  "addr add 198.18.0.9/24 dev eth1",
  "addr add 203.0.113.1/32 dev lo",
  "route add blackhole 10.66.0.0/16",
  "route add unreachable 10.67.0.0/16",
  "route add prohibit 10.68.0.0/16",
  "route add 10.69.0.0/16 via 198.18.0.2",
  "route add 10.70.0.0/16 via 198.18.1.2 src 203.0.113.1",
  "route add 10.71.0.0/16 nexthop via 192.0.2.2 nexthop via 198.18.0.2",
  "route add default via 198.18.0.2 table 100",
  "rule add fwmark 0x80/0x80 lookup 100",
];

async function furnish({ inNode }: Lab, lines: readonly string[]): Promise<void> {
  for (const line of lines) expect(await inNode("ip", line.split(" ")), line).toMatchObject({ code: 0 });
}

/** Verdict, source, interface and next hop, as they are said. */
async function ask(lab: Lab, destinations: readonly string[], ...more: readonly string[]): Promise<string[]> {
  const flags = ["--live", "--no-adopt", "-o=json", "--config=/dev/null", ...more];
  const { stdout, stderr } = await lab.program(["explain", ...flags, ...destinations]);
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as ExplainView).destinations.map(({ parts: [part] }) => {
    const { verdict, source, interface: out, nextHop, noRoute } = part?.live ?? {};
    return [verdict, source, out, nextHop, noRoute].filter((one) => one !== undefined).join(" ");
  });
}

const SOURCE = `--source=${POD.IPv4}`;

describeKernel("explain and routes", () => {
  labTest("of every kind", async ({ lab }) => {
    await furnish(lab, ROUTES);
    await lab.iptables("nft").transact("-A POSTROUTING -j MASQUERADE");
    const asked = [
      "8.8.8.8",
      "10.66.0.1",
      "10.67.0.1",
      "10.68.0.1",
      "10.69.0.1",
      "10.70.0.1",
      "10.71.0.1",
      "192.0.2.1",
    ];
    expect(await ask(lab, asked, SOURCE)).toEqual([
      `masquerade ${NODE.IPv4} eth0 192.0.2.2`,
      "drop a route is a black hole, or the reverse path filter of pod0 drops it",
      "drop a route says unreachable, or forwarding is off for pod0",
      "drop a route prohibits it",
      "masquerade 198.18.0.1 eth1 198.18.0.2",
      // Of the next hop's network, and not what the route says.
      "masquerade 198.18.1.1 eth1 198.18.1.2",
      // One of two ways.
      "masquerade",
      "keep",
    ]);
    expect(await ask(lab, ["8.8.8.8"], SOURCE, "--mark=0x80")).toEqual([
      "masquerade 198.18.0.1 eth1 198.18.0.2",
    ]);
    // What is said is what a packet shows.
    expect(await lab.ask("udp", "8.8.8.8")).toBe(NODE.IPv4);
    await furnish(lab, [
      "addr add 192.0.2.50/24 dev eth0",
      "route replace default via 192.0.2.2 src 192.0.2.50",
    ]);
    expect(await ask(lab, ["8.8.8.8"], SOURCE)).toEqual([`masquerade ${NODE.IPv4} eth0 192.0.2.2`]);
    expect(await lab.ask("udp", "8.8.8.8")).toBe(NODE.IPv4);
  });

  labTest("that depend on what is not known of the packet", async ({ lab }) => {
    await furnish(lab, [...ROUTES, `rule add from ${POD.IPv4} lookup 100`]);
    expect(await ask(lab, ["8.8.8.8"], SOURCE)).toEqual(["keep eth1 198.18.0.2"]);
    expect(await ask(lab, ["8.8.8.8"])).toEqual(["keep"]);
    expect(await ask(lab, ["2001:4860:4860::8888"])).toEqual(["keep eth0 2001:db8:ffff::2"]);
  });

  labTest("where the node does not forward", async ({ lab }) => {
    const set = (name: string) => lab.inNode("sysctl", ["-q", "-w", `${name}=0`]);
    await set("net.ipv4.conf.pod0.forwarding");
    await set("net.ipv6.conf.all.forwarding");
    expect(await ask(lab, ["8.8.8.8"], SOURCE)).toEqual([
      "drop a route says unreachable, or forwarding is off for pod0",
    ]);
    expect(await ask(lab, ["2001:db8:ffff::2"], `--source=${POD.IPv6}`)).toEqual([
      "drop this node forwards no IPv6 packets: net.ipv6.conf.all.forwarding is 0",
    ]);
  });

  labTest("an interface that the node does not have is a slip", async ({ lab }) => {
    for (const way of ["in", "out"]) {
      const args = ["explain", "--live", "--no-adopt", `--${way}-interface=eth9`, "8.8.8.8"];
      const { code, stderr } = await lab.program(args);
      expect(code).toBe(2);
      expect(stderr).toContain(
        `--${way}-interface="eth9" is not an interface of this node: it has lo, pod0, eth0`,
      );
    }
  });
});
