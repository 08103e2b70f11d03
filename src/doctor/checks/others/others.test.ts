import { describe, expect, test } from "vitest";
import {
  CHAIN_RULES,
  cidr,
  facts,
  hook,
  JUMP,
  keeps,
  natTable,
  OWN_TABLE,
  said,
} from "../../../../test/lab/doctor.ts";
import type { Hook } from "../../../trace/model.ts";
import { diagnose } from "../../checks.ts";
import type { Facts } from "../../facts.ts";

const NFTABLES = { ...facts().settings, backend: "nftables" } as const;
const KUBENET =
  '-A POSTROUTING ! -d 10.0.0.0/8 -m comment --comment "kubenet: SNAT for outbound traffic from cluster" -m addrtype ! --dst-type LOCAL -j MASQUERADE';
const KUBE_PROXY = [
  "-N KUBE-POSTROUTING",
  '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
  "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
  '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
];
const HOST_PORTS = [
  "-N CNI-HOSTPORT-MASQ",
  '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
  "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
];

/** The findings about rules of others ahead of ours, without the place. */
function inFront(...lines: readonly string[]): readonly string[] {
  return said({ nat: [natTable([...CHAIN_RULES, ...lines, JUMP])] }).map((line) =>
    line.replace(": iptables-nft -t nat", "").replace(/,? regardless of the configuration/, ""),
  );
}

describe("rules of iptables", () => {
  test("kube-proxy's and those of host ports are no reason to worry", () => {
    expect(inFront(...KUBE_PROXY, ...HOST_PORTS)).toEqual([]);
  });

  test("a chain of another name that masquerades what is marked is none either", () => {
    expect(
      inFront("-N X", "-A POSTROUTING -j X", "-A X -m mark ! --mark 0x1/0x1 -j RETURN", "-A X -j MASQUERADE"),
    ).toEqual([]);
    expect(inFront("-N X", "-A POSTROUTING -m mark --mark 0x1/0x1 -j X", "-A X -j MASQUERADE")).toEqual([]);
  });

  test("the kubelet's, in front and behind, unless it is for nothing", () => {
    const expected = `error kubelet-rule: the kubelet masquerades by itself: ${KUBENET}`;
    expect(inFront(KUBENET)).toEqual([expected]);
    expect(said({ nat: [natTable([...CHAIN_RULES, JUMP, KUBENET])] })).toHaveLength(1);
    expect(inFront(KUBENET.replace("10.0.0.0/8", "0.0.0.0/0"))).toEqual([]);
  });

  test("the kubelet's rule is a leftover to delete; the flag is never to be set from 1.24 on", () => {
    const remedyWith = (...kubelet: readonly string[]) =>
      diagnose(
        facts({
          nat: [natTable([...CHAIN_RULES, KUBENET, JUMP])],
          processes: {
            value: { kubelets: [kubelet], agents: [{ pid: 1, chain: "IP-MASQ-AGENT", isOurs: true }] },
          },
        }),
      ).find(({ check }) => check === "kubelet-rule")?.remedy ?? "";
    for (const remedy of [remedyWith("kubelet"), remedyWith("kubelet", "--non-masquerade-cidr=10.0.0.0/8")]) {
      expect(remedy).toContain(`iptables-nft -t nat ${KUBENET.replace("-A", "-D")}`);
      expect(remedy).toContain("1.23 or older");
      expect(remedy).toContain("from 1.24 on never set that flag");
    }
    expect(remedyWith("kubelet")).toContain("it is a leftover, delete it: ");
  });

  test("OpenShift's", () => {
    const lines = [
      "-N OPENSHIFT-MASQUERADE",
      '-A POSTROUTING -m comment --comment "rules for masquerading OpenShift traffic" -j OPENSHIFT-MASQUERADE',
      "-A OPENSHIFT-MASQUERADE -s 10.128.0.0/14 -j MASQUERADE",
    ];
    expect(inFront(...lines)).toEqual([
      "warning openshift: OpenShift masquerades by its own rules (OPENSHIFT-MASQUERADE)",
    ]);
  });

  describe("a chain IP-MASQ of GKE's or kube-up's", () => {
    const rules = (...kept: readonly string[]) => [
      "-N IP-MASQ",
      ...kept.map((text) => `-A IP-MASQ -d ${text} -j RETURN`),
      "-A IP-MASQ -j MASQUERADE",
    ];
    const jump =
      '-A POSTROUTING -m comment --comment "ip-masq: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ';

    test.each<[string, readonly string[], string]>([
      ["unused", rules("10.0.0.0/8"), "exists, and no rule leads to it"],
      [
        "that keeps all that we keep",
        [...rules("169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12"), jump],
        "masquerades nothing that the configuration keeps",
      ],
      [
        "that keeps less",
        [...rules("169.254.0.0/16"), jump],
        "masquerades some of what the configuration keeps",
      ],
    ])("%s", (_name, lines, expected) => {
      const nat = [natTable([...CHAIN_RULES, ...lines, JUMP])];
      const found = diagnose(facts({ nat })).filter(
        ({ severity, check }) => severity !== "info" || check === "old-chain",
      );
      expect(found.map(({ check }) => check)).toEqual(["old-chain"]);
      expect(found[0]?.message).toContain(expected);
      expect(`${found[0]?.remedy}`).not.toMatch(/-X|-F|-D|cleanup/);
    });

    test("it is ours if that is our chain's name", () => {
      const own = { ...facts().settings, chain: "IP-MASQ" };
      expect(said({ settings: own, nat: [natTable([...rules("10.0.0.0/8"), jump])] })).toEqual([]);
    });
  });

  const RULE = "-A POSTROUTING";
  describe("weighed by whose packets they match", () => {
    test.each<[string, string]>([
      ["Docker's", `${RULE} -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE`],
      [
        "Docker's, of its hairpins",
        `${RULE} -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE`,
      ],
      ["Docker's without its proxy", `${RULE} -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE`],
      [
        "libvirt's",
        `${RULE} -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535`,
      ],
      [
        "a range of other sources",
        `${RULE} -m iprange --src-range 192.168.122.2-192.168.122.9 -j MASQUERADE`,
      ],
      ["all but pods", `${RULE} ! -s 10.244.0.0/16 -o eth0 -j MASQUERADE`],
      ["what comes in by Docker's bridge", `${RULE} -i docker0 -j MASQUERADE`],
      ["what comes in by a bridge that Docker may make", `${RULE} -i br-0123456789ab -j MASQUERADE`],
      ["what comes in by a tunnel that is down", `${RULE} -i wg0 -j MASQUERADE`],
      ["what comes in by Tailscale, which does not run", `${RULE} -i tailscale0 -j MASQUERADE`],
      ["what comes in by an uplink of another machine", `${RULE} -i ens192 -j MASQUERADE`],
      ["marked", `${RULE} -m mark --mark 0x40000/0xff0000 -j MASQUERADE`],
      ["of a marked connection", `${RULE} -m connmark --mark 0x1/0x1 -j MASQUERADE`],
      ["of a user's processes", `${RULE} -m owner --uid-owner 1000 -j MASQUERADE`],
      ["to the node itself", `${RULE} -m addrtype --dst-type LOCAL -j MASQUERADE`],
      ["established ones only", `${RULE} -m conntrack --ctstate ESTABLISHED -j MASQUERADE`],
      [
        "a pod's to itself",
        `${RULE} -s 10.244.1.7/32 -d 10.244.1.7/32 -p tcp -m tcp --dport 80 -j MASQUERADE`,
      ],
      ["to what we masquerade too", `${RULE} -s 10.244.0.0/16 -d 8.0.0.0/8 -j MASQUERADE`],
    ])("%s: no harm", (_name, line) => {
      expect(inFront(line)).toEqual([]);
    });

    test.each<[string, string, string]>([
      ["anybody's", `${RULE} -o eth0 -j MASQUERADE`, "warning"],
      [
        "what comes in by pods' links, of which there is none yet",
        `${RULE} -i eni+ -j MASQUERADE`,
        "warning",
      ],
      ["what comes in by a link of a name that nobody knows", `${RULE} -i pods0 -j MASQUERADE`, "warning"],
      ["pods' own", `${RULE} -s 10.244.0.0/16 -j MASQUERADE`, "warning"],
      ["some pods'", `${RULE} -s 10.244.1.7/32 -j MASQUERADE`, "warning"],
      ["a pod's to another", `${RULE} -s 10.244.1.7/32 -d 10.244.1.8/32 -j MASQUERADE`, "warning"],
      ["pods' to each other", `${RULE} -s 10.244.1.0/24 -d 10.244.1.0/24 -j MASQUERADE`, "warning"],
      ["all but Docker's", `${RULE} ! -s 172.17.0.0/16 -j MASQUERADE`, "warning"],
      ["what comes in by pods' bridge", `${RULE} -i cni0 -j MASQUERADE`, "warning"],
      ["all but what comes in by Docker's", `${RULE} ! -i docker0 -j MASQUERADE`, "warning"],
      ["what has no mark", `${RULE} -m mark ! --mark 0x1/0x1 -j MASQUERADE`, "warning"],
      ["all but a user's processes", `${RULE} -m owner ! --uid-owner 0 -j MASQUERADE`, "warning"],
      ["of a set that could not be read", `${RULE} -m set --match-set x src -j MASQUERADE`, "warning"],
      [
        "with another address",
        `${RULE} -s 10.244.0.0/16 -d 8.0.0.0/8 -j SNAT --to-source 192.0.2.9`,
        "warning",
      ],
      ["everything", `${RULE} -j MASQUERADE`, "error"],
    ])("%s: %s", (_name, line, severity) => {
      const found = inFront(line).filter((said) => said.includes("foreign-nat"));
      expect(found).toEqual([expect.stringContaining(`${severity} foreign-nat: `)]);
      expect(found[0]).toContain(line);
    });

    test("what a chain has let go before does not come to its last rule", () => {
      const chain = [
        "-N FLANNEL-POSTRTG",
        '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
        "-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -j RETURN",
        "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
        "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully",
      ];
      const config = facts().config;
      const keeping = (...texts: readonly string[]) =>
        said({
          config: "value" in config ? { value: { ...config.value, kept: keeps(...texts) } } : config,
          nat: [natTable([...CHAIN_RULES, ...chain, JUMP])],
        });
      expect(keeping("10.244.0.0/16")).toEqual([]);
      expect(keeping("10.0.0.0/8")).toEqual([
        expect.stringContaining("-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE"),
      ]);
    });

    test("behind ours, and in chains of one pod", () => {
      const chain = [
        "-N CNI-1",
        "-A CNI-1 -d 10.244.1.0/24 -j ACCEPT",
        "-A CNI-1 ! -d 224.0.0.0/4 -j MASQUERADE",
      ];
      expect(inFront(...chain, `${RULE} -s 10.244.1.2/32 -j CNI-1`)).toEqual([
        'warning foreign-nat: a third-party rule ahead of ours masquerades matching traffic: -A CNI-1 ! -d 224.0.0.0/4 -j MASQUERADE, reached by "-A POSTROUTING -s 10.244.1.2/32 -j CNI-1"',
      ]);
      expect(said({ nat: [natTable([...CHAIN_RULES, JUMP, `${RULE} -o eth0 -j MASQUERADE`])] })).toEqual([
        "warning foreign-nat: iptables-nft -t nat: a third-party rule after ours masquerades matching traffic regardless of the configuration: -A POSTROUTING -o eth0 -j MASQUERADE",
      ]);
    });

    test.each<[string, string, readonly string[]]>([
      [
        "the node's own address, to what we masquerade too",
        "-d 168.63.129.16/32 -j SNAT --to-source 192.0.2.1",
        [],
      ],
      ["another address", "-d 168.63.129.16/32 -j SNAT --to-source 192.0.2.7", ["warning"]],
      [
        "one of several addresses",
        "-d 168.63.129.16/32 -j SNAT --to-source 192.0.2.1-192.0.2.2",
        ["warning"],
      ],
      [
        "the node's own address, to what we keep",
        "-d 10.0.0.0/24 -j SNAT --to-source 192.0.2.1",
        ["warning"],
      ],
      [
        "the node's own address, to a cloud's metadata",
        "-d 169.254.169.254/32 -j SNAT --to-source 192.0.2.1",
        ["info"],
      ],
      ["masqueraded, to a cloud's metadata", "-d 169.254.169.254/32 -j MASQUERADE", ["info"]],
      [
        "another address, to a cloud's metadata",
        "-d 169.254.169.254/32 -j SNAT --to-source 192.0.2.7",
        ["warning"],
      ],
    ])("source NAT to %s", (_name, words, expected) => {
      const found = inFront(`-N SWIFT`, `-A SWIFT -s 10.244.0.0/16 ${words}`, `${RULE} -j SWIFT`);
      expect(found.map((line) => line.split(" ")[0])).toEqual(expected);
    });

    test("where pods are not known: possible, or nothing to match", () => {
      const line = `${RULE} -s 10.99.0.0/16 -j MASQUERADE`;
      const nat = [natTable([...CHAIN_RULES, line, JUMP])];
      const seen = (links: Facts["links"]) =>
        said({ nat, links }).filter((one) => one.includes("foreign-nat"));
      const none = {
        networks: [],
        others: [cidr("172.17.0.0/16")],
        own: [],
        uplinks: [{ family: "IPv4", name: "eth0" } as const],
        links: new Map(),
      };
      expect(seen({ value: none })).toEqual([expect.stringMatching(/^info .*may masquerade pods' packets/)]);
      expect(seen({ unknown: "links", why: "no" })).toEqual([
        expect.stringMatching(/^warning .*may masquerade pods' packets/),
      ]);
      expect(seen({ value: { ...none, others: [cidr("10.99.0.0/16")] } })).toEqual([]);
    });

    test("a family that the agent does not look after is others' affair", () => {
      const nat = [...facts().nat, natTable(["-A POSTROUTING -j MASQUERADE"], { family: "IPv6" })];
      expect(said({ nat })).toEqual([]);
    });
  });

  test.each<[string, readonly string[], string]>([
    [
      "the Amazon VPC CNI plugin",
      [
        "-N AWS-SNAT-CHAIN-0",
        '-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0',
        "-A AWS-SNAT-CHAIN-0 -d 10.244.0.0/16 -j RETURN",
        '-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 192.0.2.1 --random-fully',
      ],
      "AWS_VPC_K8S_CNI_EXTERNALSNAT=true",
    ],
    [
      "Calico",
      [
        "-N cali-nat-outgoing",
        "-A POSTROUTING -j cali-nat-outgoing",
        "-A cali-nat-outgoing -s 10.244.0.0/16 -j MASQUERADE",
      ],
      "natOutgoing: false",
    ],
    [
      "flannel",
      ['-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE'],
      "--ip-masq",
    ],
    [
      "Cilium, also where it only leads packets past ours",
      [
        "-N CILIUM_POST_nat",
        "-A POSTROUTING -j CILIUM_POST_nat",
        "-A CILIUM_POST_nat -s 10.244.1.0/24 -d 192.0.2.7/32 -j ACCEPT",
      ],
      "enable-ipv4-masquerade",
    ],
    [
      "kube-router",
      ["-A POSTROUTING -m set --match-set kube-router-pod-subnets src -j MASQUERADE"],
      "--enable-pod-egress=false",
    ],
    [
      "Antrea",
      [
        "-N ANTREA-POSTROUTING",
        "-A POSTROUTING -j ANTREA-POSTROUTING",
        "-A ANTREA-POSTROUTING -s 10.244.1.0/24 -j MASQUERADE",
      ],
      "noSNAT: true",
    ],
    [
      "a plugin of CNI",
      [
        "-N CNI-0123456789abcdef01234567",
        "-A POSTROUTING -s 10.244.1.2/32 -j CNI-0123456789abcdef01234567",
        "-A CNI-0123456789abcdef01234567 ! -d 224.0.0.0/4 -j MASQUERADE",
      ],
      '"ipMasq"',
    ],
    ["nobody known", ["-A POSTROUTING -o eth0 -j MASQUERADE"], "find who made it"],
  ])("the remedy for %s names its setting", (_name, lines, expected) => {
    const nat = [natTable([...CHAIN_RULES, ...lines, JUMP])];
    const found = diagnose(facts({ nat })).filter(({ severity }) => severity !== "info");
    expect(found.map(({ remedy }) => remedy)).toEqual([expect.stringContaining(expected)]);
  });

  test("for an agent with nftables all rules of iptables are in front", () => {
    const nat = [natTable(["-A POSTROUTING -j MASQUERADE"])];
    expect(said({ settings: NFTABLES, nat, nftables: { value: OWN_TABLE } })).toEqual([
      "error foreign-nat: iptables-nft -t nat: a third-party rule ahead of ours masquerades all traffic regardless of the configuration: -A POSTROUTING -j MASQUERADE",
    ]);
  });
});

describe("chains of nftables", () => {
  const MASQUERADE = { masquerade: null };
  const match = (left: unknown, right: unknown, op = "==") => ({ match: { op, left, right } });
  /** Questions for a socket, which a pod's packet has none of on its way through the node. */
  const SOCKETS: readonly (readonly [string, unknown])[] = [
    ["one user", match({ meta: { key: "skuid" } }, 1000)],
    ["all but one user", { match: { op: "!=", left: { meta: { key: "skuid" } }, right: 1337 } }],
    ["any user", { match: { op: ">=", left: { meta: { key: "skuid" } }, right: 0 } }],
    ["a range of users", match({ meta: { key: "skuid" } }, { range: [0, 4_294_967_294] })],
    ["a group", match({ meta: { key: "skgid" } }, { set: [5, 6] })],
    ["a cgroup", match({ meta: { key: "cgroup" } }, 1)],
    [
      "a user, with a destination",
      match(
        { concat: [{ meta: { key: "skuid" } }, { payload: { protocol: "ip", field: "daddr" } }] },
        { set: [{ concat: [0, "10.1.1.1"] }] },
      ),
    ],
  ];

  const source = (addr: string, len: number, op?: string) =>
    match({ payload: { protocol: "ip", field: "saddr" } }, { prefix: { addr, len } }, op);
  const cameBy = (name: unknown, op?: string) => match({ meta: { key: "iifname" } }, name, op);

  test.each<[string, readonly Hook[], readonly string[]]>([
    ["none", [], []],
    ["one that only accepts", [hook("inet t c", { c: [[{ accept: null }]] }, { priority: 90 })], []],
    [
      "before ours, for everything",
      [hook("inet t c", { c: [[MASQUERADE]] }, { priority: 99 })],
      [
        "error foreign-chain: nftables: chain inet t c (priority 99) is evaluated before ours and masquerades all traffic (IPv4): masquerade",
      ],
    ],
    [
      "before ours, for pods",
      [hook("ip t c", { c: [[source("10.244.0.0", 16), MASQUERADE]] })],
      [
        "warning foreign-chain: nftables: chain ip t c (priority 100) is evaluated before or after ours and masquerades matching traffic (IPv4): ip saddr 10.244.0.0/16 masquerade",
      ],
    ],
    [
      "after ours",
      [hook("inet t c", { c: [[{ snat: { addr: "192.0.2.1" } }]] }, { priority: 200 })],
      [
        "warning foreign-chain: nftables: chain inet t c (priority 200) is evaluated after ours has returned and masquerades all traffic (IPv4): snat 192.0.2.1",
      ],
    ],
    [
      "in a chain that it jumps to",
      [
        hook("inet t c", {
          c: [[{ jump: { target: "x" } }]],
          x: [[{ jump: { target: "y" } }], [{ jump: { target: "z" } }]],
          y: [[{ return: null }], [{ accept: null }]],
          z: [[MASQUERADE]],
        }),
      ],
      [
        "error foreign-chain: nftables: chain inet t c (priority 100) is evaluated before or after ours and masquerades all traffic (IPv4): masquerade",
      ],
    ],
    ["Docker's network", [hook("ip t c", { c: [[source("172.17.0.0", 16), MASQUERADE]] })], []],
    ["what comes in by Docker's bridge", [hook("ip t c", { c: [[cameBy("docker0"), MASQUERADE]] })], []],
    [
      "what comes in by others' bridges",
      [hook("ip t c", { c: [[cameBy({ set: ["docker0", "virbr0"] }), MASQUERADE]] })],
      [],
    ],
    [
      "Docker's map of bridges",
      [
        hook("ip docker-bridges nat-postrouting", {
          "nat-postrouting": [
            [
              {
                vmap: {
                  key: { meta: { key: "iifname" } },
                  data: { set: [["docker0", { jump: { target: "out" } }]] },
                },
              },
            ],
          ],
          out: [[MASQUERADE]],
        }),
      ],
      [],
    ],
    ["marked", [hook("ip t c", { c: [[match({ meta: { key: "mark" } }, 4), MASQUERADE]] })], []],
    ...SOCKETS.map(([name, ask]): [string, readonly Hook[], readonly string[]] => [
      `of a process: ${name}`,
      [hook("ip t c", { c: [[ask, MASQUERADE]] })],
      [],
    ]),
    [
      "of the other family",
      [hook("inet t c", { c: [[match({ meta: { key: "nfproto" } }, "ipv6"), MASQUERADE]] })],
      [],
    ],
  ])("%s", (_name, hooks, expected) => {
    expect(said({ hooks })).toEqual(expected);
  });

  test.each([
    ["inet firewalld nat_POSTROUTING", "--remove-masquerade"],
    ["ip io.systemd.nat postrouting", "IPMasquerade="],
    ["ip flannel-ipv4 postrtg", "--ip-masq"],
    ["inet cni_plugins_masquerade postrouting", '"ipMasq"'],
    ["ip t c", "nft list table ip t"],
  ])("the remedy for %s names its maker's setting", (name, expected) => {
    const hooks = [hook(name, { [name.split(" ")[2] ?? ""]: [[MASQUERADE]] })];
    const found = diagnose(facts({ hooks })).filter(({ severity }) => severity !== "info");
    expect(found.map(({ remedy }) => remedy)).toEqual([expect.stringContaining(expected)]);
  });

  test.each([cameBy("docker0", "!="), cameBy("cni0"), source("172.17.0.0", 16, "!=")])(
    "%j is about pods",
    (asked) => {
      expect(said({ hooks: [hook("ip t c", { c: [[asked, MASQUERADE]] })] })).toEqual([
        expect.stringContaining("warning foreign-chain"),
      ]);
    },
  );
});

describe("iptables' own table with rules of nft in it", () => {
  const own = {
    POSTROUTING: [[{ jump: { target: "IP-MASQ-AGENT" } }]],
    "IP-MASQ-AGENT": [[{ xt: { type: "target", name: "MASQUERADE" } }]],
  };
  test.each<[string, readonly Hook[], string]>([
    ["our rules are in force", [hook("ip nat POSTROUTING", own)], "exist and go on working"],
    ["no jump", [hook("ip nat POSTROUTING", { ...own, POSTROUTING: [] })], "has no jump to it"],
    ["no chain", [hook("ip nat POSTROUTING", { POSTROUTING: [] })], "the agent's rules are not in force"],
    ["not to be read either", [], "is not known"],
  ])("%s", (_name, hooks, expected) => {
    const lines = said({ nat: [], incompatible: ["IPv4"], hooks });
    expect(lines).toEqual([
      expect.stringContaining("warning incompatible-table: table ip nat has rules that were made with nft"),
    ]);
    expect(lines[0]).toContain(expected);
  });

  test("is a note where the agent's rules are not in it", () => {
    const found = diagnose(
      facts({ settings: NFTABLES, nftables: { value: OWN_TABLE }, nat: [], incompatible: ["IPv4"] }),
    ).filter(({ check }) => check === "incompatible-table");
    expect(found.map(({ severity }) => severity)).toEqual(["info"]);
  });

  test.each<[string, Partial<Hook>, string]>([
    ["of another priority", { priority: 101 }, "priority 101"],
    ["of another type", { isNat: false }, "type filter, priority 100"],
  ])("a chain POSTROUTING %s", (_name, odd, how) => {
    const postrouting = { ...hook("ip nat POSTROUTING", { POSTROUTING: [[{ masquerade: null }]] }), ...odd };
    const nat = [natTable(["-N IP-MASQ-AGENT"])];
    const lines = said({ nat, hooks: [postrouting] });
    expect(lines[0]).toBe(
      `error incompatible-table: table ip nat has a chain POSTROUTING that was made with nft (${how}): iptables cannot use it, so that there can be no jump to IP-MASQ-AGENT`,
    );
    // What its rules do is seen all the same.
    expect(lines.slice(1).map((line) => line.split(":")[0])).toEqual(
      odd.isNat === false ? [] : ["warning foreign-chain"],
    );
    const settings = { ...facts().settings, variant: "legacy" } as const;
    const legacy = said({ settings, nat: [], hooks: [postrouting] });
    expect(legacy.join()).not.toContain("incompatible-table");
  });
});

test.each<[readonly string[], readonly string[]]>([
  [["/usr/bin/kubelet", "--v=2"], []],
  [["kubelet", "--non-masquerade-cidr=0.0.0.0/0"], []],
  [
    ["kubelet", "--non-masquerade-cidr=10.0.0.0/8"],
    ["error kubelet-flag: the kubelet runs with --non-masquerade-cidr=10.0.0.0/8"],
  ],
  [
    ["kubelet", "--non-masquerade-cidr", "10.0.0.0/8"],
    ["error kubelet-flag: the kubelet runs with --non-masquerade-cidr=10.0.0.0/8"],
  ],
])("the kubelet's flags: %s", (kubelet, expected) => {
  const { agents = [] } = { agents: [{ pid: 1, chain: "IP-MASQ-AGENT", isOurs: true }] };
  expect(said({ processes: { value: { kubelets: [kubelet], agents } } })).toEqual(expected);
});

test("the CNI's configuration", () => {
  const path = "/etc/cni/net.d/10-x.conflist";
  const file = { path, masquerading: [], ranges: [], isMeta: false };
  expect(said({ cni: { value: [file] } })).toEqual([]);
  expect(said({ cni: { value: [{ ...file, masquerading: ["bridge"] }] } })).toEqual([
    `warning cni-masquerade: ${path}: "ipMasq": true of plugin bridge: the CNI masquerades by itself, regardless of our configuration`,
  ]);
  expect(said({ cni: { value: [{ ...file, fault: "Unexpected token" }] } })).toEqual([
    `warning cni-masquerade: ${path} cannot be read as JSON: Unexpected token`,
  ]);
  expect(said({ cni: { value: undefined } })).toEqual(["info not-seen: there is no CNI directory here"]);
});
