/** The keys that say which packets are ours, and with which addresses they leave: what they accept, and each kind of mistake by its place and name. */
import { describe, expect, test } from "vitest";
import { configOf, decodeText, problemLines, rulesetOf } from "../../test/lab/config.ts";
import { FAMILIES } from "./cidr.ts";
import { decodeConfig } from "./config.ts";
import { PACKET_LISTS } from "./keys.ts";

const V6 = { enableIPv6: true };

const problems = (text: string, options = {}): string[] => {
  const decoded = decodeText(text, options);
  return decoded.ok ? [] : problemLines(decoded.problems);
};
const warnings = (text: string, options = {}): string[] => {
  const decoded = decodeText(text, options);
  return decoded.ok ? problemLines(decoded.value.warnings) : ["(refused)"];
};

describe("keys that are not set change nothing", () => {
  const values = ["", "null", "[]"];
  const texts = [
    ...PACKET_LISTS.flatMap((key) => values.map((value) => `${key}: ${value}\n`)),
    "outputAddressBy:\n",
  ];

  test.each([...texts, texts.join("")])("%j", (text) => {
    for (const family of FAMILIES) {
      expect(rulesetOf(family, text, V6)).toEqual(rulesetOf(family, "", V6));
      expect(rulesetOf(family, text, V6)).not.toHaveProperty("scope");
    }
    expect(problems(text, V6)).toEqual([]);
  });
});

test("what is listed is in the ruleset of its family, as written", () => {
  const text = `
masqueradeSourceCIDRs: [10.244.0.0/16, fd00:244::/32]
NONMASQUERADESOURCECIDRS: [10.244.128.0/20]
outputInterfaces: [eth0, bond+, eth0]
`;
  const scopes = FAMILIES.map((family) => {
    const { sources = [], interfaces } = rulesetOf(family, text, V6).scope ?? {};
    return [sources.map(({ cidr, isOurs }) => `${isOurs ? "+" : "-"}${cidr.text}`), interfaces];
  });
  expect(scopes).toEqual([
    [
      ["+10.244.0.0/16", "-10.244.128.0/20"],
      ["eth0", "bond+"],
    ],
    [["+fd00:244::/32"], ["eth0", "bond+"]],
  ]);
});

test("a repeated key is applied again, and a null clears it", () => {
  const text = "masqueradeSourceCIDRs: [10.0.0.0/8]\nmasqueradesourcecidrs: null\n";
  expect(configOf(text).masqueradeSourceCIDRs).toEqual([]);
});

test("addresses that the node has, and no others, are in the ruleset of their family", () => {
  const text = "outputAddresses: [192.0.2.0/24, 198.51.100.7, '2001:db8::/64']\noutputAddressBy: flow";
  const own = { IPv4: [0xc0000209n, 0xc0000202n, 0x0a000001n], IPv6: [0xfdn << 120n] };
  const pools = FAMILIES.map((family) => rulesetOf(family, text, V6, own).masquerade.pool);
  expect(pools).toEqual([{ addresses: [0xc0000202n, 0xc0000209n], by: "flow" }, undefined]);
  expect(rulesetOf("IPv4", text, V6).masquerade).not.toHaveProperty("pool");
});

describe("problems", () => {
  test.each<[text: string, lines: string[]]>([
    [
      "outputAddresses: [192.0.2.10/24, x, 0.0.0.0/0, 0.1.2.3, 127.0.0.0/16, 169.254.1.1, 239.0.0.1]",
      [
        'f:1:19: outputAddresses[0]: "192.0.2.10/24" has host bits',
        'f:1:34: outputAddresses[1]: "x" is not an address or a CIDR',
        'f:1:37: outputAddresses[2]: "0.0.0.0/0" covers every IPv4 address',
        'f:1:48: outputAddresses[3]: "0.1.2.3" is within 0.0.0.0/8 (this network): packets do not leave a node with that',
        'f:1:57: outputAddresses[4]: "127.0.0.0/16" is within 127.0.0.0/8 (loopback): packets do not leave a node with that',
        'f:1:71: outputAddresses[5]: "169.254.1.1" is within 169.254.0.0/16 (link-local): packets do not leave a node with that',
        'f:1:84: outputAddresses[6]: "239.0.0.1" is within 224.0.0.0/4 (multicast): packets do not leave a node with that',
      ],
    ],
    [
      "outputAddresses: ['::/0', '::1', '::', 'fe80::1', 'ff02::1', '::ffff:192.0.2.1', 192.0.2.0/024]",
      [
        'f:1:19: outputAddresses[0]: "::/0" covers every IPv6 address',
        'f:1:27: outputAddresses[1]: "::1" is within ::1/128 (loopback): packets do not leave a node with that',
        'f:1:34: outputAddresses[2]: "::" is within ::/128 (unspecified): packets do not leave a node with that',
        'f:1:40: outputAddresses[3]: "fe80::1" is within fe80::/10 (link-local): packets do not leave a node with that',
        'f:1:51: outputAddresses[4]: "ff02::1" is within ff00::/8 (multicast): packets do not leave a node with that',
        'f:1:62: outputAddresses[5]: "::ffff:192.0.2.1" is read in different ways: write 192.0.2.1/32',
        'f:1:82: outputAddresses[6]: "192.0.2.0/024" is read in different ways: write 192.0.2.0/24',
      ],
    ],
    [
      "outputAddresses: ['2001:db8::1']",
      [
        "f:1:19: outputAddresses[0]: ipv6 is not enabled, but ipv6 address 2001:db8::1 provided. Enable ipv6 using --enable-ipv6 agent flag",
      ],
    ],
    [
      "outputAddresses: 192.0.2.1",
      ["f:1:18: outputAddresses: must be a list of addresses or CIDRs, not a string"],
    ],
    ["outputAddressBy: Pod", ['f:1:18: outputAddressBy: must be pod or flow, not "Pod"']],
    ["outputAddressBy: [pod]", ["f:1:18: outputAddressBy: must be pod or flow, not an array"]],
    [
      "masqueradeSourceCIDRs: [10.244.0.1/16]",
      [
        'f:1:25: masqueradeSourceCIDRs[0]: CIDR "10.244.0.1/16" is not aligned to a CIDR block, ip: "10.244.0.1" network: "10.244.0.0/16"',
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.244.0.1]",
      ['f:1:25: masqueradeSourceCIDRs[0]: CIDR "10.244.0.1" could not be parsed, invalid CIDR address'],
    ],
    [
      "nonMasqueradeSourceCIDRs: ['fd00::/8']",
      [
        "f:1:28: nonMasqueradeSourceCIDRs[0]: ipv6 is not enabled, but ipv6 cidr fd00::/8 provided. Enable ipv6 using --enable-ipv6 agent flag",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.0.0.0/08]\nnonMasqueradeSourceCIDRs: ['::ffff:10.1.0.0/112']",
      [
        "f:1:25: masqueradeSourceCIDRs[0]: write 10.0.0.0/8 instead of 10.0.0.0/08, which iptables reads differently",
        "f:2:28: nonMasqueradeSourceCIDRs[0]: write 10.1.0.0/16 instead of ::ffff:10.1.0.0/112, which iptables reads differently",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.0.0.0/8, 10.244.0.0/16]\nnonMasqueradeSourceCIDRs: [10.244.0.0/16]",
      [
        "f:2:28: nonMasqueradeSourceCIDRs[0]: 10.244.0.0/16 is also in masqueradeSourceCIDRs (as 10.244.0.0/16): it cannot be both",
      ],
    ],
    ["nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeSourceCIDRs: [10.0.0.0/8]", []],
    [
      "masqueradeSourceCIDRs: 10.0.0.0/8",
      ["f:1:24: masqueradeSourceCIDRs: must be a list of CIDRs, not a string"],
    ],
    [
      "masqueradeSourceCIDRs: [null]",
      ['f:1:25: masqueradeSourceCIDRs[0]: CIDR "" could not be parsed, invalid CIDR address'],
    ],
    ["outputInterfaces: eth0", ["f:1:19: outputInterfaces: must be a list of interface names, not a string"]],
    [
      "outputInterfaces: [0]",
      ["f:1:20: outputInterfaces[0]: must be an interface name in text form, not a number"],
    ],
    [
      "outputInterfaces:\n- !eth0\n- '!eth1'",
      [
        'f:2:3: outputInterfaces[0]: "!eth0" excludes an interface: interfaces can be listed, not excluded',
        'f:3:3: outputInterfaces[1]: "!eth1" excludes an interface: interfaces can be listed, not excluded',
      ],
    ],
    [
      "outputInterfaces: [eth0, 'eth*', '+', 'eth0:1', 'a/b', '', '..', 'eth 0', \"a'b\", 'é']",
      [
        'f:1:26: outputInterfaces[1]: "eth*" is not a valid interface name',
        'f:1:34: outputInterfaces[2]: "+" means every interface',
        'f:1:39: outputInterfaces[3]: "eth0:1" is not a valid interface name',
        'f:1:49: outputInterfaces[4]: "a/b" is not a valid interface name',
        'f:1:56: outputInterfaces[5]: "" is not a valid interface name',
        'f:1:60: outputInterfaces[6]: ".." is not a valid interface name',
        'f:1:66: outputInterfaces[7]: "eth 0" is not a valid interface name',
        'f:1:75: outputInterfaces[8]: "a\'b" is not a valid interface name',
        'f:1:82: outputInterfaces[9]: "é" is not a valid interface name',
        "f:1:1: outputInterfaces: up to 8 names are supported, but there are 10",
      ],
    ],
    [
      "outputInterfaces: [enp0s31f6np0v12, enp0s31f6np0v123]",
      [
        'f:1:37: outputInterfaces[1]: "enp0s31f6np0v123" is too long: the name of an interface has at most 15 characters, not 16',
      ],
    ],
    [
      "outputInterfaces: [a, b, c, d, e, f, g, h, i]",
      ["f:1:1: outputInterfaces: up to 8 names are supported, but there are 9"],
    ],
    ["outputInterfaces: [a, b, c, d, e, f, g, h, a]", []],
  ])("%j", (text, lines) => {
    expect(problems(text)).toEqual(lines);
  });

  test("all lists of CIDRs count against cidrLimit, names do not", () => {
    const text =
      "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.1.0.0/16]\nmasqueradeSourceCIDRs: [10.2.0.0/16]\nnonMasqueradeSourceCIDRs: [10.2.1.0/24]\noutputInterfaces: [eth0, eth1]\noutputAddresses: [192.0.2.1, 192.0.2.2]\ncidrLimit: ";
    expect(problems(`${text}4`)).toEqual([]);
    expect(problems(`${text}3`)).toEqual([
      "f:7:12: cidrLimit: the daemon can only accept up to 3 CIDRs (excluding link-local), but got 4 CIDRs (excluding link local)",
    ]);
  });
});

describe("warnings", () => {
  test.each<[text: string, lines: string[]]>([
    [
      "nonMasqueradeSourceCIDRs: [0.0.0.0/0, '::/0']",
      [
        "f:1:28: nonMasqueradeSourceCIDRs[0]: 0.0.0.0/0 covers every IPv4 source: nothing but masqueradeSourceCIDRs is masqueraded",
        "f:1:39: nonMasqueradeSourceCIDRs[1]: ::/0 covers every IPv6 source: nothing but masqueradeSourceCIDRs is masqueraded",
      ],
    ],
    [
      "masqueradeSourceCIDRs: [10.244.0.0/16]",
      [
        "f:1:1: masqueradeSourceCIDRs: has no IPv6 entry: packets from every IPv6 source are masqueraded, those of the node too",
      ],
    ],
    ["masqueradeSourceCIDRs: [10.244.0.0/16, 'fd00:244::/32']", []],
    ["nonMasqueradeSourceCIDRs: [10.244.0.0/16]", []],
    ["outputAddressBy: flow", ["f:1:18: outputAddressBy: has no effect without outputAddresses"]],
    [
      "outputAddresses: [192.0.2.1, '2001:db8::1']\nmasqueradeSourceCIDRs: ['fd00::/8']",
      [
        "f:2:1: masqueradeSourceCIDRs: has no IPv4 entry: packets from every IPv4 source are masqueraded, those of the node too",
        "f:1:1: outputAddresses: the node's own connections leave with these addresses too, as masqueradeSourceCIDRs has no IPv4 entry",
      ],
    ],
    ["outputAddresses: [192.0.2.1]\nmasqueradeSourceCIDRs: [10.0.0.0/8, 'fd00::/8']", []],
    [
      "outputInterfaces: ['eth[01]', 'eth0,eth1', 'a+b', 'veth1@if5', bond0.100, 'eth+']",
      [
        "f:1:20: outputInterfaces[0]: eth[01] is compared letter by letter: only + at its end matches any rest",
        "f:1:31: outputInterfaces[1]: eth0,eth1 is compared letter by letter: only + at its end matches any rest",
        "f:1:44: outputInterfaces[2]: a+b is compared letter by letter: only + at its end matches any rest",
        "f:1:51: outputInterfaces[3]: veth1@if5 is compared letter by letter: only + at its end matches any rest",
      ],
    ],
  ])("%j", (text, lines) => {
    expect(warnings(text, V6)).toEqual(lines);
  });

  test("without IPv6, entries of IPv4 alone are enough", () => {
    expect(warnings("masqueradeSourceCIDRs: [10.244.0.0/16]")).toEqual([]);
  });
});

describe("a directory", () => {
  const decode = (...texts: string[]) =>
    decodeConfig(
      {
        kind: "directory",
        files: texts.map((text, i) => ({ path: `d/${i}`, bytes: Buffer.from(text) })),
      },
      { noMasqAllReservedRanges: false, enableIPv6: false },
    );

  test("lists are united, and the same text counts once", () => {
    const result = decode(
      "masqueradeSourceCIDRs: [10.1.0.0/16]\noutputInterfaces: [eth0]",
      "masqueradeSourceCIDRs: [10.2.0.0/16, 10.1.0.0/16]\noutputInterfaces: [eth1, eth0]",
    );
    if (!result.ok) throw new Error(problemLines(result.problems).join("\n"));
    const { masqueradeSourceCIDRs, outputInterfaces } = result.value.config;
    expect(masqueradeSourceCIDRs.map(({ text }) => text)).toEqual(["10.1.0.0/16", "10.2.0.0/16"]);
    expect(outputInterfaces).toEqual(["eth0", "eth1"]);
  });

  test("files must agree on outputAddressBy", () => {
    const result = decode("outputAddressBy: pod", "cidrLimit: 3", "\noutputAddressBy: flow");
    expect(result.ok ? [] : problemLines(result.problems)).toEqual([
      "d/2:2:18: outputAddressBy: is flow here, but pod at d/0:1:18",
    ]);
  });

  test("contradictions and limits hold over all files", () => {
    const result = decode(
      "masqueradeSourceCIDRs: [10.1.0.0/16]\noutputInterfaces: [a, b, c, d]",
      "nonMasqueradeSourceCIDRs: [10.1.0.0/16]\noutputInterfaces: [d, e, f, g, h, i]",
    );
    expect(result.ok ? [] : problemLines(result.problems)).toEqual([
      "d/1:1:28: nonMasqueradeSourceCIDRs[0]: 10.1.0.0/16 is also in masqueradeSourceCIDRs (as 10.1.0.0/16): it cannot be both",
      "d/0:2:1: outputInterfaces: up to 8 names are supported, but there are 9",
    ]);
  });
});
