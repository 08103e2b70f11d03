import { describe, expect, test } from "vitest";
import { cidr } from "../../test/lab/doctor.ts";
import type { ObservedLink } from "../route/rtnetlink.ts";
import { learnPods, type Network, networkCidr, type Route, widestNetworks } from "./pod-networks.ts";

/** `NAME KIND [of MASTER]`, in the order of their indexes; `-` is hardware. */
function links(...texts: readonly string[]): readonly ObservedLink[] {
  const names = texts.map((text) => text.split(" ")[0]);
  return texts.map((text, i) => {
    const [name = "", kind, , master] = text.split(" ");
    const at = names.indexOf(master);
    return { index: i + 1, name, kind: kind === "-" ? undefined : kind, master: at < 0 ? undefined : at + 1 };
  });
}

/** Addresses as `LINK ADDRESS/BITS`, routes as `CIDR [via] [LINK] [type or protocol]`. */
function network(
  all: readonly ObservedLink[],
  addresses: readonly string[],
  routes: readonly string[] = [],
): Network {
  const indexOf = (name: string) => all.find((link) => link.name === name)?.index;
  return {
    links: all,
    addresses: addresses.map((text) => {
      const [link = "", value = ""] = text.split(" ");
      const [address = "", bits] = value.split("/");
      const { family, base } = cidr(`${address}/${address.includes(":") ? 128 : 32}`);
      return { link: indexOf(link) ?? 0, address: base, network: networkCidr(family, base, Number(bits)) };
    }),
    routes: routes.map((text): Route => {
      const words = text.split(" ");
      return {
        cidr: cidr(words[0] ?? ""),
        type: words.includes("blackhole") ? "blackhole" : "unicast",
        link: words.map(indexOf).find((index) => index !== undefined),
        hasGateway: words.includes("via"),
        isMain: !words.includes("other-table"),
        isKernels: words.includes("kernel"),
      };
    }),
  };
}

const UPLINK = "0.0.0.0/0 via eth0";

describe("what links, addresses and routes tell of pods", () => {
  test.each<[string, Network, readonly string[]]>([
    ["nothing", network(links("lo -", "eth0 -"), ["lo 127.0.0.1/8", "eth0 192.0.2.1/24"], [UPLINK]), []],
    [
      "a bridge of a CNI, both families",
      network(
        links("eth0 -", "cni0 bridge", "veth1 veth of cni0"),
        ["cni0 10.244.1.1/24", "cni0 fd00:244::1/64", "cni0 fe80::1/64"],
        [UPLINK],
      ),
      ["10.244.1.0/24 bridge cni0 local", "fd00:244::/64 bridge cni0 local"],
    ],
    [
      "a veth to a router, with its network and what is beyond it",
      network(
        links("eth0 -", "world veth", "veth1 veth"),
        ["world 198.18.255.1/30", "world 2001:db8:1::1/64", "veth1 10.244.0.1/32"],
        [UPLINK, "198.51.100.77/32 via world", "2001:db8:2::/48 via world", "10.244.0.5/32 veth1"],
      ),
      ["10.244.0.5/32 route to veth1 local"],
    ],
    [
      "a pod's veth through which a network beyond the pod is routed",
      network(links("cali1 veth"), [], ["10.244.0.5/32 cali1", "10.9.0.0/16 via cali1"]),
      ["10.244.0.5/32 route to cali1 local"],
    ],
    ["a bridge without pods", network(links("cni0 bridge"), ["cni0 10.244.1.1/24"]), []],
    [
      "bridges of others",
      network(
        links(
          "docker0 bridge",
          "v1 veth of docker0",
          "br-0123456789ab bridge",
          "v2 veth of br-0123456789ab",
          "virbr0 bridge",
          "v3 veth of virbr0",
          "podman1 bridge",
          "v4 veth of podman1",
          "lxdbr0 bridge",
          "v5 veth of lxdbr0",
        ),
        [
          "docker0 172.17.0.1/16",
          "br-0123456789ab 172.18.0.1/16",
          "virbr0 192.168.122.1/24",
          "podman1 10.89.0.1/24",
          "lxdbr0 10.1.0.1/24",
        ],
      ),
      [],
    ],
    [
      "a bridge that the node's own network is on",
      network(
        links("eth0 - of br0", "br0 bridge", "v1 veth of br0"),
        ["br0 192.0.2.1/24"],
        ["0.0.0.0/0 via br0"],
      ),
      [],
    ],
    [
      "the same without a default route by it",
      network(links("eth1 bond of br1", "br1 bridge", "v1 veth of br1"), ["br1 198.51.100.1/24"]),
      [],
    ],
    [
      "a link to a pod with a network of its own",
      network(links("vpod veth"), ["vpod 10.244.1.1/24"]),
      ["10.244.1.0/24 veth vpod local"],
    ],
    [
      "a node that is itself a container",
      network(
        links("eth0 veth", "eth1 veth", "uplink veth"),
        ["eth0 172.18.0.2/16", "eth1 172.19.0.2/16", "uplink 10.9.0.2/24"],
        ["0.0.0.0/0 via uplink"],
      ),
      [],
    ],
    [
      "routes to pods, one by one (AWS, GKE, kindnet)",
      network(
        links("eni1 veth", "eni2 netkit"),
        ["eni1 10.0.3.1/32"],
        ["10.0.3.12/32 eni1", "10.0.3.13/32 eni2", "fd00::12/128 eni1"],
      ),
      [
        "10.0.3.12/32 route to eni1 local",
        "10.0.3.13/32 route to eni2 local",
        "fd00::12/128 route to eni1 local",
      ],
    ],
    [
      "routes to pods within a block (Calico)",
      network(
        links("eth0 -", "cali1 veth", "tunl0 ipip"),
        ["tunl0 192.168.35.64/32"],
        [UPLINK, "192.168.35.65/32 cali1", "192.168.35.64/26 blackhole", "192.168.36.0/26 via tunl0"],
      ),
      [
        "192.168.35.64/26 blackhole route around the route to cali1 local",
        "192.168.36.0/26 route into tunl0",
      ],
    ],
    [
      "flannel",
      network(
        links("eth0 -", "flannel.1 vxlan"),
        ["flannel.1 10.244.1.0/32"],
        [UPLINK, "10.244.2.0/24 via flannel.1", "10.244.3.0/24 via flannel.1"],
      ),
      ["10.244.2.0/24 route into flannel.1", "10.244.3.0/24 route into flannel.1"],
    ],
    [
      "Cilium",
      network(
        links("eth0 -", "cilium_host veth", "cilium_net veth", "lxc1 veth"),
        ["cilium_host 10.0.1.5/32"],
        [
          UPLINK,
          "10.0.1.5/32 cilium_host kernel",
          "10.0.1.0/24 via cilium_host kernel",
          "10.0.2.0/24 via cilium_host kernel",
          "0.0.0.0/0 via cilium_host other-table",
        ],
      ),
      ["10.0.1.0/24 route into cilium_host local", "10.0.2.0/24 route into cilium_host"],
    ],
    [
      "Antrea",
      network(
        links(
          "eth0 -",
          "ovs-system openvswitch",
          "antrea-gw0 openvswitch",
          "nginx-1a2b3c veth of ovs-system",
        ),
        ["antrea-gw0 10.244.1.1/24", "antrea-gw0 fd00:244:1::1/64"],
        [UPLINK, "10.244.1.0/24 antrea-gw0 kernel", "10.244.2.0/24 via antrea-gw0"],
      ),
      ["10.244.1.0/24 openvswitch antrea-gw0 local", "fd00:244:1::/64 openvswitch antrea-gw0 local"],
    ],
    [
      "OVN-Kubernetes",
      network(
        links("br-ex openvswitch", "ovn-k8s-mp0 openvswitch", "br-int openvswitch"),
        ["br-ex 192.0.2.10/24", "ovn-k8s-mp0 10.128.0.2/23"],
        ["0.0.0.0/0 via br-ex", "10.128.0.0/14 via ovn-k8s-mp0", "10.128.0.0/23 ovn-k8s-mp0 kernel"],
      ),
      ["10.128.0.0/23 openvswitch ovn-k8s-mp0 local"],
    ],
    [
      "tunnels that are no pods'",
      network(
        links("wg0 wireguard", "vxlan9 vxlan"),
        ["wg0 10.100.0.1/24", "vxlan9 10.101.0.1/24"],
        [
          "10.100.0.0/24 wg0 kernel",
          "192.168.50.0/24 wg0",
          "10.101.0.0/24 vxlan9 kernel",
          "0.0.0.0/1 vxlan9",
        ],
      ),
      [],
    ],
  ])("%s", (_name, seen, expected) => {
    const { networks } = learnPods(seen);
    expect(
      networks.map(({ cidr: { text }, from, isLocal }) => `${text} ${from}${isLocal ? " local" : ""}`),
    ).toEqual(expected);
  });

  test("which links pods' packets come in by, and the networks of the others", () => {
    const { links: ways, others } = learnPods(
      network(
        links("eth0 -", "cni0 bridge", "veth1 veth of cni0", "docker0 bridge", "veth2 veth of docker0"),
        ["eth0 192.0.2.1/24", "cni0 10.244.1.1/24", "docker0 172.17.0.1/16"],
        [UPLINK],
      ),
    );
    expect(Object.fromEntries(ways)).toEqual({
      eth0: false,
      cni0: true,
      veth1: true,
      docker0: false,
      veth2: false,
    });
    expect(others.map(({ text }) => text)).toEqual(["192.0.2.0/24", "172.17.0.0/16"]);
  });
});

test("the widest network replaces those in it", () => {
  const of = (text: string) => ({ cidr: cidr(text), from: text, isLocal: true });
  const all = ["10.244.1.0/24", "10.9.0.0/16", "10.244.0.0/16", "10.244.0.0/16", "fd00::/64"].map(of);
  expect(widestNetworks(all).map(({ from }) => from)).toEqual(["10.9.0.0/16", "10.244.0.0/16", "fd00::/64"]);
});
