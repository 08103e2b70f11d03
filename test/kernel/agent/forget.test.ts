/**
 * `--forget=unanswered` with real packets: flows that began before the rules take them with their next packet, and nothing else is
 * touched. In the environment: FORGET_FLOWS, how many flows a flush of the rules comes upon (200; at length 1000).
 */
import { expect } from "vitest";
import { cells } from "../../lab/length.ts";
import { config, describeKernel, labTest, logged, saysProgrammed } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";
import { createWire } from "../../lab/network/wire.ts";

const { FORGET_FLOWS = "200" } = process.env;

const LISTS = {
  nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"],
  masqueradeSourceCIDRs: ["10.244.0.0/16", "fd00:244::/32"],
};
const CONFIG = config({ resyncInterval: "1h", ...LISTS });

/** Nobody has these addresses: the world drops what it gets for them. The last ones are behind a Service. */
const SILENT = { IPv4: "203.0.113.99", IPv6: "2001:db8:9::99" } as const;
const SERVICE = "198.51.100.99";
const PINGED = "203.0.113.98";

/** How an agent is started, and how its rules go. */
interface Backend {
  readonly flags: readonly string[];
  readonly flush: string;
  /** The kernel has no events of changes to iptables-legacy's rules. */
  readonly resyncInterval: string;
}

const iptables = (variant: "nft" | "legacy"): Backend => ({
  flags: [`--iptables-mode=${variant}`],
  flush: ["iptables", "ip6tables"].map((tool) => `${tool}-${variant} -t nat -F IP-MASQ-AGENT`).join(" && "),
  resyncInterval: variant === "legacy" ? "1s" : "1h",
});

const ALL: Readonly<Record<string, Backend>> = {
  "iptables-nft": iptables("nft"),
  "iptables-legacy": iptables("legacy"),
  nftables: {
    flags: ["--backend=nftables"],
    flush: "nft flush chain inet ip-masq-agent postrouting",
    resyncInterval: "1h",
  },
};
const BACKENDS = cells(Object.entries(ALL), ([name]) => name === "nftables");

/** The node's entries, as the kernel lists them, with packets. */
async function entries(lab: Lab, ...texts: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await lab.inNode("cat", ["/proc/net/nf_conntrack"]);
  return stdout.split("\n").filter((line) => texts.every((text) => line.includes(text)));
}

function packets(line: string | undefined): number {
  return Number(/packets=(\d+)/.exec(line ?? "")?.[1] ?? 0);
}

/** Entries outlast the test, and are counted. */
async function prepare(lab: Lab): Promise<void> {
  const settings = [
    "nf_conntrack_acct=1",
    "nf_conntrack_udp_timeout=60",
    "nf_conntrack_udp_timeout_stream=60",
  ];
  await lab.inNode("sysctl", ["-q", "-w", ...settings.map((one) => `net.netfilter.${one}`)]);
}

describeKernel.each(BACKENDS)("flows that began before the rules, %s", (_name, backend) => {
  const flags = [...backend.flags, "--enable-ipv6", "--http-address="];

  labTest("take them where nobody has answered, and others go on", async ({ lab }) => {
    await prepare(lab);
    // Another program's Service, whose endpoint does not answer. It also makes the kernel track connections of both families.
    const dnat = `ip daddr ${SERVICE} dnat ip to ${SILENT.IPv4}; ip6 daddr fd00:96::99 dnat ip6 to ${SILENT.IPv6};`;
    const service = `table inet service { chain c { type nat hook prerouting priority -100; ${dnat} }; }`;
    expect(await lab.inNode("nft", ["-f", "-"], service)).toMatchObject({ code: 0 });
    const wire = await createWire(lab);
    await wire.udp("pod", 5_060, 20, `${SILENT.IPv4}#9`, `${SILENT.IPv6}#9`, `${SERVICE}#10`);
    // Echoed by the receiver of the lab's own flows.
    await lab.ask("udp", "8.8.8.8");
    await wire.udp("pod", 5_061, 20, "8.8.8.8#7000");
    await wire.udp("node", 500, 20, `${SILENT.IPv4}#500`);
    await wire.ping(PINGED);
    const pods = await wire.udp("pod", 5_062, 20, "10.10.9.9#9");
    await eventually(() => {
      expect(wire.sourcesSince(0, 9)).toEqual([POD.IPv4, POD.IPv6]);
      expect(wire.sourcesSince(0, 10)).toEqual([POD.IPv4]);
      expect(wire.sourcesSince(0, 500)).toEqual([NODE.IPv4]);
      expect(wire.sourcesSince(0, 0, PINGED)).toEqual([POD.IPv4]);
    });
    const answered = () => entries(lab, "sport=5061", "dport=7000");
    const own = () => entries(lab, "sport=500 ");
    await eventually(async () => expect(packets((await answered())[0])).toBeGreaterThan(5));
    const before = { answered: packets((await answered())[0]), own: packets((await own())[0]) };

    lab.volume.write(CONFIG);
    const none = lab.startAgent({ flags });
    await saysProgrammed(none);
    // They keep the pod's address without the flag.
    expect(await wire.next(9, SILENT.IPv4, 30)).toEqual([POD.IPv4]);

    await none.end();
    expect(await lab.inNode("sh", ["-c", backend.flush])).toMatchObject({ code: 0 });

    const agent = lab.startAgent({ flags: [...flags, "--forget=unanswered"] });
    await eventually(() =>
      expect(agent.log()).toContain("IPv6: forgot 1 flow without an answer, which had left as their pods"),
    );
    await eventually(() => expect(agent.log()).toContain("IPv4: forgot 2 flows without an answer"));
    const [forgotten, others] = await Promise.all([
      Promise.all([wire.next(9, SILENT.IPv4), wire.next(9, SILENT.IPv6), wire.next(0, PINGED)]),
      Promise.all([wire.next(10), wire.next(7_000), wire.next(500), wire.next(9, "10.10.9.9")]),
    ]);
    expect(forgotten).toEqual([[NODE.IPv4], [NODE.IPv6], [NODE.IPv4]]);
    // Behind a Service, answered, the node's own, kept by the configuration: all as before.
    expect(others).toEqual([[POD.IPv4], [POD.IPv4], [NODE.IPv4], [POD.IPv4]]);

    expect(packets((await answered())[0])).toBeGreaterThan(before.answered);
    expect(packets((await own())[0])).toBeGreaterThan(before.own);
    expect(logged(agent, "W", "cannot forget")).toEqual([]);
    pods.stop();

    // A change: what kept the pod's address does so no more.
    const kept = await wire.udp("pod", 5_063, 20, "10.10.9.9#11");
    await eventually(() => expect(wire.sourcesSince(0, 11)).toEqual([POD.IPv4]));
    lab.volume.write(CONFIG.replace('"10.0.0.0/8",', ""));
    await eventually(() => expect(wire.newest(11)).toEqual([NODE.IPv4]));
    kept.stop();
    wire.stop();
  });

  labTest(`take them after a flush, under ${FORGET_FLOWS} flows`, async ({ lab }) => {
    await prepare(lab);
    const wire = await createWire(lab);
    lab.volume.write(config({ resyncInterval: backend.resyncInterval, ...LISTS }));
    const agent = lab.startAgent({ flags: [...flags, "--forget=unanswered"] });
    await saysProgrammed(agent);
    const all = (source: string) => Array(Math.min(100, Number(FORGET_FLOWS) / 2)).fill(source);
    const targets = (from: number) =>
      Array.from(
        { length: Number(FORGET_FLOWS) / 2 },
        (_, i) => `203.0.113.${100 + (i % 100)}#${from + Math.floor(i / 100)}`,
      );
    // The agent is stopped while flows begin, so that it certainly comes too late.
    process.kill(agent.pid, "SIGSTOP");
    expect(await lab.inNode("sh", ["-c", backend.flush])).toMatchObject({ code: 0 });
    await wire.udp("pod", 6_000, 200, ...targets(20_000));
    await eventually(() => expect(wire.newest(20_000)).toEqual(all(POD.IPv4)));
    process.kill(agent.pid, "SIGCONT");
    // And while the agent is at work.
    await wire.udp("pod", 6_001, 200, ...targets(30_000));
    await eventually(() => {
      expect(wire.newest(20_000)).toEqual(all(NODE.IPv4));
      expect(wire.newest(30_000)).toEqual(all(NODE.IPv4));
    });
    expect(logged(agent, "W", "cannot forget")).toEqual([]);
    wire.stop();
  });
});
