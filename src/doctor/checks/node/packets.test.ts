/** The checks of keys that say whose packets are masqueraded, through which links, and with which addresses. */
import { describe, expect, test } from "vitest";
import { configOf, OPTIONS } from "../../../../test/lab/config.ts";
import { cidr, facts, JUMP, natTable, said } from "../../../../test/lab/doctor.ts";
import { parseAddress } from "../../../core/cidr.ts";
import { compileRuleset, enabledFamilies } from "../../../core/ruleset.ts";
import type { Facts } from "../../facts.ts";
import { iptablesSide } from "../../own/iptables.ts";

const address = (text: string) => parseAddress(text)?.value as bigint;

interface Node {
  /** `ADDRESS/BITS LINK`. */
  readonly addresses?: readonly string[];
  readonly ipv6?: boolean;
}

/** A node with links eth0, docker0 and cni0 (of pods, 10.244.1.0/24), and a configuration. */
function node(
  config: string,
  { addresses = ["192.0.2.1/24 eth0"], ipv6 = false }: Node = {},
): Partial<Facts> {
  const base = facts();
  if (!("value" in base.config) || !("value" in base.links)) throw new Error("unknown");
  const named = addresses.map((text) => {
    const [block = "", link = ""] = text.split(" ");
    const [one = "", bits = "32"] = block.split("/");
    const family = one.includes(":") ? ("IPv6" as const) : ("IPv4" as const);
    const host = BigInt((family === "IPv4" ? 32 : 128) - Number(bits));
    const network = { family, base: (address(one) >> host) << host, bits: Number(bits), text: block };
    return { family, address: address(one), network, link };
  });
  const ofFamily = (family: "IPv4" | "IPv6") =>
    named.filter((one) => one.family === family).map((one) => one.address);
  const options = { ...OPTIONS, enableIPv6: ipv6 };
  const decoded = configOf(config, options);
  const own = { IPv4: ofFamily("IPv4"), IPv6: ofFamily("IPv6") };
  const rulesets = enabledFamilies(options).map((family) => compileRuleset(family, decoded, options, own));
  return {
    config: { value: { ...base.config.value, rulesets, outputAddresses: decoded.outputAddresses } },
    links: {
      value: {
        ...base.links.value,
        own: named.filter(({ link }) => link !== "cni0"),
        addresses: named,
      },
    },
    settings: { ...base.settings, families: enabledFamilies(options) },
    own: iptablesSide,
  };
}

/** What the checks of packets say; the rest of the node is not what these tests are about. */
const ours = (config: string, how?: Node) =>
  said(node(config, how)).filter((line) => / (?:sources|output-[a-z]+): /.test(line));

describe("sources", () => {
  test.each<[string, readonly string[]]>([
    ["masqueradeSourceCIDRs: [10.244.0.0/16]", []],
    ["cidrLimit: 3", []],
    [
      "masqueradeSourceCIDRs: [10.245.0.0/16]",
      [
        "error sources: pods of 10.244.1.0/24 (bridge cni0) are not masqueraded: masqueradeSourceCIDRs has 10.245.0.0/16, not 10.244.1.0/24",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.244.1.0/25]",
      [
        "error sources: pods of 10.244.1.0/24 (bridge cni0) are not masqueraded: masqueradeSourceCIDRs has 10.244.1.0/25, not 10.244.1.128/25",
      ],
    ],
    [
      "nonMasqueradeSourceCIDRs: [10.244.0.0/16]",
      [
        "info sources: pods of 10.244.1.0/24 (bridge cni0) are not masqueraded, as nonMasqueradeSourceCIDRs says",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.244.0.0/16]\nnonMasqueradeSourceCIDRs: [10.244.1.0/25]",
      [
        "info sources: some pods of 10.244.1.0/24 (bridge cni0) are not masqueraded, as nonMasqueradeSourceCIDRs says",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.244.0.0/16, 192.0.2.0/24]",
      [
        "info sources: the node's own 192.0.2.1 is among the sources: its own connections are masqueraded too",
      ],
    ],
    ["nonMasqueradeSourceCIDRs: [10.245.0.0/16]", []],
  ])("%j", (config, expected) => {
    expect(ours(config)).toEqual(expected);
  });
});

test("pods that are known one by one are one finding", () => {
  const config = "masqueradeSourceCIDRs: [10.245.0.0/16]";
  const { links, ...rest } = node(config);
  if (links === undefined || !("value" in links)) throw new Error("unknown");
  const networks = ["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"].map((text) => ({
    cidr: cidr(`${text}/32`),
    from: "route to cali1",
    isLocal: true,
  }));
  const found = said({ ...rest, links: { value: { ...links.value, networks } } });
  expect(found.filter((line) => line.includes(" sources: "))).toEqual([
    "error sources: pods with 10.9.0.1/32, 10.9.0.2/32, 10.9.0.3/32 and 1 more (route to cali1) are not masqueraded: masqueradeSourceCIDRs has 10.245.0.0/16, not 10.9.0.1/32, 10.9.0.2/32, 10.9.0.3/32 and 1 more",
  ]);
});

describe("output-interfaces", () => {
  test.each<[string, readonly string[]]>([
    ["outputInterfaces: [eth0]", []],
    ["outputInterfaces: [eth+, docker0]", []],
    [
      "outputInterfaces: [eth0, bond+]",
      [
        "warning output-interfaces: outputInterfaces names bond+, but no link of this node has that name, so that nothing is masqueraded there",
      ],
    ],
    [
      "outputInterfaces: [eth1]",
      [
        "warning output-interfaces: outputInterfaces names eth1, but no link of this node has that name, so that nothing is masqueraded",
      ],
    ],
  ])("%j", (config, expected) => {
    expect(ours(config)).toEqual(expected);
  });
});

const LIST = "outputAddresses: [192.0.2.0/24, 198.51.100.0/24, 10.244.0.0/16]";
const BOTH = LIST.replace("]", ", 'fc00::/7', '2001:db8::/32']");

describe("output-addresses", () => {
  test.each<[string, Node, readonly string[]]>([
    ["the address of the way out", {}, []],
    ["a second one in its network", { addresses: ["192.0.2.1/24 eth0", "192.0.2.9/24 docker0"] }, []],
    [
      "none",
      { addresses: ["203.0.113.1/24 eth0"] },
      [
        "warning output-addresses: IPv4: this node has no address in outputAddresses, so that packets leave with the address that the kernel chooses",
      ],
    ],
    [
      "one of pods' bridge",
      { addresses: ["192.0.2.1/24 eth0", "10.244.1.1/24 cni0"] },
      [
        "warning output-addresses: 10.244.1.1 in outputAddresses is on cni0, to which pods are attached: the network outside does not know it",
      ],
    ],
    [
      "one of another link",
      { addresses: ["203.0.113.1/24 eth0", "198.51.100.7/24 docker0"] },
      [
        "warning output-addresses: 198.51.100.7 in outputAddresses (on docker0, 198.51.100.0/24) is in no network of eth0, through which packets leave: replies may not come back",
      ],
    ],
    [
      "one on lo, which routers announce",
      { addresses: ["203.0.113.1/24 eth0", "198.51.100.7/32 lo"] },
      [
        "info output-addresses: 198.51.100.7 in outputAddresses (on lo, 198.51.100.7/32) is in no network of eth0, through which packets leave: replies come only if the network outside routes it to this node",
      ],
    ],
    [
      "unique local beside global ones",
      { addresses: ["192.0.2.1/24 eth0", "fd00::1/64 eth0", "2001:db8::1/64 eth0"], ipv6: true },
      [
        "warning output-addresses: IPv6: of 2 addresses in outputAddresses, 1 are unique local (fc00::/7), from which nothing outside answers",
      ],
    ],
  ])("%s", (_name, how, expected) => {
    expect(ours(how.ipv6 ? BOTH : LIST, how)).toEqual(expected);
  });

  test("a link that outputInterfaces leaves out is no way out", () => {
    const how = { addresses: ["203.0.113.1/24 eth0", "198.51.100.7/24 docker0"] };
    expect(ours(`${LIST}\noutputInterfaces: [docker0]`, how)).toEqual([]);
  });
});

describe("the end of our rules is what the configuration makes it", () => {
  const chain = (...rules: string[]) =>
    natTable(["-N IP-MASQ-AGENT", ...rules.map((rule) => `-A IP-MASQ-AGENT ${rule}`), JUMP]);
  const SCOPED = "-s 10.244.0.0/16 -o eth0 -j MASQUERADE";
  const SNAT = "-s 10.244.0.0/16 -j SNAT --to-source 192.0.2.1";
  const SCOPE = "masqueradeSourceCIDRs: [10.244.0.0/16]";

  test.each<[string, string, boolean]>([
    [SCOPE, SCOPED, true],
    ["cidrLimit: 3", SCOPED, false],
    ["cidrLimit: 3", SNAT, false],
    ["cidrLimit: 3", "-j MASQUERADE", true],
    [`${SCOPE}\noutputAddresses: [192.0.2.0/24]`, SNAT, true],
    [`${SCOPE}\noutputAddresses: [192.0.2.0/24]`, SCOPED, false],
    [SCOPE, SNAT, false],
    [SCOPE, "-s 10.244.0.0/16 -j RETURN", false],
  ])("%j and %j", (config, rule, isWhole) => {
    const found = said({ ...node(config), nat: [chain(rule)] }).filter((line) => line.includes("own-chain"));
    expect(found).toEqual(isWhole ? [] : [expect.stringContaining("error own-chain: ")]);
  });
});
