/**
 * `outputAddresses` while the node's addresses come and go, with real packets: what leaves the node, when, and with which source.
 */
import { expect } from "vitest";
import { NETLINK_ROUTE, RTNLGRP } from "../../../src/netlink/constants.ts";
import { command } from "../../lab/command.ts";
import { cells, times } from "../../lab/length.ts";
import { config, describeKernel, labTest, logged, saysProgrammed } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { withoutEvents } from "../../lab/network/no-events.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { NODE } from "../../lab/network/topology.ts";
import { createWire } from "../../lab/network/wire.ts";

const A = { IPv4: "192.0.2.10", IPv6: "2001:db8:ffff::10" } as const;
const B = { IPv4: "192.0.2.11", IPv6: "2001:db8:ffff::11" } as const;
const WORLD = { IPv4: "8.8.8.8", IPv6: "2001:4860:4860::8888" } as const;

const CONFIG = config({
  resyncInterval: "1h",
  nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"],
  masqueradeSourceCIDRs: ["10.244.0.0/16", "fd00:244::/32"],
  outputAddresses: ["192.0.2.8/29", "2001:db8:ffff::10/124"],
});

const ALL: Readonly<Record<string, readonly string[]>> = {
  "iptables-nft": ["--iptables-mode=nft"],
  "iptables-legacy": ["--iptables-mode=legacy"],
  nftables: ["--backend=nftables"],
};
/** All of them at length; otherwise those that show the kind. */
const backends = (...shown: readonly string[]) =>
  cells(Object.entries(ALL), ([name]) => shown.includes(name));
const FLAGS = ["--enable-ipv6", "--http-address=", "--v=4"];

/** Gives the node an address towards the world, or takes it away. */
async function address(lab: Lab, action: "add" | "del", ...addresses: readonly string[]): Promise<void> {
  const lines = addresses.map((one) =>
    one.includes(":")
      ? `addr ${action} ${one}/64 dev eth0${action === "add" ? " nodad" : ""}`
      : `addr ${action} ${one}/24 dev eth0`,
  );
  expect(await lab.inNode("ip", ["-batch", "-"], lines.join("\n"))).toMatchObject({ code: 0 });
}

/** The source of a new flow; its answer is lost if the node no longer has that address. */
const ask = (lab: Lab, family: keyof typeof WORLD) => lab.ask("udp", WORLD[family], 1_000);
const both = (lab: Lab) => Promise.all([ask(lab, "IPv4"), ask(lab, "IPv6")]);

/** What an agent says of the flows of an address that is gone. */
const forgot = (address: string) =>
  new RegExp(`forgot \\d+ flows? that left as ${address}, which this node no longer has`);

/** What ends a connection whose entry was deleted: its next packet leaves with another address, and is answered by a reset. */
const RESET = /Connection(Reset|Aborted)Error|BrokenPipeError/;
/** The families whose address goes, one after the other. */
const ROUNDS = [...Array(times(1, 10)).fill("IPv4"), ...Array(times(1, 10)).fill("IPv6")] as (
  | "IPv4"
  | "IPv6"
)[];

/** How many sockets of rtnetlink listen to addresses of both families in the node. */
async function listeners(lab: Lab): Promise<number> {
  const { stdout } = await lab.inNode("cat", ["/proc/net/netlink"]);
  const groups = ((1 << (RTNLGRP.IPV4_IFADDR - 1)) | (1 << (RTNLGRP.IPV6_IFADDR - 1))).toString(16);
  return stdout
    .split("\n")
    .filter((line) => new RegExp(`^\\S+\\s+${NETLINK_ROUTE}\\s+\\S+\\s+0*${groups}\\s`).test(line)).length;
}

/** Waits until an agent has said nothing for a second. */
async function quiet(agent: Agent): Promise<void> {
  let [length, since] = [0, 0];
  await eventually(() => {
    const now = agent.log().length;
    if (now !== length) [length, since] = [now, performance.now()];
    expect(performance.now() - since).toBeGreaterThan(1_000);
  });
}

describeKernel.each(backends("iptables-nft"))("output addresses, %s", (_name, more) => {
  const flags = [...more, ...FLAGS];

  labTest(
    "come and go: packets leave with those that are there, or as the kernel chooses",
    async ({ lab }) => {
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags });
      const none = "no address of this node is in outputAddresses: MASQUERADE chooses the address";
      await eventually(() => expect(logged(agent, "W", none)).toHaveLength(2));
      await eventually(async () => expect(await both(lab)).toEqual([NODE.IPv4, NODE.IPv6]));
      await address(lab, "add", A.IPv4, A.IPv6);
      await eventually(async () => expect(await both(lab)).toEqual([A.IPv4, A.IPv6]));
      await eventually(() => {
        expect(agent.log()).toContain(`IPv4: leaving as ${A.IPv4} (eth0)`);
        expect(agent.log()).toContain(`IPv6: leaving as ${A.IPv6} (eth0)`);
      });
      await address(lab, "add", B.IPv4);
      await eventually(() =>
        expect(agent.log()).toContain(`IPv4: leaving as ${A.IPv4} (eth0) and ${B.IPv4} (eth0), by pod`),
      );
      // The pod 10.244.1.2 keeps to the first of two.
      await eventually(async () => expect(await ask(lab, "IPv4")).toBe(A.IPv4));
      await address(lab, "del", A.IPv4);
      await eventually(async () => expect(await both(lab)).toEqual([B.IPv4, A.IPv6]));
      await address(lab, "del", B.IPv4, A.IPv6);
      await eventually(async () => expect(await both(lab)).toEqual([NODE.IPv4, NODE.IPv6]));
      expect(await listeners(lab)).toBe(1);
      // Without the key nothing is open.
      lab.volume.write(config({ resyncInterval: "1h" }));
      await eventually(async () => expect(await listeners(lab)).toBe(0));
      lab.volume.write(CONFIG);
      await eventually(async () => expect(await listeners(lab)).toBe(1));
      // What pods' links do is no reason to look, once all else is over.
      const passes = () => agent.log().split("pass (address)").length;
      await quiet(agent);
      const before = passes();
      await lab.inNode(
        "ip",
        ["-batch", "-"],
        Array.from(
          { length: times(10, 100) },
          (_, i) =>
            `link add pod${i + 1} type veth peer name x${i + 1}\nlink set pod${i + 1} up\nlink set x${i + 1} up`,
        ).join("\n"),
      );
      await eventually(async () => {
        const { stdout } = await lab.inNode("ip", ["-6", "addr", "show", "dev", "x1", "scope", "link"]);
        expect(stdout).toContain("fe80");
      });
      // What it has heard until then comes before this, which may be seen before it is heard.
      const said = agent.log().length;
      await address(lab, "add", A.IPv4);
      await eventually(() => expect(agent.log().slice(said)).toContain(`IPv4: leaving as ${A.IPv4} (eth0)`));
      expect(passes() - before).toBeLessThanOrEqual(2);
      expect(logged(agent, "W", "healed")).toEqual([]);
      expect(logged(agent, "E")).toEqual([]);
    },
  );
});

describeKernel.each(backends("nftables"))("output addresses, %s", (name, more) => {
  const flags = [...more, ...FLAGS];

  labTest("that go under traffic are seen no more, and connections end", async ({ lab }) => {
    await address(lab, "add", A.IPv4, B.IPv4, A.IPv6, B.IPv6);
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags });
    await saysProgrammed(agent);
    const wire = await createWire(lab);
    await wire.echo(7_007);
    const delays: number[] = [];
    for (const [round, family] of ROUNDS.entries()) {
      const gone = A[family];
      const [since, said] = [Date.now(), agent.log().length];
      const { ended } = await wire.talk(WORLD[family], 7_007);
      const stream = await wire.udp("pod", 5_060 + round, 5, `${WORLD[family]}#9`);
      await eventually(() => {
        expect(wire.newest(7_007, since, WORLD[family])).toEqual([gone]);
        expect(wire.newest(9, since, WORLD[family])).toEqual([gone]);
      });
      await address(lab, "del", gone);
      const at = Date.now();
      expect((await ended).why).toMatch(RESET);
      await eventually(() => expect(agent.log().slice(said)).toMatch(forgot(gone)));
      expect(await wire.next(9, WORLD[family])).toEqual([B[family]]);

      delays.push(Math.max(0, ...wire.arrivals.flatMap((one) => (one.source === gone ? one.at - at : []))));
      stream.stop();
      await address(lab, "add", gone);
      await eventually(async () => expect(await ask(lab, family)).toBe(gone));
    }
    console.log(`${name}: nothing leaves after ${delays.toSorted((a, b) => a - b).join(", ")} ms`);
    // An agent that comes later learns of it from the rules that it finds.
    const since = Date.now();
    const { ended } = await wire.talk(WORLD.IPv4, 7_007);
    await eventually(() => expect(wire.newest(7_007, since, WORLD.IPv4)).toEqual([A.IPv4]));
    await agent.end("SIGKILL");
    await address(lab, "del", A.IPv4);
    const next = lab.startAgent({ flags });
    expect((await ended).why).toMatch(RESET);
    await eventually(() => expect(next.log()).toMatch(forgot(A.IPv4)));
    await eventually(async () => expect(await ask(lab, "IPv4")).toBe(B.IPv4));
    wire.stop();
  });

  labTest("that flap are paced, and the last state counts", async ({ lab }) => {
    await address(lab, "add", A.IPv4);
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags });
    await saysProgrammed(agent);
    const passes = () => agent.log().split("pass (address)").length - 1;
    const programmed = () => agent.log().split(": programmed ").length - 1;
    await eventually(async () => {
      await address(lab, "add", "192.0.2.99");
      await address(lab, "del", "192.0.2.99");
      expect(passes()).toBeGreaterThan(0);
    });
    const [before, since] = [programmed(), Date.now()];
    const flap = `for i in $(seq 60); do ip addr del ${A.IPv4}/24 dev eth0; ip addr add ${A.IPv4}/24 dev eth0; sleep 0.02; done`;
    expect(await lab.inNode("sh", ["-c", flap])).toMatchObject({ code: 0 });
    await eventually(async () => expect(await ask(lab, "IPv4")).toBe(A.IPv4));
    // As repairs: five at once, and five a second. A rule may be written for each family.
    expect(programmed() - before).toBeLessThan(2 * (6 + (5 * (Date.now() - since)) / 1_000));
    expect(logged(agent, "E")).toEqual([]);
  });
});

describeKernel("output addresses without events", () => {
  labTest("are read each second, which is said once", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const flags = ["--backend=nftables", ...FLAGS];
    const agent = lab.startAgent({ flags, env: withoutEvents(lab) });
    const words = "listening to rtnetlink: ENOMEM";
    await eventually(() => expect(logged(agent, "W", words)).toHaveLength(1));
    expect(logged(agent, "W", words)[0]).toContain("reading the node's addresses every 1 s instead");
    for (const action of ["add", "del"] as const) {
      await address(lab, action, A.IPv4);
      const expected = action === "add" ? A.IPv4 : NODE.IPv4;
      await eventually(async () => expect(await ask(lab, "IPv4")).toBe(expected));
    }
    expect(logged(agent, "W", words)).toHaveLength(1);
  });
});

describeKernel("output addresses of pods", () => {
  labTest("stay the same over restarts, rewrites and backends", async ({ lab }) => {
    const pods = Array.from({ length: 6 }, (_, i) => `10.244.1.${2 + i}`);
    const [file = "", ...args] = lab.inside("pod", "ip", "-batch", "-");
    const lines = pods.slice(1).map((pod) => `addr add ${pod}/24 dev eth0`);
    await command(file, args, { stdin: lines.join("\n") });
    await address(lab, "add", A.IPv4, B.IPv4);
    const wire = await createWire(lab);
    let port = 5_000;
    /** With which address each pod's new flows arrive. */
    const sources = async () => {
      const since = Date.now();
      const stream = await wire.udp(
        "pod",
        port++,
        20,
        ...pods.map((pod, i) => `${WORLD.IPv4}#${100 + i}@${pod}`),
      );
      const found = await eventually(() => {
        const seen = pods.map((_, i) => wire.sourcesSince(since, 100 + i));
        expect(seen.map(({ length }) => length)).toEqual(pods.map(() => 1));
        return seen.flat();
      });
      stream.stop();
      return found;
    };
    // The lowest bit of a pod's address chooses.
    const expected = pods.map((_, i) => (i % 2 === 0 ? A.IPv4 : B.IPv4));
    for (const [name, flags] of backends("iptables-nft", "nftables")) {
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: [...flags, ...FLAGS] });
      await saysProgrammed(agent);
      const programmed = () => agent.log().split(": programmed ").length;
      const before = programmed();
      expect([name, await sources()]).toEqual([name, expected]);
      lab.volume.write(CONFIG.replace('"10.0.0.0/8",', '"10.0.0.0/8","172.16.0.0/12",'));
      await eventually(() => expect(programmed()).toBeGreaterThan(before));
      expect([name, await sources()]).toEqual([name, expected]);
      await agent.end();
    }
    wire.stop();
  });
});
