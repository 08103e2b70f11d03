import { describe, expect, test } from "vitest";
import { CHAIN_RULES, facts, JUMP, natTable, nftChain, OWN_TABLE, said } from "../../test/support/doctor.ts";
import type { NftChain } from "./doctor-facts.ts";

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

/** What is said of rules of others in front of ours, without what doctor says of where it looked. */
function inFront(...lines: readonly string[]): readonly string[] {
  return said({ nat: [natTable([...CHAIN_RULES, ...lines, JUMP])] }).map((line) =>
    line.replace(": iptables-nft -t nat", "").replace(", whatever the configuration says", ""),
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

  test("a chain IP-MASQ, in use and not", () => {
    const chain = ["-N IP-MASQ", "-A IP-MASQ -d 10.0.0.0/8 -j RETURN", "-A IP-MASQ -j MASQUERADE"];
    const jump = "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ";
    expect(inFront(...chain)).toEqual(["warning old-chain: chain IP-MASQ is left, unused"]);
    expect(inFront(...chain, jump)).toEqual([
      "warning old-chain: chain IP-MASQ of an older setup masquerades too",
    ]);
    const own = { ...facts().settings, chain: "IP-MASQ" };
    expect(said({ settings: own, nat: [natTable([...chain, jump])] })).toEqual([]);
  });

  test("others' masquerading, in front, behind, for some, for all, in chains", () => {
    expect(inFront("-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")).toEqual([
      "warning foreign-nat: a rule of others in front of ours masquerades what it matches: -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    ]);
    expect(
      inFront("-A POSTROUTING -j SNAT --to-source 192.0.2.9").filter((line) => /foreign/.test(line)),
    ).toEqual([
      "error foreign-nat: a rule of others in front of ours masquerades everything: -A POSTROUTING -j SNAT --to-source 192.0.2.9",
    ]);
    const chain = [
      "-N CNI-1",
      "-A CNI-1 -d 10.88.0.0/16 -j ACCEPT",
      "-A CNI-1 ! -d 224.0.0.0/4 -j MASQUERADE",
    ];
    expect(inFront(...chain, "-A POSTROUTING -s 10.88.0.2/32 -j CNI-1")).toEqual([
      'warning foreign-nat: a rule of others in front of ours masquerades what it matches: -A CNI-1 ! -d 224.0.0.0/4 -j MASQUERADE, reached by "-A POSTROUTING -s 10.88.0.2/32 -j CNI-1"',
    ]);
    expect(said({ nat: [natTable([...CHAIN_RULES, JUMP, "-A POSTROUTING -o eth0 -j MASQUERADE"])] })).toEqual(
      [
        "warning foreign-nat: iptables-nft -t nat: a rule of others behind ours masquerades what it matches, whatever the configuration says: -A POSTROUTING -o eth0 -j MASQUERADE",
      ],
    );
  });

  test("for an agent with nftables all rules of iptables are in front", () => {
    const nat = [natTable(["-A POSTROUTING -j MASQUERADE"])];
    expect(said({ settings: NFTABLES, nat, nftables: { value: OWN_TABLE } })).toEqual([
      "error foreign-nat: iptables-nft -t nat: a rule of others in front of ours masquerades everything, whatever the configuration says: -A POSTROUTING -j MASQUERADE",
    ]);
  });
});

describe("chains of nftables", () => {
  const MASQUERADE = { action: { kind: "masquerade" }, unconditional: true } as const;
  const JUMP_X = { action: { kind: "jump", to: "x" }, unconditional: true } as const;
  test.each<[string, readonly NftChain[], readonly string[]]>([
    ["none", [], []],
    [
      "one that only accepts",
      [nftChain("inet t c", 90, [{ action: { kind: "other" }, unconditional: true }])],
      [],
    ],
    ["kube-proxy's", [nftChain("ip kube-proxy nat-postrouting", 100, [MASQUERADE])], []],
    [
      "before ours, for everything",
      [nftChain("inet t c", 99, [MASQUERADE])],
      [
        "error foreign-chain: nftables: chain inet t c (priority 99) is asked before ours and masquerades everything",
      ],
    ],
    [
      "before ours, for some",
      [nftChain("ip t c", 100, [{ ...MASQUERADE, unconditional: false }])],
      ["warning foreign-chain: nftables: chain ip t c (priority 100) is asked before ours and masquerades"],
    ],
    [
      "after ours",
      [nftChain("inet t c", 200, [{ action: { kind: "nat" }, unconditional: true }])],
      [
        "warning foreign-chain: nftables: chain inet t c (priority 200) is asked after ours has returned and masquerades everything",
      ],
    ],
    [
      "in a chain that it jumps to",
      [nftChain("inet t c", 99, [JUMP_X]), nftChain("inet t x", undefined, [JUMP_X, MASQUERADE])],
      [
        "error foreign-chain: nftables: chain inet t c (priority 99) is asked before ours and masquerades everything",
      ],
    ],
    [
      "in a chain of another table",
      [nftChain("inet t c", 99, [JUMP_X]), nftChain("inet u x", undefined, [MASQUERADE])],
      [],
    ],
  ])("%s", (_name, chains, expected) => {
    expect(said({ nftables: { value: { chains, own: undefined } } })).toEqual(expected);
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
  const { agents = [] } = { agents: [{ pid: 1, chain: "IP-MASQ-AGENT" }] };
  expect(said({ processes: { value: { kubelets: [kubelet], agents } } })).toEqual(expected);
});

test("the CNI's configuration", () => {
  const path = "/etc/cni/net.d/10-x.conflist";
  expect(said({ cni: { value: [{ path, masquerading: [] }] } })).toEqual([]);
  expect(said({ cni: { value: [{ path, masquerading: ["bridge"] }] } })).toEqual([
    `warning cni-masquerade: ${path}: "ipMasq": true of plugin bridge: the CNI masquerades by itself, whatever our configuration says`,
  ]);
  expect(said({ cni: { value: [{ path, masquerading: [], fault: "Unexpected token" }] } })).toEqual([
    `warning cni-masquerade: ${path} cannot be read as JSON: Unexpected token`,
  ]);
  expect(said({ cni: { value: undefined } })).toEqual(["info not-seen: there is no CNI directory here"]);
});
