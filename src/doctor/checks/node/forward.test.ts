import { describe, expect, test } from "vitest";
import { type Changes, cidr, dumpHooks, facts, said } from "../../../../test/lab/doctor.ts";
import { known } from "../../../system/fact.ts";

/** A dump without the table nat is refused. */
const NO_NAT = "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n";

function forwardOf(changes: Changes): readonly string[] {
  return said(changes).flatMap((line) => (/^\w+ forward: /.test(line) ? line.replace(" forward:", "") : []));
}

/** The findings of `forward` beside the rules of a table filter; pods of 10.244.1.0/24 come in by cni0. */
function beside(policy: string, rules: readonly string[], links?: Changes["links"]): readonly string[] {
  const lines = ["*filter", `:FORWARD ${policy} [0:0]`, ":X - [0:0]", ...rules, "COMMIT", NO_NAT];
  return forwardOf({ hooks: dumpHooks(lines.join("\n")), ...(links === undefined ? {} : { links }) });
}

const WHAT =
  "warning new connections of pods (10.244.1.0/24, bridge cni0) to other networks are dropped (IPv4): iptables -t filter";

test.each<[string, readonly string[], readonly string[]]>([
  ["a policy", ["DROP"], [`${WHAT}: the policy of chain FORWARD`]],
  [
    "a policy, with replies let through",
    ["DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    [`${WHAT}: the policy of chain FORWARD`],
  ],
  [
    "a policy, with Docker's bridge let through",
    ["DROP", "-A FORWARD -i docker0 -j ACCEPT"],
    [`${WHAT}: the policy of chain FORWARD`],
  ],
  ["a policy, with pods let through (flannel)", ["DROP", "-A FORWARD -s 10.244.0.0/16 -j ACCEPT"], []],
  [
    "a policy, with marked packets let through",
    ["DROP", "-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT"],
    [`${WHAT}: the policy of chain FORWARD`],
  ],
  [
    "a DROP",
    ["ACCEPT", "-A FORWARD -s 10.244.0.0/16 -j DROP"],
    [`${WHAT}, chain FORWARD: -s 10.244.0.0/16 -j DROP`],
  ],
  [
    "a REJECT in a chain (firewalld)",
    ["ACCEPT", "-A FORWARD -j X", "-A X -j REJECT --reject-with icmp-admin-prohibited"],
    [`${WHAT}, chain X: -j REJECT --reject-with icmp-admin-prohibited`],
  ],
  ["a DROP of INVALID", ["ACCEPT", "-A FORWARD -m conntrack --ctstate INVALID -j DROP"], []],
  ["a DROP of one pod", ["ACCEPT", "-A FORWARD -s 10.244.1.7/32 -j DROP"], []],
  ["a DROP of one destination", ["ACCEPT", "-A FORWARD -d 10.1.0.0/16 -j DROP"], []],
  ["a DROP of Docker's isolation", ["ACCEPT", "-A FORWARD -i docker0 ! -o docker0 -j DROP"], []],
  ["a DROP that depends on a set", ["ACCEPT", "-A FORWARD -m set --match-set x src -j DROP"], []],
])("%s", (_name, [policy = "", ...rules], expected) => {
  expect(beside(policy, rules)).toEqual(expected);
});

describe("where each pod has a link of its own", () => {
  const links = known(facts().links);
  if (links === undefined) throw new Error("no links");
  const pods = (...names: readonly string[]) => ({
    value: {
      ...links,
      networks: names.map((name, i) => ({
        cidr: cidr(`10.244.1.${i + 5}/32`),
        from: `route to ${name}`,
        isLocal: true,
        podLink: name,
      })),
    },
  });
  const OWN =
    "warning new connections of pods (10.244.1.5/32, route to cali1) to other networks are dropped (IPv4): ";
  const DISPATCH = [":W - [0:0]", "-A FORWARD -i cali+ -j W", "-A W -i cali1 -g X", "-A W -j DROP"];
  test.each<[string, readonly string[], readonly string[]]>([
    ["a policy is for all", ["DROP"], [`${OWN}iptables -t filter: the policy of chain FORWARD`]],
    [
      "a policy, with others let through",
      [
        "DROP",
        "-A FORWARD -i docker0 -j ACCEPT",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      ],
      [`${OWN}iptables -t filter: the policy of chain FORWARD`],
    ],
    [
      "a base chain's last rule (iptables-services)",
      ["ACCEPT", "-A FORWARD -j REJECT --reject-with icmp-host-prohibited"],
      [`${OWN}iptables -t filter, chain FORWARD: -j REJECT --reject-with icmp-host-prohibited`],
    ],
    [
      "a policy, with kube-proxy's mark let through",
      ["DROP", "-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT"],
      [`${OWN}iptables -t filter: the policy of chain FORWARD`],
    ],
    [
      "a policy, with a mark let through that no rule sets",
      ["DROP", "-A FORWARD -m mark --mark 0x3000000/0x3000000 -j ACCEPT"],
      [],
    ],
    [
      "a policy, with a mark let through that rules clear",
      [
        "DROP",
        "-A FORWARD -j MARK --set-xmark 0x0/0xf0000",
        "-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT",
      ],
      [`${OWN}iptables -t filter: the policy of chain FORWARD`],
    ],
    ["a policy, with pods let through", ["DROP", "-A FORWARD -i cali+ -j ACCEPT"], []],
    [
      "a policy, with pods let through by their addresses",
      ["DROP", "-A FORWARD -s 10.244.0.0/16 -j ACCEPT"],
      [],
    ],
    ["a network policy in a chain", ["DROP", ...DISPATCH, "-A X -j DROP"], []],
    ["one pod's drop", ["ACCEPT", "-A FORWARD -i cali1 -j DROP"], []],
    ["one pod's drop, by its address", ["ACCEPT", "-A FORWARD -s 10.244.1.5/32 -j DROP"], []],
  ])("%s", (_name, [policy = "", ...rules], expected) => {
    expect(beside(policy, rules, pods("cali1", "cali2"))).toEqual(expected);
  });

  test("no pod, no finding", () => {
    expect(beside("DROP", [], pods())).toEqual([]);
  });
});

test("no default route, of the families that are enabled", () => {
  const links = known(facts().links);
  if (links === undefined) throw new Error("no links");
  const without = (...families: readonly ("IPv4" | "IPv6")[]) => ({
    links: { value: { ...links, uplinks: links.uplinks.filter(({ family }) => !families.includes(family)) } },
  });
  expect(forwardOf(without("IPv6"))).toEqual([]);
  expect(forwardOf(without("IPv4"))).toEqual([
    expect.stringMatching(/^warning there is no default route \(IPv4\)/),
  ]);
  const settings = { ...facts().settings, families: ["IPv4", "IPv6"] as const };
  expect(forwardOf({ ...without("IPv6"), settings })).toEqual([
    expect.stringMatching(/^warning there is no default route \(IPv6\)/),
  ]);
  expect(forwardOf({ links: { unknown: "links", why: "no" } })).toEqual([]);
});

test("a link that does not forward, unless none does", () => {
  const linkSettings = [
    { name: "cni0", family: "IPv4", forwarding: "0", rpFilter: "0" },
    { name: "cni0", family: "IPv6", forwarding: "0", rpFilter: undefined },
    { name: "eth0", family: "IPv4", forwarding: "1", rpFilter: "1" },
  ] as const;
  expect(forwardOf({ linkSettings })).toEqual([
    "warning net.ipv4.conf.cni0.forwarding is 0: the node drops packets that come in by cni0 for other hosts",
  ]);
  const { sysctls } = facts();
  const off = { ...sysctls, "net.ipv4.ip_forward": { value: "0" } };
  expect(forwardOf({ linkSettings, sysctls: off })).toEqual([]);
});

test.each<[string, readonly string[], string, number]>([
  ["strict, several", ["eth0", "eth1"], "1", 1],
  ["strict, one", ["eth0"], "1", 0],
  ["loose, several", ["eth0", "eth1"], "2", 0],
])("rp_filter that is %s uplinks", (_name, names, rpFilter, found) => {
  const links = known(facts().links);
  if (links === undefined) throw new Error("no links");
  const uplinks = names.map((name) => ({ family: "IPv4" as const, name }));
  const linkSettings = [{ name: "eth0", family: "IPv4" as const, forwarding: "1", rpFilter }];
  const lines = forwardOf({ links: { value: { ...links, uplinks } }, linkSettings });
  expect(lines.filter((line) => line.startsWith("info rp_filter of eth0 is strict"))).toHaveLength(found);
});
