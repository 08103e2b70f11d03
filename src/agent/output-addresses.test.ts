import { describe, expect, test } from "vitest";
import { configOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { formatAddress, parseAddress } from "../core/cidr.ts";
import { NftablesError } from "../netlink/errors.ts";
import { type ListedAddresses, listedAddresses } from "../system/node-addresses.ts";
import { createOutputAddresses } from "./output-addresses.ts";

/** The node's addresses, each with the index of its link. */
function listed(addresses: Readonly<Record<string, number>>, isWhole = true): ListedAddresses {
  const observed = Object.entries(addresses).map(([text, link]) => {
    const { family, value } = parseAddress(text) ?? { family: "IPv4", value: 0n };
    return { family: family === "IPv4" ? "ip" : "ip6", address: value, link, scope: 0, flags: 0 } as const;
  });
  return listedAddresses(observed, isWhole);
}

const BUSY = new NftablesError({ code: "EBUSY", what: "addresses", why: "busy" });

/** A node, and what `look` says of it. */
function node(text: string) {
  const { log, taken } = recordedLog();
  const state = { text, now: listed({}) as ListedAddresses | Error, reads: 0 };
  const addresses = createOutputAddresses({
    read: async () => {
      state.reads++;
      if (state.now instanceof Error) throw state.now;
      return state.now;
    },
    names: async () => new Map([...["lo", "eth0", "eth1"].entries()].map(([i, name]) => [i + 1, name])),
    families: ["IPv4", "IPv6"],
    log,
  });
  const look = async (now?: ListedAddresses | Error) => {
    state.now = now ?? state.now;
    const own = await addresses.look(configOf(state.text, { enableIPv6: true }));
    return { own, log: taken() };
  };
  const gone = () => [
    ...addresses.gone("IPv4").map((one) => formatAddress("IPv4", one)),
    ...addresses.gone("IPv6").map((one) => formatAddress("IPv6", one)),
  ];
  return { addresses, state, look, gone };
}

const LISTED = "outputAddresses: [192.0.2.0/24]";

describe("a look", () => {
  test.each<[string, string, Readonly<Record<string, number>>, string[]]>([
    ["one", LISTED, { "192.0.2.10": 2, "198.51.100.1": 2 }, ["I IPv4: leaving as 192.0.2.10 (eth0)"]],
    [
      "several, in numeric order",
      LISTED,
      { "192.0.2.11": 1, "192.0.2.9": 3, "192.0.2.10": 2 },
      ["I IPv4: leaving as 192.0.2.9 (eth1), 192.0.2.10 (eth0) and 192.0.2.11 (lo), by pod"],
    ],
    [
      "any for each flow, both families",
      "outputAddresses: [192.0.2.0/24, '2001:db8::/64']\noutputAddressBy: flow",
      { "192.0.2.10": 2, "2001:db8::2": 2, "2001:db8::1": 2 },
      [
        "I IPv4: leaving as 192.0.2.10 (eth0)",
        "I IPv6: leaving as 2001:db8::1 (eth0) and 2001:db8::2 (eth0), by flow",
      ],
    ],
    [
      "none",
      LISTED,
      { "198.51.100.1": 2 },
      ["W IPv4: no address of this node is in outputAddresses: MASQUERADE chooses the address"],
    ],
    [
      "17",
      LISTED,
      Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`192.0.2.${i + 1}`, 2])),
      [
        "W IPv4: 17 of this node's addresses are in outputAddresses: the lowest 16 are used",
        expect.stringMatching(/^I IPv4: leaving as 192.0.2.1 .* and 192.0.2.16 \(eth0\), by pod$/),
      ],
    ],
  ])("says what packets leave with: %s", async (_what, text, addresses, lines) => {
    const { look } = node(text);
    expect((await look(listed(addresses))).log).toEqual(lines);
    // Once.
    expect((await look(listed(addresses))).log).toEqual([]);
  });

  test("gives the same value until something changes", async () => {
    const { look } = node(LISTED);
    const first = await look(listed({ "192.0.2.10": 2 }));
    expect(first.own).toEqual({ IPv4: [0xc000020an], IPv6: [] });
    expect((await look(listed({ "192.0.2.10": 2, "10.1.1.1": 3 }))).own).toBe(first.own);
    const second = await look(listed({ "192.0.2.10": 2, "192.0.2.11": 2 }));
    expect(second.own?.IPv4).toEqual([0xc000020an, 0xc000020bn]);
  });

  test("reads nothing where the configuration names no address", async () => {
    const { look, state, addresses } = node("masqLinkLocal: true");
    expect(await look()).toEqual({ own: undefined, log: [] });
    expect([state.reads, addresses.leaving()]).toEqual([0, []]);
  });

  test("without netlink sockets says that IPv6 is left to the kernel", async () => {
    const { look } = node("outputAddresses: [192.0.2.10, '2001:db8::1']");
    expect((await look(listed({ "192.0.2.10": 2 }, false))).log).toEqual([
      "I IPv4: leaving as 192.0.2.10 (eth0)",
      "W IPv6: without netlink sockets outputAddresses is not used: MASQUERADE chooses the address",
    ]);
  });

  test("that fails is a warning, once, and the last addresses stay", async () => {
    const { look, addresses } = node(LISTED);
    const failed = await look(BUSY);
    expect(failed).toEqual({
      own: undefined,
      log: [expect.stringMatching(/^W cannot read the node's addresses, retrying: .*; MASQUERADE chooses/)],
    });
    expect(addresses.leaving()).toEqual([{ family: "IPv4", by: "pod", addresses: [] }]);
    expect((await look()).log).toEqual([]);
    const { own } = await look(listed({ "192.0.2.10": 2 }));
    expect(await look(BUSY)).toEqual({ own, log: [expect.stringContaining("; the last ones stay")] });
  });

  test("follows the configuration", async () => {
    const { look, state, addresses } = node(LISTED);
    await look(listed({ "192.0.2.10": 2, "198.51.100.1": 3 }));
    state.text = "outputAddresses: [198.51.100.1]";
    expect((await look()).log).toEqual(["I IPv4: leaving as 198.51.100.1 (eth1)"]);
    state.text = "masqLinkLocal: true";
    expect(await look()).toEqual({ own: undefined, log: [] });
    expect(addresses.leaving()).toEqual([]);
    state.text = LISTED;
    expect((await look()).log).toEqual(["I IPv4: leaving as 192.0.2.10 (eth0)"]);
  });
});

describe("addresses that are gone", () => {
  test("are those that rules have named, until their flows are forgotten", async () => {
    const { look, gone, addresses } = node(LISTED);
    await look(listed({ "192.0.2.10": 2, "192.0.2.11": 2, "10.1.1.1": 3 }));
    expect(gone()).toEqual([]);
    await look(listed({ "192.0.2.11": 2 }));
    expect(gone()).toEqual(["192.0.2.10"]);
    await look(listed({ "192.0.2.11": 2, "192.0.2.10": 3 }));
    expect(gone()).toEqual([]);
    await look(listed({}));
    expect(gone()).toEqual(["192.0.2.10", "192.0.2.11"]);
    addresses.forgotten("IPv4", [0xc000020an]);
    expect(gone()).toEqual(["192.0.2.11"]);
  });

  test("are not those that the configuration no longer names, while the node has them", async () => {
    const { look, state, gone } = node(LISTED);
    await look(listed({ "192.0.2.10": 2 }));
    state.text = "masqLinkLocal: true";
    await look();
    expect(gone()).toEqual([]);
    // They are still watched: flows may leave with them.
    await look(listed({}));
    expect(gone()).toEqual(["192.0.2.10"]);
  });

  test.each([
    [
      "-A IP-MASQ-AGENT -s 10.244.0.0/255.255.0.1 -j SNAT --to-source 192.0.2.77:32768-65535 --random-fully",
      "192.0.2.77",
    ],
    ["-A IP-MASQ-AGENT -j SNAT --to-source 192.0.2.77", "192.0.2.77"],
    ["-A IP-MASQ-AGENT -p udp -j SNAT --to-source [2001:db8::77]:1024-2047 --random-fully", "2001:db8::77"],
    ["-A IP-MASQ-AGENT -j SNAT --to-source 2001:db8::77 --random-fully", "2001:db8::77"],
    ["ip saddr & 0.0.0.1 == 0.0.0.0 counter snat ip to 192.0.2.77:32768-65535 fully-random", "192.0.2.77"],
    ["meta nfproto ipv6 counter snat ip6 to 2001:db8::77 fully-random", "2001:db8::77"],
    ["meta nfproto ipv6 meta l4proto tcp counter snat ip6 to [2001:db8::77]:1-2", "2001:db8::77"],
    ["-A IP-MASQ-AGENT -j MASQUERADE --to-ports 1024-2047", undefined],
    ["-A IP-MASQ-AGENT -d 192.0.2.77/32 -j RETURN", undefined],
  ])("are those of rules that an earlier agent has left: %s", async (actual, named) => {
    const { look, gone, addresses } = node("outputAddresses: [192.0.2.0/24, '2001:db8::/64']");
    await look(listed({ "192.0.2.10": 2 }));
    addresses.found([
      { kind: "changed", where: "rule 1", expected: "-j SNAT --to-source 192.0.2.66", actual },
    ]);
    expect(gone()).toEqual(named === undefined ? [] : [named]);
  });

  test("are not sought in rules where the configuration names none", async () => {
    const { look, gone, addresses } = node("masqLinkLocal: true");
    await look();
    addresses.found([{ kind: "extra", where: "rule 1", actual: "-j SNAT --to-source 192.0.2.66" }]);
    await look(listed({}));
    expect(gone()).toEqual([]);
  });
});
