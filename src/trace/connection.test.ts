/** What rules do with the connection: its mark, its original destination, and packets that are handed to sockets of the node. */
import { describe, expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { parseIptablesSave } from "./iptables-save.ts";
import type { Hook, Packet } from "./model.ts";
import { parseNftJson } from "./nft/json.ts";
import type { Trace } from "./outcome.ts";
import { type Known, tracePacket } from "./trace.ts";

const NODE = parseAddress("192.0.2.1")?.value as bigint;
const LOCAL = { IPv4: [{ first: NODE, last: NODE }], IPv6: [] };

function iptables(...lines: readonly string[]): Hook[] {
  const dump = ["raw", "mangle", "nat", "filter"].flatMap((table) => [
    `*${table}`,
    ...["PREROUTING", "INPUT", "FORWARD", "POSTROUTING"].map((chain) => `:${chain} ACCEPT [0:0]`),
    ":AWS-CONNMARK-CHAIN-0 - [0:0]",
    ":AWS-SNAT-CHAIN-0 - [0:0]",
    ...lines.flatMap((line) => (line.startsWith(`${table} `) ? `-A ${line.slice(table.length + 1)}` : [])),
    "COMMIT",
  ]);
  const read = parseIptablesSave(dump.join("\n"));
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

const PRIORITIES = { raw: -300, mangle: -150, nat: -100, filter: 0, srcnat: 100 } as const;

/** Rules of nft as JSON: `[PLACE, ...expressions]`. */
function nft(...rules: readonly (readonly [keyof typeof PRIORITIES, ...object[]])[]): Hook[] {
  const own = { family: "ip", table: "t" };
  const objects = Object.entries(PRIORITIES).flatMap(([name, prio]) => {
    const hook = name === "srcnat" ? "postrouting" : name === "filter" ? "forward" : "prerouting";
    const type = name.endsWith("nat") ? "nat" : "filter";
    return [
      { chain: { ...own, name, type, hook, prio, policy: "accept" } },
      ...rules
        .filter(([place]) => place === name)
        .map(([, ...expr]) => ({ rule: { ...own, chain: name, expr } })),
    ];
  });
  const read = parseNftJson(
    JSON.stringify({ nftables: [{ table: { family: "ip", name: "t" } }, ...objects] }),
  );
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

/** The verdicts, `?` for a possible one; of a translated destination those of its endpoints. */
function verdicts({ possible, otherwise }: Trace): string {
  const one = (outcome: Trace["otherwise"]): string =>
    outcome.endpoints === undefined
      ? outcome.verdict
      : outcome.endpoints.map(({ isHere, trace }) => `${isHere ? "here " : "to "}${verdicts(trace)}`).join();
  return [...possible.map((outcome) => `${one(outcome)}?`), one(otherwise)].join(" ");
}

function ask(hooks: readonly Hook[], known: Known = {}, more: Partial<Packet> = {}): string {
  const destination = parseAddress("10.96.0.50")?.value as bigint;
  const packet = {
    family: "IPv4",
    destination,
    protocol: "tcp",
    port: 80,
    mark: 0,
    in: "eni1",
    ...more,
  } as const;
  return verdicts(tracePacket(hooks, packet, LOCAL, known));
}

const MARKED = "nat POSTROUTING -m mark --mark 0x80/0x80 -j MASQUERADE";
const SET = "CONNMARK --set-xmark 0x80/0x80";
const RESTORE = "CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80";

const mark = { meta: { key: "mark" } };
const ct = (key: string, dir?: string) => ({ ct: { key, ...(dir === undefined ? {} : { dir }) } });
const match = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } });
const set = (key: object, value: unknown) => ({ mangle: { key, value } });
const dnat = { dnat: { addr: "10.9.9.9", port: 81 } };
const masquerade = { masquerade: null };

describe("marks of connections", () => {
  test.each<[string, string, readonly Hook[]]>([
    ["a new connection has none", "keep", iptables(`mangle PREROUTING -j ${RESTORE}`, MARKED)],
    ["one that is set does not change the packet's", "keep", iptables(`mangle PREROUTING -j ${SET}`, MARKED)],
    [
      "set and restored",
      "masquerade",
      iptables(`mangle PREROUTING -j ${SET}`, `nat PREROUTING -j ${RESTORE}`, MARKED),
    ],
    [
      "restored before it is set",
      "keep",
      iptables(`mangle PREROUTING -j ${RESTORE}`, `nat PREROUTING -j ${SET}`, MARKED),
    ],
    [
      "restored under another mask",
      "keep",
      iptables(
        `mangle PREROUTING -j ${SET}`,
        "nat PREROUTING -j CONNMARK --restore-mark --nfmask 0x40 --ctmask 0x40",
        MARKED,
      ),
    ],
    [
      "saved from the packet's, which is cleared, and restored",
      "masquerade",
      iptables(
        "mangle PREROUTING -j MARK --set-xmark 0x81/0xffffffff",
        "mangle PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "mangle PREROUTING -j MARK --set-xmark 0x0/0xffffffff",
        "mangle POSTROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        MARKED,
      ),
    ],
    [
      "where it depends on what is not known",
      "masquerade? keep",
      iptables(`mangle PREROUTING -m u32 --u32 1 -j ${SET}`, `nat PREROUTING -j ${RESTORE}`, MARKED),
    ],
    [
      "before conntrack there is none to set, nor to match, nor not to match",
      "keep",
      iptables(
        `raw PREROUTING -j ${SET}`,
        "raw PREROUTING -m connmark ! --mark 0x80/0x80 -j DROP",
        "raw PREROUTING -m connmark --mark 0x0/0x80 -j DROP",
        `mangle PREROUTING -j ${RESTORE}`,
        MARKED,
      ),
    ],
    [
      "an untracked packet has none",
      "untracked",
      iptables(
        "raw PREROUTING -j CT --notrack",
        `mangle PREROUTING -j ${SET}`,
        "mangle PREROUTING -m connmark --mark 0x80/0x80 -j DROP",
        "mangle PREROUTING -m connmark ! --mark 0x80/0x80 -j DROP",
      ),
    ],
    [
      "matched",
      "masquerade",
      iptables(`mangle PREROUTING -j ${SET}`, "nat POSTROUTING -m connmark --mark 0x80/0x80 -j MASQUERADE"),
    ],
    // As the Amazon VPC CNI plugin writes them (amazon-vpc-cni-k8s, pkg/networkutils).
    [
      "AWS: what leaves the VPC gets the mark, and with it the main table and SNAT",
      "translate",
      iptables(
        "mangle PREROUTING -i eni+ -m comment --comment AWS -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80",
        "nat PREROUTING -i eni+ -m comment --comment AWS -j AWS-CONNMARK-CHAIN-0",
        "nat PREROUTING -m comment --comment AWS -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80",
        "nat AWS-CONNMARK-CHAIN-0 -d 192.168.0.0/16 -m comment --comment AWS -j RETURN",
        "nat AWS-CONNMARK-CHAIN-0 -m comment --comment AWS -j CONNMARK --set-xmark 0x80/0x80",
        "nat POSTROUTING -m comment --comment AWS -j AWS-SNAT-CHAIN-0",
        "nat AWS-SNAT-CHAIN-0 -d 192.168.0.0/16 -m comment --comment AWS -j RETURN",
        "nat AWS-SNAT-CHAIN-0 ! -o vlan+ -m mark --mark 0x80/0x80 -m addrtype ! --dst-type LOCAL -j SNAT --to-source 192.0.2.1 --random-fully",
      ),
    ],
    [
      "nft: set and taken over",
      "masquerade",
      nft(
        ["mangle", set(ct("mark"), 128)],
        ["nat", set(mark, ct("mark"))],
        ["srcnat", match({ "&": [mark, 128] }, 128), masquerade],
      ),
    ],
    [
      "nft: a part of it",
      "keep",
      nft(
        ["mangle", set(ct("mark"), 128)],
        ["nat", set(mark, { "&": [ct("mark"), 64] })],
        ["srcnat", match(mark, 0, "!="), masquerade],
      ),
    ],
    [
      "nft: both, without a bit in common",
      "masquerade",
      nft(
        ["mangle", set(mark, 1), set(ct("mark"), { "|": [{ "&": [mark, 15] }, 128] })],
        ["nat", set(mark, { "|": [{ "&": [mark, 15] }, { "&": [ct("mark"), 240] }] })],
        ["srcnat", match(mark, 129), masquerade],
      ),
    ],
    [
      "nft: flipped",
      "masquerade",
      nft(
        ["mangle", set(ct("mark"), { "^": [ct("mark"), 128] })],
        ["srcnat", match(ct("mark"), 128), masquerade],
      ),
    ],
    [
      "nft: without a connection the rule ends",
      "keep",
      nft(
        ["raw", set(mark, ct("mark")), { drop: null }],
        ["raw", match(ct("mark"), 0), { drop: null }],
        ["raw", match(ct("mark"), 0, "!="), { drop: null }],
        ["raw", set(ct("mark"), 128), { drop: null }],
      ),
    ],
  ])("%s", (_, expected, hooks) => {
    expect(ask(hooks, {}, { out: "eth0" })).toBe(expected);
  });

  test("the route is asked for with the mark that was restored", () => {
    const hooks = iptables(`nat PREROUTING -j ${SET}`, `nat PREROUTING -j ${RESTORE}`);
    const marks: unknown[] = [];
    ask(hooks, { routeOf: ({ mark, unknownMark }) => void marks.push([mark, unknownMark]) });
    expect(marks).toEqual([[128, undefined]]);
  });
});

describe("the connection as it began", () => {
  const TO = "nat PREROUTING -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.9.9.9:81";
  const behind = (match: string) => iptables(TO, `nat POSTROUTING -m conntrack ${match} -j MASQUERADE`);

  test.each<[string, string, readonly Hook[]]>([
    ["its destination", "to masquerade", behind("--ctorigdst 10.96.0.50/32")],
    ["its destination, not the translated one", "to keep", behind("--ctorigdst 10.9.9.9/32")],
    ["another one", "to masquerade", behind("! --ctorigdst 10.9.9.9/32")],
    ["its port", "to masquerade", behind("--ctorigdst 10.96.0.50 --ctorigdstport 80")],
    ["its port, not the translated one", "to keep", behind("--ctorigdstport 81")],
    ["its source", "to masquerade? keep", behind("--ctorigsrc 10.244.0.0/16")],
    ["its direction", "to masquerade", behind("--ctdir ORIGINAL")],
    ["the other direction", "to keep", behind("--ctdir REPLY")],
    ["its protocol", "to masquerade", behind("--ctproto 6")],
    ["another protocol", "to keep", behind("--ctproto 17")],
    ["its status: not confirmed", "to keep", behind("--ctstatus CONFIRMED")],
    ["its status: nothing of it yet", "to masquerade", behind("! --ctstatus ASSURED")],
    ["how long it lasts is not known", "to masquerade? keep", behind("--ctexpire 1:10")],
    [
      "without a connection nothing matches",
      "keep",
      iptables(
        ...[
          "--ctorigdst 10.96.0.50",
          "! --ctorigdst 10.9.9.9",
          "--ctorigdstport 80",
          "! --ctorigdstport 81",
          "--ctdir ORIGINAL",
          "--ctproto 6",
          "! --ctproto 17",
          "! --ctstatus ASSURED",
        ].map((match) => `raw PREROUTING -m conntrack ${match} -j DROP`),
      ),
    ],
    [
      "nft: its destination",
      "to masquerade",
      nft(
        ["nat", dnat],
        ["srcnat", match(ct("ip daddr", "original"), { prefix: { addr: "10.96.0.0", len: 16 } }), masquerade],
      ),
    ],
    [
      "nft: its port",
      "to keep",
      nft(["nat", dnat], ["srcnat", match(ct("proto-dst", "original"), 81), masquerade]),
    ],
    [
      "nft: its direction",
      "to masquerade",
      nft(["nat", dnat], ["srcnat", match(ct("direction"), "original"), masquerade]),
    ],
    [
      "nft: of the reply it is not known",
      "to masquerade? keep",
      nft(["nat", dnat], ["srcnat", match(ct("ip saddr", "reply"), "10.9.9.9"), masquerade]),
    ],
  ])("%s", (_, expected, hooks) => {
    expect(ask(hooks)).toBe(expected);
  });
});

describe("sockets of the node", () => {
  const here = (address: bigint | "none"): Known => ({ hereOf: () => address });
  const local: Known = {
    routeOf: ({ mark }) => (mark === 1 ? { kind: "local" } : { kind: "unicast", out: "eth0" }),
  };
  const PROXY = "mangle PREROUTING -p tcp -j TPROXY --on-port 9 --on-ip 127.0.0.1 --tproxy-mark 0x1/0x1";
  const ALL = "nat POSTROUTING -j MASQUERADE";

  test.each<[string, string, readonly Hook[], Known]>([
    [
      "REDIRECT to an address",
      "to keep",
      iptables("nat PREROUTING -p tcp -j REDIRECT --to-ports 9", ALL),
      here(NODE),
    ],
    [
      "REDIRECT where there is no address",
      "drop",
      iptables("nat PREROUTING -p tcp -j REDIRECT --to-ports 9", ALL),
      here("none"),
    ],
    [
      "REDIRECT where the interface is not known",
      "drop? here keep",
      iptables("nat PREROUTING -p tcp -j REDIRECT", ALL),
      {},
    ],
    [
      "REDIRECT, and the node drops it",
      "to drop",
      iptables("nat PREROUTING -j REDIRECT", "filter INPUT -d 192.0.2.1/32 -j DROP"),
      here(NODE),
    ],
    ["TPROXY with a route to the node", "drop? keep", iptables(PROXY, ALL), local],
    [
      "TPROXY without a route to the node",
      "drop? masquerade",
      iptables(PROXY.replace("0x1/0x1", "0x2/0x2"), ALL),
      local,
    ],
    ["TPROXY where routes are not known", "drop? redirect", iptables(PROXY, ALL), {}],
    ["TPROXY for others", "masquerade", iptables(PROXY.replace("tcp", "udp"), ALL), {}],
    ["nft redirect", "to keep", nft(["nat", { redirect: { port: 9 } }], ["srcnat", masquerade]), here(NODE)],
    [
      "nft tproxy with a route to the node, or on as before",
      "masquerade? keep",
      nft(["mangle", { tproxy: { port: 9 } }, set(mark, 1), { accept: null }], ["srcnat", masquerade]),
      local,
    ],
  ])("%s", (_, expected, hooks, known) => {
    expect(ask(hooks, known)).toBe(expected);
  });
});
