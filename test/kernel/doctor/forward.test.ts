/** What keeps pods' packets from our rules, as doctor names it and as a packet shows it. */
import { describe, expect, test } from "vitest";
import { cells } from "../../lab/length.ts";
import { NFTABLES, problems, sharedNode, succeed, visit } from "../../lab/network/doctor-node.ts";
import { describeKernel } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

async function run(lab: Lab, ...lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const [file = "", ...args] = line.split(" ");
    await succeed(lab, file, ...args);
  }
}

async function nft(lab: Lab, script: string): Promise<void> {
  expect(await lab.inNode("nft", ["-f", "-"], script)).toMatchObject({ code: 0, stderr: "" });
}

/** Lets pods come in by a bridge. */
function bridge(lab: Lab): Promise<void> {
  return run(
    lab,
    "ip addr flush dev pod0",
    "ip link add cni0 type bridge",
    "ip link set pod0 master cni0",
    "ip addr add 10.244.1.1/24 dev cni0",
    "ip link set cni0 up",
  );
}

const filter = (priority: number, hook: string, rule: string, policy = "accept") =>
  `table inet f {\n chain c {\n type filter hook ${hook} priority ${priority}; policy ${policy};\n ${rule}\n }\n}\n`;

/** What takes a new connection of a pod, and in which words doctor names it. */
const DROPS: readonly (readonly [string, (lab: Lab) => Promise<void>, string])[] = [
  ["the policy of FORWARD", (lab) => run(lab, "iptables-nft -P FORWARD DROP"), "the policy of chain FORWARD"],
  [
    "a DROP of iptables-legacy",
    (lab) => run(lab, "iptables-legacy -A FORWARD -s 10.244.0.0/16 -j DROP"),
    "-s 10.244.0.0/16 -j DROP",
  ],
  [
    "a reject of nftables, behind replies that go through",
    (lab) => nft(lab, filter(10, "forward", "ct state established,related accept\n reject")),
    "reject",
  ],
  [
    "a policy of nftables",
    (lab) => nft(lab, filter(0, "forward", 'iifname "docker0" accept', "drop")),
    "the policy of chain c",
  ],
];

describeKernel("doctor finds what drops pods' packets", () => {
  describe.each<[string, readonly string[]]>([
    ["iptables", ["--iptables-mode=nft"]],
    ["nftables", NFTABLES],
  ])("backend %s", (backend, flags) => {
    const node = sharedNode(flags, bridge);
    for (const [name, make, words] of cells(DROPS, (_, i) => (i % 2 === 0) === (backend === "nftables")))
      test(name, async () => {
        const lab = node();
        expect(await lab.ask("udp", "8.8.8.8")).toBe(NODE.IPv4);
        await make(lab);
        await expect(lab.ask("udp", "8.8.8.8", 2_000)).rejects.toThrow();
        const visited = await visit(lab, { flags });
        expect(problems(visited)).toEqual(["warning forward"]);
        expect(visited.findings[0]?.message).toContain(words);
      });
  });
});

describeKernel("doctor on a node whose pods' packets are forwarded", () => {
  const flags = ["--iptables-mode=nft"];
  const node = sharedNode(flags, bridge);

  test("has nothing to say of drops where they are let through", async () => {
    const lab = node();
    await run(
      lab,
      "iptables-nft -P FORWARD DROP",
      "iptables-nft -A FORWARD -i cni0 -j ACCEPT",
      "iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "iptables-nft -A FORWARD -d 10.1.0.0/16 -j DROP",
    );
    expect(await lab.ask("udp", "8.8.8.8")).toBe(NODE.IPv4);
    expect(problems(await visit(lab, { flags }))).toEqual([]);
  });

  test("finds a link that does not forward, and no default route", async () => {
    const lab = node();
    await run(lab, "sysctl -w net.ipv4.conf.cni0.forwarding=0");
    await expect(lab.ask("udp", "8.8.8.8", 2_000)).rejects.toThrow();
    const { findings } = await visit(lab, { flags });
    expect(findings[0]).toMatchObject({ check: "forward", severity: "warning" });
    expect(findings[0]?.message).toContain("net.ipv4.conf.cni0.forwarding is 0");
    await run(lab, "sysctl -w net.ipv4.conf.cni0.forwarding=1", "ip route del default");
    const visited = await visit(lab, { flags });
    expect(problems(visited)).toEqual(["warning forward"]);
    expect(visited.findings[0]?.message).toContain("there is no default route (IPv4)");
  });
});

describeKernel("doctor finds what keeps conntrack from pods' packets", () => {
  const node = sharedNode(NFTABLES, bridge);
  for (const [name, make] of [
    ["CT --notrack", (lab) => run(lab, "iptables-nft -t raw -A PREROUTING -s 10.244.0.0/16 -j CT --notrack")],
    [
      "CT --notrack of iptables-legacy",
      (lab) => run(lab, "iptables-legacy -t raw -A PREROUTING -i cni0 -j CT --notrack"),
    ],
    ["notrack of nftables", (lab) => nft(lab, filter(-300, "prerouting", "ip saddr 10.244.0.0/16 notrack"))],
  ] as const satisfies readonly (readonly [string, (lab: Lab) => Promise<void>])[])
    test(name, async () => {
      const lab = node();
      await make(lab);
      expect(await lab.ask("udp", "8.8.8.8")).toBe(POD.IPv4);
      const { findings } = await visit(lab, { flags: NFTABLES });
      expect(findings.filter(({ check }) => check === "untracked")).toHaveLength(1);
    });
});
