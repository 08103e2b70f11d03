/** doctor on nodes that are well, and on nodes with one fault each, made with the tools that make it in life. */
import { expect, test } from "vitest";
import { cells } from "../../lab/length.ts";
import {
  CONFIG,
  IPV6,
  NFTABLES,
  problems,
  programmed,
  runDoctor,
  sharedNode,
  succeed,
  unexpected,
  visit,
  withLock,
} from "../../lab/network/doctor-node.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { CHAIN, type Iptables } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";

const JUMP_COMMENT = (chain: string) =>
  `ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom ${chain} chain`;

async function nft(lab: Lab, script: string): Promise<void> {
  expect(await lab.inNode("nft", ["-f", "-"], script)).toMatchObject({ code: 0, stderr: "" });
}

describeKernel("doctor on a clean node with a running agent", () => {
  const agents: readonly (readonly [string, readonly string[]])[] = [
    ["iptables-nft", ["--iptables-mode=nft"]],
    ["iptables-nft, both families", ["--iptables-mode=nft", IPV6]],
    ["iptables-nft, a set", ["--iptables-mode=nft", "--ipset-threshold=1", IPV6]],
    ["iptables-legacy", ["--iptables-mode=legacy"]],
    ["nftables", NFTABLES],
    ["nftables, both families", [...NFTABLES, IPV6]],
    ["another chain, and ports", ["--masq-chain=OTHER", "--to-ports=1024-29999"]],
  ];
  labTest.for(cells(agents, (_, i) => i % 2 === 1 || i === 6))(
    "%s: has nothing to say, and takes the agent's flags over",
    async ([, flags], { lab }) => {
      const agent = await programmed(lab, flags);
      const wrapper = withLock(lab);
      expect(problems(await visit(lab, { wrapper }))).toEqual([]);
      const { code, stdout, stderr } = await runDoctor(lab, { wrapper });
      expect({ code, stderr: unexpected(stderr) }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^Looked for .*\nNo problems found \(--verbose shows \d+ notes\)\n$/);
      expect(stdout).toContain(`using the flags of the agent with pid ${agent.pid}`);
    },
  );

  labTest("beside kube-proxy's rules and host ports", async ({ lab }) => {
    await lab
      .iptables("nft")
      .transact(
        ":KUBE-POSTROUTING - [0:0]",
        ":CNI-HOSTPORT-MASQ - [0:0]",
        "-A POSTROUTING -j CNI-HOSTPORT-MASQ",
        "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
        "-A POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
      );
    await programmed(lab, [IPV6]);
    expect(problems(await visit(lab))).toEqual([]);
  });

  labTest("reads the file that the agent reads, as the agent sees it", async ({ lab }) => {
    const agent = await programmed(lab, [IPV6]);
    expect(problems(await visit(lab, { config: undefined }))).toEqual([]);
    lab.volume.write('{"nonMasqueradeCIDRs": ["0.0.0.0/0"]}');
    const { findings } = await visit(lab, { config: undefined });
    expect(findings[0]).toMatchObject({ check: "config", severity: "warning" });
    expect(findings[0]?.message).toContain(`/proc/${agent.pid}/root${lab.volume.path}:1:`);
  });

  labTest("two agents", async ({ lab }) => {
    await programmed(lab, [IPV6]);
    lab.startAgent({ flags: [IPV6] });
    await eventually(async () =>
      expect(problems(await visit(lab))).toEqual(["warning agents", "warning agent-socket"]),
    );
  });

  labTest("looking changes nothing", async ({ lab }) => {
    lab.volume.write(CONFIG);
    await visit(lab, { flags: [IPV6] });
    expect((await lab.inNode("nft", ["list", "ruleset"])).stdout).toBe("");
    expect((await lab.inNode("cat", ["/proc/net/ip_tables_names"])).stdout).toBe("");
  });
});

describeKernel("doctor finds a fault in the rules of iptables", () => {
  const KUBENET = ["-m", "comment", "--comment", "kubenet: SNAT for outbound traffic from cluster"];
  const flags = [IPV6, "--iptables-mode=nft"];
  const node = sharedNode(flags);
  test.each<[string, (iptables: Iptables, lab: Lab) => Promise<unknown>, readonly string[]]>([
    ["no jump", ({ run }) => run("-D", "POSTROUTING", "1"), ["error own-chain"]],
    [
      "no chain",
      ({ transact }) => transact("-D POSTROUTING 1", `-F ${CHAIN}`, `-X ${CHAIN}`),
      ["error own-chain"],
    ],
    ["an empty chain", ({ run }) => run("-F", CHAIN), ["error own-chain"]],
    ["a rule behind MASQUERADE", ({ run }) => run("-A", CHAIN, "-j", "RETURN"), ["error own-chain"]],
    [
      "a second jump",
      async ({ run, listing }) => {
        const [, jump = ""] = (await listing("POSTROUTING")) ?? [];
        await run("-A", "POSTROUTING", "-m", "comment", "--comment", JUMP_COMMENT(CHAIN), "-j", CHAIN);
        expect(jump).toContain(CHAIN);
      },
      ["warning own-chain"],
    ],
    ["an ACCEPT in front", ({ run }) => run("-I", "POSTROUTING", "-j", "ACCEPT"), ["error blocked-jump"]],
    [
      "the kubelet's rule",
      ({ run }) => run("-A", "POSTROUTING", "!", "-d", "10.0.0.0/8", ...KUBENET, "-j", "MASQUERADE"),
      ["error kubelet-rule"],
    ],
    [
      "OpenShift's",
      ({ transact }) =>
        transact(
          ":OPENSHIFT-MASQUERADE - [0:0]",
          "-A OPENSHIFT-MASQUERADE -s 10.128.0.0/14 -j MASQUERADE",
          '-I POSTROUTING -m comment --comment "rules for masquerading OpenShift traffic" -j OPENSHIFT-MASQUERADE',
        ),
      ["warning openshift"],
    ],
    [
      "a chain IP-MASQ that masquerades pods",
      ({ transact }) => transact(":IP-MASQ - [0:0]", "-A IP-MASQ -j MASQUERADE", "-A POSTROUTING -j IP-MASQ"),
      ["warning old-chain"],
    ],
    [
      "another agent's chain",
      ({ transact }) =>
        transact(
          ":OTHER - [0:0]",
          "-A OTHER -j MASQUERADE",
          `-A POSTROUTING -m comment --comment "${JUMP_COMMENT("OTHER")}" -j OTHER`,
        ),
      ["warning leftovers"],
    ],
    [
      "a MASQUERADE in front",
      ({ run }) => run("-I", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE"),
      ["warning foreign-nat"],
    ],
    [
      "a MASQUERADE of nftables in front",
      (_, lab) =>
        nft(
          lab,
          "add table inet t; add chain inet t c { type nat hook postrouting priority 90; }; add rule inet t c masquerade",
        ),
      ["error foreign-chain", "error foreign-chain"],
    ],
    [
      "an SNAT of nftables for some",
      (_, lab) =>
        nft(
          lab,
          "add table ip t; add chain ip t c { type nat hook postrouting priority 90; }; add rule ip t c ip saddr 10.0.0.0/8 snat to 192.0.2.1",
        ),
      ["warning foreign-chain"],
    ],
    [
      "rules of the other variant",
      (_, lab) => lab.iptables("legacy").run("-A", "POSTROUTING", "-d", "10.1.2.3", "-j", "ACCEPT"),
      ["warning both-variants"],
    ],
    [
      "our chain in the other variant",
      (_, lab) => lab.iptables("legacy").run("-N", CHAIN),
      ["warning leftovers"],
    ],
    [
      "our table of nftables, without rules",
      (_, lab) => nft(lab, `add table inet ip-masq-agent { comment "ip-masq-agent chain=${CHAIN}"; }`),
      ["warning leftovers"],
    ],
    ["our set", (_, lab) => succeed(lab, "ipset", "create", `${CHAIN}-4`, "hash:net"), ["warning leftovers"]],
  ])("%s", async (_name, seed, expected) => {
    const lab = node();
    await seed(lab.iptables("nft"), lab);
    const after = await visit(lab, { flags });
    expect(problems(after)).toEqual(expected);
    expect(after.code).toBe(1);
  });
});

describeKernel("doctor finds a fault in the rules of nftables", () => {
  const OWN = "inet ip-masq-agent";
  const flags = [...NFTABLES, IPV6];
  const node = sharedNode(flags);
  test.each<[string, (lab: Lab) => Promise<unknown>, readonly string[]]>([
    ["no table", (lab) => nft(lab, `delete table ${OWN}`), ["error own-table"]],
    ["a dormant table", (lab) => nft(lab, `add table ${OWN} { flags dormant; }`), ["error own-table"]],
    ["no rules", (lab) => nft(lab, `flush chain ${OWN} postrouting`), ["error own-table"]],
    ["a foreign table", (lab) => nft(lab, `delete table ${OWN}; add table ${OWN}`), ["error own-table"]],
    [
      "a MASQUERADE of iptables in front",
      (lab) => lab.iptables("nft").run("-I", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE"),
      ["warning foreign-nat"],
    ],
    ["our chain in iptables", (lab) => lab.iptables("nft").run("-N", CHAIN), ["warning leftovers"]],
  ])("%s", async (_name, seed, expected) => {
    const lab = node();
    await seed(lab);
    expect(problems(await visit(lab, { flags }))).toEqual(expected);
  });
});
