/**
 * doctor on nodes as other programs make them. Where nothing works against the configuration, it has nothing to say; and what it
 * says of a rule is what a packet shows.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cells } from "../../lab/length.ts";
import {
  IPV6,
  left,
  NFTABLES,
  problems,
  programmed,
  runDoctor,
  sharedNode,
  succeed,
  visit,
} from "../../lab/network/doctor-node.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const NAT = ["-t", "nat", "-A", "POSTROUTING"];

async function nft(lab: Lab, script: string): Promise<void> {
  // nft 1.0.6 wants a line's end behind a block.
  const lines = script.replaceAll("} }", "}\n}");
  expect(await lab.inNode("nft", ["-f", "-"], lines)).toMatchObject({ code: 0, stderr: "" });
}

function ip(lab: Lab, ...lines: readonly string[]): Promise<unknown> {
  return Promise.all([lab.inNode("ip", ["-batch", "-"], `${lines.join("\n")}\n`)]).then(
    ([{ code, stderr }]) => expect({ code, stderr }).toEqual({ code: 0, stderr: "" }),
  );
}

async function restore(lab: Lab, table: string, ...lines: readonly string[]): Promise<void> {
  const text = [`*${table}`, ...lines, "COMMIT", ""].join("\n");
  expect(await lab.inNode("iptables-nft-restore", ["--noflush"], text)).toMatchObject({
    code: 0,
    stderr: "",
  });
}

/** The tables kube-proxy of a listing, what others refer to first. */
function kubeProxyTables(
  objects: readonly Readonly<Record<string, { name?: string; table?: string }>>[],
): string {
  const kinds = ["table", "chain", "set", "map", "rule"];
  const nftables = kinds.flatMap((kind) =>
    objects.filter(
      (one) => one[kind] !== undefined && [one[kind].table, one[kind].name].includes("kube-proxy"),
    ),
  );
  return JSON.stringify({ nftables });
}

/** Nodes on which all is well, with a list that keeps 10.0.0.0/8, 172.16.0.0/12 and fd00::/8. */
const CLEAN: Readonly<Record<string, (lab: Lab) => Promise<unknown>>> = {
  "Docker, with a container": async (lab) => {
    await ip(
      lab,
      "link add docker0 type bridge",
      "addr add 172.17.0.1/16 dev docker0",
      "link add br-0123456789ab type bridge",
      "addr add 192.168.240.1/20 dev br-0123456789ab",
      "link set docker0 up",
      "link add veth7 type veth peer name veth8",
      "link set veth7 master br-0123456789ab",
    );
    await succeed(
      lab,
      "iptables-nft",
      ...NAT,
      "-s",
      "172.17.0.0/16",
      "!",
      "-o",
      "docker0",
      "-j",
      "MASQUERADE",
    );
    await succeed(
      lab,
      "iptables-nft",
      ...NAT,
      "-s",
      "192.168.240.0/20",
      "!",
      "-o",
      "br-0123456789ab",
      "-j",
      "MASQUERADE",
    );
  },
  "Docker's own tables of nftables": (lab) =>
    nft(
      lab,
      `table ip docker-bridges {
        chain out { oifname != "docker0" ip saddr 172.17.0.0/16 masquerade; }
        chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; iifname vmap { "docker0" : jump out }; }
      }`,
    ),
  libvirt: async (lab) => {
    const network = "192.168.122.0/24";
    await ip(lab, "link add virbr0 type bridge", "addr add 192.168.122.1/24 dev virbr0");
    await restore(
      lab,
      "nat",
      ":LIBVIRT_PRT - [0:0]",
      "-A POSTROUTING -j LIBVIRT_PRT",
      `-A LIBVIRT_PRT -s ${network} -d 224.0.0.0/24 -j RETURN`,
      `-A LIBVIRT_PRT -s ${network} ! -d ${network} -p tcp -j MASQUERADE --to-ports 1024-65535`,
      `-A LIBVIRT_PRT -s ${network} ! -d ${network} -j MASQUERADE`,
    );
  },
  "libvirt, by nftables": (lab) =>
    nft(
      lab,
      `table ip libvirt_network { chain guest_nat { type nat hook postrouting priority 100; policy accept;
        ip saddr 192.168.122.0/24 ip daddr 224.0.0.0/24 return
        ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade; } }`,
    ),
  "an ipset of sources that are no pods'": async (lab) => {
    await succeed(lab, "ipset", "create", "guests", "hash:net");
    await succeed(lab, "ipset", "add", "guests", "192.168.99.0/24");
    await succeed(
      lab,
      "iptables-nft",
      ...NAT,
      "-m",
      "set",
      "--match-set",
      "guests",
      "src",
      "-j",
      "MASQUERADE",
    );
  },
  "Tailscale, and a user's own processes": async (lab) => {
    await succeed(
      lab,
      "iptables-nft",
      ...NAT,
      "-m",
      "mark",
      "--mark",
      "0x40000/0xff0000",
      "-j",
      "MASQUERADE",
    );
    await succeed(lab, "iptables-nft", ...NAT, "-m", "owner", "--uid-owner", "1000", "-j", "MASQUERADE");
  },
  "Istio ambient, whose SNAT is for the node's own probes": async (lab) => {
    await succeed(lab, "ipset", "create", "istio-inpod-probes-v4", "hash:ip");
    await succeed(lab, "ipset", "add", "istio-inpod-probes-v4", "10.244.1.5");
    await restore(
      lab,
      "nat",
      ":ISTIO_POSTRT - [0:0]",
      "-I POSTROUTING -j ISTIO_POSTRT",
      "-A ISTIO_POSTRT -m owner --socket-exists -p tcp -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127",
    );
  },
  "Istio ambient, by nftables": (lab) =>
    nft(
      lab,
      `table inet istio-ambient-nat { set probes { type ipv4_addr; elements = { 10.244.1.5 }; }
        chain postrouting { type nat hook postrouting priority srcnat; policy accept;
        meta skuid 0 meta l4proto tcp ip daddr @probes snat ip to 169.254.7.127
        meta skuid 0-4294967294 ip daddr @probes snat ip to 169.254.7.127
        meta skgid != { 5, 6 } ip daddr @probes snat ip to 169.254.7.127
        meta skuid . ip daddr { 0 . 10.244.1.5 } snat ip to 169.254.7.127
        } }`,
    ),
  "AKS, which gives its DNS and metadata the node's own address": (lab) =>
    restore(
      lab,
      "nat",
      ":SWIFT-POSTROUTING - [0:0]",
      "-A POSTROUTING -j SWIFT-POSTROUTING",
      ...["udp", "tcp"].map(
        (protocol) =>
          `-A SWIFT-POSTROUTING -s 10.244.0.0/16 -d 168.63.129.16/32 -p ${protocol} -m ${protocol} --dport 53 -j SNAT --to-source ${NODE.IPv4}`,
      ),
      `-A SWIFT-POSTROUTING -s 10.244.0.0/16 -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j SNAT --to-source ${NODE.IPv4}`,
    ),
  "Calico, without its own NAT": async (lab) => {
    await ip(
      lab,
      "link add cali1 type veth peer name peer1",
      "link set cali1 up",
      "route add 10.244.35.65/32 dev cali1",
      "route add blackhole 10.244.35.64/26",
    );
    await succeed(lab, "ipset", "create", "cali40masq-ipam-pools", "hash:net");
    await restore(
      lab,
      "nat",
      ":cali-POSTROUTING - [0:0]",
      ":cali-nat-outgoing - [0:0]",
      "-A POSTROUTING -j cali-POSTROUTING",
      "-A cali-POSTROUTING -j cali-nat-outgoing",
      "-A cali-POSTROUTING -o tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE",
      "-A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -j MASQUERADE --random-fully",
    );
  },
  "flannel, without its own NAT": async (lab) => {
    await ip(
      lab,
      "link add flannel.1 type vxlan id 1 dev eth0 dstport 8472",
      "addr add 10.244.1.0/32 dev flannel.1",
      "link set flannel.1 up",
      "route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
    );
  },
  "Cilium, without its own NAT": async (lab) => {
    await ip(
      lab,
      "link add cilium_net type veth peer name cilium_host",
      "addr add 10.0.1.5/32 dev cilium_host",
      "link set cilium_host up",
      "link set cilium_net up",
      "route add 10.0.1.0/24 via 10.0.1.5 dev cilium_host",
    );
    await restore(
      lab,
      "nat",
      ":CILIUM_POST_nat - [0:0]",
      "-A POSTROUTING -j CILIUM_POST_nat",
      "-A CILIUM_POST_nat -m mark --mark 0xa00/0xe00 -j ACCEPT",
      "-A CILIUM_POST_nat -s 127.0.0.1/32 -o cilium_host -j SNAT --to-source 10.0.1.5",
      "-A CILIUM_POST_nat -o cilium_host -m mark --mark 0xf00/0xf00 -m conntrack --ctstate DNAT -j SNAT --to-source 10.0.1.5",
    );
  },
  "GKE, with its own chain": (lab) =>
    restore(
      lab,
      "nat",
      ":IP-MASQ - [0:0]",
      '-A POSTROUTING -m comment --comment "ip-masq: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ',
      ...["169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(
        (text) => `-A IP-MASQ -d ${text} -j RETURN`,
      ),
      "-A IP-MASQ -j MASQUERADE",
    ),
};

describeKernel("doctor on a node that others have a part in, and all is well", () => {
  describe.each<[string, readonly string[]]>([
    ["iptables", ["--iptables-mode=nft"]],
    ["nftables", NFTABLES],
  ])("backend %s", (backend, flags) => {
    const parity = backend === "nftables" ? 1 : 0;
    for (const [name, make] of cells(Object.entries(CLEAN), (_, i) => i % 2 === parity)) {
      labTest(name, async ({ lab }) => {
        await make(lab);
        await programmed(lab, flags);
        const { code, stdout } = await runDoctor(lab, {});
        expect(stdout).toContain("No problems found");
        expect(code).toBe(0);
        expect(await lab.ask("udp", "10.10.0.1")).toBe(POD.IPv4);
      });
    }
  });

  const RECORDED = "test/rulesets/kube-proxy-1.36";
  labTest("kube-proxy in iptables' mode", async ({ lab }) => {
    // The counter of the module nfacct would have to be made first, by a tool of its own.
    const recorded = readFileSync(join(RECORDED, "iptables-1.8.9-agent.save"), "utf8");
    const text = recorded.replace(/-m nfacct --nfacct-name +\S+ /g, "");
    expect(await lab.inNode("iptables-nft-restore", [], text)).toMatchObject({ code: 0, stderr: "" });
    await programmed(lab);
    const found = await visit(lab);
    expect(problems(found)).toEqual([]);
    const about = found.findings.find(({ check }) => check === "invalid");
    expect(about?.message).toContain("are dropped in forward (IPv4): iptables -t filter, chain KUBE-FORWARD");
  });

  labTest("kube-proxy in nftables' mode", async ({ lab }) => {
    const recorded = readFileSync(join(RECORDED, "nftables-1.0.6-agent.json"), "utf8");
    const script = kubeProxyTables(JSON.parse(recorded).nftables);
    const file = join(lab.directory, "kube-proxy.json");
    writeFileSync(file, script);
    await succeed(lab, "nft", "-j", "-f", file);
    await programmed(lab, NFTABLES);
    const found = await visit(lab);
    expect(problems(found)).toEqual([]);
    const about = found.findings.find(({ check }) => check === "invalid");
    expect(about?.message).toContain("nothing drops INVALID packets in forward (IPv4)");
  });
});

describeKernel("doctor on a node where a rule of others decides otherwise", () => {
  const TABLE = (rule: string) => (lab: Lab) =>
    nft(
      lab,
      `table ip others { chain c { type nat hook postrouting priority 90; policy accept; ${rule}; } }`,
    );
  const first =
    (...rule: readonly string[]) =>
    (lab: Lab) =>
      succeed(lab, "iptables-nft", "-t", "nat", "-I", "POSTROUTING", ...rule);
  const flags = ["--iptables-mode=nft"];
  const node = sharedNode(flags);
  test.each<[string, (lab: Lab) => Promise<unknown>, string]>([
    ["for pods", first("-s", "10.244.0.0/16", "-j", "MASQUERADE"), "warning foreign-nat"],
    ["for all but Docker's", first("!", "-s", "172.17.0.0/16", "-j", "MASQUERADE"), "warning foreign-nat"],
    [
      "by a range",
      first("-m", "iprange", "--src-range", "10.244.1.1-10.244.1.9", "-j", "MASQUERADE"),
      "warning foreign-nat",
    ],
    ["for what goes out by a link", first("-o", "eth0", "-j", "MASQUERADE"), "warning foreign-nat"],
    ["of nftables, for pods", TABLE("ip saddr 10.244.0.0/16 masquerade"), "warning foreign-chain"],
    ["of nftables, by pods' link", TABLE('iifname "pod0" masquerade'), "warning foreign-chain"],
    ["of nftables, for all", TABLE("masquerade"), "error foreign-chain"],
  ])("%s: is reported, and packets show it", async (_name, make, expected) => {
    const lab = node();
    await make(lab);
    expect(await lab.ask("udp", "10.10.0.1")).toBe(NODE.IPv4);
    expect(problems(await visit(lab, { flags }))).toEqual([expected]);
  });

  labTest("a chain IP-MASQ that keeps less", async ({ lab }) => {
    await left(lab, ["--iptables-mode=nft"]);
    await restore(
      lab,
      "nat",
      ":IP-MASQ - [0:0]",
      "-I POSTROUTING -j IP-MASQ",
      "-A IP-MASQ -d 172.16.0.0/12 -j RETURN",
      "-A IP-MASQ -j MASQUERADE",
    );
    expect(await lab.ask("udp", "10.10.0.1")).toBe(NODE.IPv4);
    const found = await visit(lab, { flags: ["--iptables-mode=nft"] });
    expect(problems(found)).toEqual(["warning old-chain"]);
    expect(found.findings[0]?.remedy).toContain("do not delete it");
  });

  labTest("rules of nft in iptables' own table", async ({ lab }) => {
    await nft(
      lab,
      `table ip nat {
        set nets { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 } }
        chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr @nets masquerade; }
      }`,
    );
    const flags = ["--iptables-mode=nft"];
    const agent = await programmed(lab, flags);
    expect(await lab.ask("udp", "8.8.8.8")).toBe(NODE.IPv4);
    const found = await visit(lab);
    expect(problems(found)).toEqual(["warning incompatible-table"]);
    expect(found.findings[0]?.message).toContain("go on working");
    expect(JSON.stringify(found)).not.toContain("as root");
    await agent.end();
    await nft(lab, "insert rule ip nat POSTROUTING ip saddr 10.244.0.0/16 masquerade");
    expect(problems(await visit(lab, { flags }))).toEqual([
      "warning incompatible-table",
      "warning foreign-chain",
    ]);
    await nft(lab, "flush chain ip nat IP-MASQ-AGENT");
    const { findings } = await visit(lab, { flags });
    expect(findings.find(({ check }) => check === "incompatible-table")?.message).toContain(
      "are not in force",
    );
  });
});

describeKernel("doctor knows pods' networks", () => {
  /** Networks that the list of `bare` keeps: the lab's own pod, and nothing else. */
  const bare = JSON.stringify({ nonMasqueradeCIDRs: ["10.244.1.0/24", "fd00:244::/64"] });
  async function uncovered(lab: Lab, flags: readonly string[] = [], wrapper: readonly string[] = []) {
    const { findings } = await visit(lab, { flags: [IPV6, ...flags], wrapper });
    return findings
      .filter(({ check, severity }) => check === "pod-networks" && severity === "warning")
      .map(({ message }) => message);
  }

  labTest("by bridges, links, routes, overlays, files and command lines", async ({ lab }) => {
    await left(lab, [IPV6]);
    lab.volume.write(bare);
    // This machine may have flannel.
    const withRun = (make: string) => [
      "unshare",
      "-m",
      "sh",
      "-c",
      `mount -t tmpfs none /run && ${make} && exec "$@"`,
      "sh",
    ];
    expect(await uncovered(lab, [], withRun("true"))).toEqual([]);
    await ip(
      lab,
      "link add cni0 type bridge",
      "addr add 10.20.0.1/24 dev cni0",
      "addr add fd00:20::1/64 dev cni0 nodad",
      "link add veth1 type veth peer name peer1",
      "link set veth1 master cni0",
      "link add cali1 type veth peer name peer2",
      "link set cali1 up",
      "route add 10.21.0.65/32 dev cali1",
      "route add blackhole 10.21.0.64/26",
      "route add 10.22.0.9/32 dev cali1",
      "link add vxlan.calico type vxlan id 9 dev eth0 dstport 4789",
      "link set vxlan.calico up",
      "route add 10.23.0.0/16 dev vxlan.calico",
      "link add docker0 type bridge",
      "addr add 172.17.0.1/16 dev docker0",
      "link add veth3 type veth peer name peer3",
      "link set veth3 master docker0",
    );
    const cni = join(lab.directory, "cni");
    mkdirSync(cni);
    writeFileSync(
      join(cni, "10-x.conflist"),
      '{"plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.24.0.0/24"}]]}}]}',
    );
    writeFileSync(
      join(cni, "87-podman.conflist"),
      '{"plugins": [{"type": "bridge", "bridge": "cni-podman0", "ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}}]}',
    );
    const flannel = withRun(
      'mkdir /run/flannel && printf "FLANNEL_NETWORK=10.25.0.0/16\\nFLANNEL_IPV6_NETWORK=fd00:25::/48\\n" >/run/flannel/subnet.env',
    );
    const found = await uncovered(lab, [`--cni-dir=${cni}`, "--cluster-cidr=10.26.0.0/16"], flannel);
    for (const [pods, from] of [
      ["of 10.20.0.0/24", "bridge cni0"],
      ["of 10.21.0.64/26", "blackhole route around the route to cali1"],
      ["with 10.22.0.9/32", "route to cali1"],
      ["of 10.23.0.0/16", "route into vxlan.calico"],
      ["of 10.24.0.0/24", `host-local in ${cni}/10-x.conflist`],
      ["of 10.25.0.0/16", "FLANNEL_NETWORK of /run/flannel/subnet.env"],
      ["of 10.26.0.0/16", "--cluster-cidr"],
      ["of fd00:20::/64", "bridge cni0"],
      ["of fd00:25::/48", "FLANNEL_IPV6_NETWORK of /run/flannel/subnet.env"],
    ])
      expect(
        found.filter((message) => message.startsWith(`pods ${pods} (${from})`)),
        `${pods} ${from}`,
      ).toHaveLength(1);
    expect(found).toHaveLength(9);
  });

  labTest("and what a pod sees of its client is as it says", async ({ lab }) => {
    await left(lab, ["--iptables-mode=nft"]);
    const pods = async (list: readonly string[]) => {
      lab.volume.write(JSON.stringify({ nonMasqueradeCIDRs: list }));
      return (await visit(lab)).findings
        .filter(({ check }) => check === "pod-networks")
        .map(({ message }) => message);
    };
    expect(await pods(["10.244.0.0/16"])).toEqual([]);
    expect(await pods(["10.244.1.0/25"])).toEqual([
      expect.stringContaining("the list does not keep 10.244.1.128/25"),
    ]);
    expect(await pods([])).toEqual([expect.stringContaining("the list is empty")]);
  });
});

describeKernel("doctor says whether INVALID packets are dropped", () => {
  const flags = ["--iptables-mode=nft"];
  const node = sharedNode(flags);
  const about = async () => {
    const { code, findings } = await visit(node(), { flags });
    return { code, found: findings.filter(({ check }) => check === "invalid").map(({ message }) => message) };
  };
  test.each<[string, (lab: Lab) => Promise<unknown>]>([
    [
      "iptables-nft",
      (lab) =>
        succeed(
          lab,
          "iptables-nft",
          "-A",
          "FORWARD",
          "-m",
          "conntrack",
          "--ctstate",
          "INVALID",
          "-j",
          "DROP",
        ),
    ],
    [
      "iptables-legacy",
      (lab) =>
        succeed(
          lab,
          "iptables-legacy",
          "-A",
          "FORWARD",
          "-m",
          "conntrack",
          "--ctstate",
          "INVALID",
          "-j",
          "DROP",
        ),
    ],
    [
      "the mangle table",
      (lab) =>
        succeed(
          lab,
          "iptables-nft",
          "-t",
          "mangle",
          "-A",
          "PREROUTING",
          "-m",
          "conntrack",
          "--ctstate",
          "INVALID",
          "-j",
          "DROP",
        ),
    ],
    [
      "nftables",
      (lab) =>
        nft(lab, "table inet f { chain c { type filter hook forward priority 0; ct state invalid drop; } }"),
    ],
    [
      "nftables, in a chain by a map",
      (lab) =>
        nft(
          lab,
          "table ip f { chain x { ct state vmap { established : accept, invalid : drop }; }; chain c { type filter hook forward priority 0; jump x; }; }",
        ),
    ],
  ])("by %s", async (_name, make) => {
    await make(node());
    expect((await about()).found).toEqual([
      expect.stringContaining("INVALID packets are dropped in forward (IPv4)"),
    ]);
  });

  test("by nothing", async () => {
    expect(await about()).toEqual({
      code: 0,
      found: [expect.stringContaining("nothing drops INVALID packets in forward")],
    });
  });
});
