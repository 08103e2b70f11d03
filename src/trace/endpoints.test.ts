/** Where packets go whose destination rules translate, and what becomes of them there: told by dumps of iptables and of nft. */
import { describe, expect, test } from "vitest";
import { times } from "../../test/lab/length.ts";
import { type Family, formatAddress, parseAddress } from "../core/cidr.ts";
import { parseIptablesSave } from "./iptables-save.ts";
import { ipvsHooks } from "./ipvs.ts";
import type { Hook, Packet } from "./model.ts";
import { parseNftJson } from "./nft/json.ts";
import type { Trace, TraceOutcome } from "./outcome.ts";
import { type Known, tracePacket } from "./trace.ts";

const NODE = parseAddress("192.0.2.1")?.value as bigint;
const LOCAL = { IPv4: [{ first: NODE, last: NODE }], IPv6: [] };
const TABLES = ["raw", "mangle", "nat", "filter"];
const CHAINS = ["PREROUTING", "INPUT", "FORWARD", "POSTROUTING"];

/** Rules of iptables, `TABLE CHAIN WORDS` each; a policy as `TABLE CHAIN DROP`. POSTROUTING masquerades what has the mark 0x4000. */
function iptables(...lines: readonly string[]): Hook[] {
  const rules = [...lines, "nat POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE"];
  const dump = TABLES.flatMap((table) => {
    const own = rules
      .filter((line) => line.startsWith(`${table} `))
      .map((line) => line.slice(table.length + 1));
    const policies = own.filter((line) => line.endsWith(" DROP") && !line.includes("-j"));
    const base = CHAINS.map(
      (chain) => `:${chain} ${policies.includes(`${chain} DROP`) ? "DROP" : "ACCEPT"} [0:0]`,
    );
    const more = [...new Set(own.flatMap((line) => /-[jg] (X\d)/.exec(line)?.[1] ?? []))];
    const appended = own.filter((line) => !policies.includes(line)).map((line) => `-A ${line}`);
    return [`*${table}`, ...base, ...more.map((chain) => `:${chain} - [0:0]`), ...appended, "COMMIT"];
  });
  const read = parseIptablesSave(dump.join("\n"));
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

/** `PLACE VERDICT`, with `?` if it may be so; of a redirect that is not followed, only that. */
function told({ possible, otherwise }: Trace, family: Family, place = ""): string[] {
  const tell = (outcome: TraceOutcome, mark: string): string[] =>
    outcome.endpoints === undefined
      ? [`${place}${outcome.verdict}${mark}`]
      : outcome.endpoints.flatMap(({ destination, isHere, port, trace }) =>
          told(
            trace,
            family,
            `${mark}${isHere === true ? "here" : formatAddress(family, destination)}${port === undefined ? "" : `:${port}`} `,
          ),
        );
  return [...possible.flatMap((one) => tell(one, "?")), ...tell(otherwise, "")];
}

function ask(
  hooks: readonly Hook[],
  more: Partial<Packet> = {},
  to = "10.96.0.50",
  known: Known = {},
): string {
  const { family, value } = parseAddress(to) ?? {};
  if (family === undefined || value === undefined) throw new Error(to);
  const packet = { family, destination: value, protocol: "tcp", port: 80, mark: 0, ...more };
  return told(tracePacket(hooks, packet, LOCAL, known), family).join(", ");
}

const service = "nat PREROUTING -d 10.96.0.50/32 -p tcp -m tcp --dport 80";
const mark = "MARK --set-xmark 0x4000/0x4000";

describe("iptables", () => {
  test.each<[string, string, readonly string[]]>([
    ["one endpoint", "10.244.0.9:8080 keep", [`${service} -j DNAT --to-destination 10.244.0.9:8080`]],
    ["without a port", "10.244.0.9:80 keep", [`${service} -j DNAT --to-destination 10.244.0.9`]],
    ["only a port", "10.96.0.50:81 keep", [`${service} -j DNAT --to-destination :81`]],
    [
      "one of three",
      "10.0.0.1:1 keep, 10.0.0.2:1 keep, 10.0.0.3:1 keep",
      [
        `${service} -j X1`,
        "nat X1 -m statistic --mode random --probability 0.33333333349 -j DNAT --to-destination 10.0.0.1:1",
        "nat X1 -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.0.0.2:1",
        "nat X1 -j DNAT --to-destination 10.0.0.3:1",
      ],
    ],
    [
      "in turn",
      "10.0.0.1:1 keep, 10.0.0.2:1 keep",
      [
        `${service} -j X1`,
        "nat X1 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.0.0.1:1",
        "nat X1 -j DNAT --to-destination 10.0.0.2:1",
      ],
    ],
    [
      "sometimes, else itself",
      "?10.0.0.1:1 keep, keep",
      [`${service} -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.1:1`],
    ],
    [
      "session affinity",
      "10.0.0.1:1 keep, 10.0.0.2:1 keep",
      [
        `${service} -j X1`,
        "nat X1 -m recent --rcheck --seconds 10800 --reap --name A --mask 255.255.255.255 --rsource -j X2",
        "nat X1 -m recent --rcheck --seconds 10800 --reap --name B --mask 255.255.255.255 --rsource -j X3",
        "nat X1 -m statistic --mode random --probability 0.5 -j X2",
        "nat X1 -j X3",
        "nat X2 -m recent --set --name A --mask 255.255.255.255 --rsource -p tcp -j DNAT --to-destination 10.0.0.1:1",
        "nat X3 -m recent --set --name B --mask 255.255.255.255 --rsource -p tcp -j DNAT --to-destination 10.0.0.2:1",
      ],
    ],
    [
      "marked before",
      "10.0.0.1:1 masquerade",
      [`${service} -j ${mark}`, `${service} -j DNAT --to-destination 10.0.0.1:1`],
    ],
    [
      "only one of two marked",
      "10.0.0.1:1 masquerade, 10.0.0.2:1 keep",
      [
        `${service} -j X1`,
        "nat X1 -m statistic --mode random --probability 0.5 -j X2",
        "nat X1 -j DNAT --to-destination 10.0.0.2:1",
        `nat X2 -j ${mark}`,
        "nat X2 -j DNAT --to-destination 10.0.0.1:1",
      ],
    ],
    [
      "a pod that asks itself",
      "10.0.0.1:1 masquerade?, 10.0.0.1:1 keep",
      [`${service} -j X1`, `nat X1 -s 10.0.0.1/32 -j ${mark}`, "nat X1 -j DNAT --to-destination 10.0.0.1:1"],
    ],
    [
      "a range",
      "10.0.0.1:80 keep, 10.0.0.2:80 keep",
      [`${service} -j DNAT --to-destination 10.0.0.1-10.0.0.2`],
    ],
    ["a range of ports", "10.0.0.1 keep", [`${service} -j DNAT --to-destination 10.0.0.1:80-90`]],
    ["NETMAP", "10.9.0.50:80 keep", ["nat PREROUTING -d 10.96.0.0/16 -j NETMAP --to 10.9.0.0/16"]],
    ["too many", "redirect", [`${service} -j DNAT --to-destination 10.0.0.0-10.1.0.0`]],
    ["to this node", "drop?, here:1 keep", [`${service} -j REDIRECT --to-ports 1`]],
    [
      "to this node, where its rules drop it",
      "drop?, here:1 drop?, here:1 keep",
      [
        `${service} -j REDIRECT --to-ports 1`,
        "filter INPUT -p tcp -m tcp --dport 2 -j DROP",
        "filter INPUT -d 192.0.2.0/24 -j DROP",
      ],
    ],
    [
      "to this node is not routed, nor masqueraded",
      "drop?, here:1 keep",
      [`${service} -j REDIRECT --to-ports 1`, "filter FORWARD -j DROP", "nat POSTROUTING -j MASQUERADE"],
    ],
    ["another port", "keep", [`${service.replace("80", "81")} -j DNAT --to-destination 10.0.0.1`]],
    [
      "several ports",
      "10.0.0.1:80 keep",
      [
        `${service.replace("-m tcp --dport 80", "-m multiport --dports 22,79:81")} -j DNAT --to-destination 10.0.0.1`,
      ],
    ],
    ["to the node's own address", "192.0.2.1:1 keep", [`${service} -j DNAT --to-destination 192.0.2.1:1`]],
    [
      "forward sees the endpoint",
      "10.0.0.1:1 drop",
      [
        `${service} -j DNAT --to-destination 10.0.0.1:1`,
        "filter FORWARD -d 10.0.0.1/32 -p tcp -m tcp --dport 1 -j REJECT",
      ],
    ],
    [
      "input sees the endpoint",
      "192.0.2.1:1 drop",
      [`${service} -j DNAT --to-destination 192.0.2.1:1`, "filter INPUT -p tcp -m tcp --dport 1 -j DROP"],
    ],
    [
      "DNATed packets are let through",
      "10.0.0.1:1 keep",
      [
        `${service} -j DNAT --to-destination 10.0.0.1:1`,
        "filter FORWARD -m conntrack --ctstate DNAT -j ACCEPT",
        "filter FORWARD -j DROP",
      ],
    ],
    [
      "the first translation is the only one",
      "10.0.0.1:1 keep",
      [`${service} -j DNAT --to-destination 10.0.0.1:1`, "nat PREROUTING -j DNAT --to-destination 10.0.0.2"],
    ],
  ])("%s", (_, expected, lines) => {
    expect(ask(iptables(...lines))).toBe(expected);
  });

  test("its own source decides whether a pod asks itself", () => {
    const lines = [
      `${service} -j X1`,
      `nat X1 -s 10.0.0.1/32 -j ${mark}`,
      "nat X1 -j DNAT --to-destination 10.0.0.1:1",
    ];
    const from = (text: string) => ({ source: parseAddress(text)?.value as bigint });
    expect(ask(iptables(...lines), from("10.0.0.1"))).toBe("10.0.0.1:1 masquerade");
    expect(ask(iptables(...lines), from("10.0.0.2"))).toBe("10.0.0.1:1 keep");
  });

  test("IPv6 with brackets, and a mark that is told", () => {
    const text = [
      "# Generated by ip6tables-save v1.8.9",
      "*nat",
      ...CHAINS.map((chain) => `:${chain} ACCEPT [0:0]`),
      `-A PREROUTING -d fd00:96::1/128 -p tcp -m tcp --dport 80 -j ${mark}`,
      "-A PREROUTING -d fd00:96::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::9]:8080",
      "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j SNAT --to-source fd00::1-fd00::2",
      "COMMIT",
    ].join("\n");
    const read = parseIptablesSave(text);
    if (!read.ok) throw new Error(read.message);
    const packet = {
      family: "IPv6",
      destination: parseAddress("fd00:96::1")?.value as bigint,
      protocol: "tcp",
      port: 80,
      mark: 0,
    } as const;
    const [endpoint] = tracePacket(read.hooks, packet, LOCAL).otherwise.endpoints ?? [];
    const last = parseAddress("fd00::2")?.value as bigint;
    expect(endpoint).toMatchObject({
      port: 8080,
      trace: {
        otherwise: {
          verdict: "translate",
          mark: 0x4000,
          targets: [{ addresses: { first: last - 1n, last } }],
        },
      },
    });
  });
});

describe("what happens to packets on their way", () => {
  test.each<[string, string, readonly string[]]>([
    ["a policy", "drop", ["filter FORWARD DROP"]],
    ["a policy, but accepted", "keep", ["filter FORWARD DROP", "filter FORWARD -d 10.0.0.0/8 -j ACCEPT"]],
    [
      "a policy, accepted as established",
      "drop",
      ["filter FORWARD DROP", "filter FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ],
    ["INVALID", "keep", ["filter FORWARD -m conntrack --ctstate INVALID -j DROP"]],
    ["a policy of mangle", "drop", ["mangle PREROUTING DROP"]],
    ["in by another link", "keep", ["filter FORWARD -i eth7 -j DROP"]],
    ["in by its link", "drop", ["filter FORWARD -i pod+ -j DROP"]],
    ["out by another link", "keep", ["filter FORWARD -o eth7 -j DROP"]],
    ["out by its link", "drop", ["filter FORWARD ! -o eth7 -j DROP"]],
    [
      "not tracked",
      "untracked",
      ["raw PREROUTING -d 10.0.0.0/8 -j CT --notrack", "mangle POSTROUTING -j MARK --set-mark 0x4000"],
    ],
    [
      "not tracked, but marked and forwarded",
      "drop",
      ["raw PREROUTING -j NOTRACK", "filter FORWARD -m conntrack --ctstate UNTRACKED -j DROP"],
    ],
    [
      "not tracked: no DNAT",
      "untracked",
      ["raw PREROUTING -j NOTRACK", "nat PREROUTING -j DNAT --to-destination 10.0.0.1"],
    ],
    ["perhaps not tracked", "untracked?, keep", ["raw PREROUTING -m socket -j NOTRACK"]],
    ["before conntrack all is invalid", "drop", ["raw PREROUTING -m conntrack --ctstate INVALID -j DROP"]],
    ["a source port", "drop?, keep", ["filter FORWARD -p tcp -m tcp --sport 1234 -j DROP"]],
    [
      "a new connection without SYN",
      "keep",
      ["filter FORWARD -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP"],
    ],
    ["of a process of the node", "keep", ["nat POSTROUTING -m owner --uid-owner 0 -j MASQUERADE"]],
    ["not by the way back", "keep", ["raw PREROUTING -m rpfilter --validmark --invert -j DROP"]],
  ])("%s", (_, expected, lines) => {
    expect(ask(iptables(...lines), { in: "pod0", out: "eth0" })).toBe(expected);
  });

  test("the kernel's way is asked for each endpoint", () => {
    const hooks = iptables(
      `${service} -j X1`,
      "nat X1 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.1:1",
      "nat X1 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.2:1",
      "nat X1 -j DNAT --to-destination 10.0.0.3:1",
      "nat POSTROUTING -o eth1 -j MASQUERADE",
    );
    const first = parseAddress("10.0.0.1")?.value as bigint;
    const routeOf: Known["routeOf"] = ({ destination }) =>
      destination === first
        ? { kind: "unicast", out: "eth1", masquerade: 7n }
        : destination === first + 1n
          ? { kind: "none", why: "no route" }
          : { kind: "local" };
    expect(ask(hooks, {}, "10.96.0.50", { routeOf })).toBe(
      "10.0.0.1:1 masquerade, 10.0.0.2:1 drop, 10.0.0.3:1 keep",
    );
  });
});

const daddr = { payload: { protocol: "ip", field: "daddr" } };
const saddr = { payload: { protocol: "ip", field: "saddr" } };
const dport = { payload: { protocol: "th", field: "dport" } };
const l4proto = { meta: { key: "l4proto" } };
const random = (mod: number) => ({ numgen: { mode: "random", mod, offset: 0 } });
const match = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } });

/** Chains of nft; `p` is at prerouting. */
function nft(
  chains: Readonly<Record<string, readonly (readonly object[])[]>>,
  sets: readonly object[] = [],
): Hook[] {
  const own = { family: "ip", table: "t" };
  const objects = [
    { table: { family: "ip", name: "t" } },
    ...sets.map((set) => ({ set: { ...own, ...set } })),
    ...Object.keys(chains).map((name) => ({
      chain: {
        ...own,
        name,
        ...(name === "p" ? { type: "nat", hook: "prerouting", prio: -100, policy: "accept" } : {}),
      },
    })),
    ...Object.entries(chains).flatMap(([chain, rules]) =>
      rules.map((expr) => ({ rule: { ...own, chain, expr } })),
    ),
  ];
  const read = parseNftJson(JSON.stringify({ nftables: objects }));
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

describe("nft", () => {
  const key = { concat: [daddr, l4proto, dport] };
  const element = (address: string, port: number) => ({ concat: [address, "tcp", port] });
  const services = (chain: string) => ({
    name: "services",
    elem: [[element("10.96.0.50", 80), { goto: { target: chain } }]],
  });
  const to = (...places: readonly [string, number][]) => ({
    dnat: {
      family: "ip",
      addr: {
        map: { key: random(places.length), data: { set: places.map((place, i) => [i, { concat: place }]) } },
      },
    },
  });
  test.each<[string, string, readonly Hook[]]>([
    [
      "an address and a port",
      "10.0.0.1:81 keep",
      nft({ p: [[match(daddr, "10.96.0.50"), { dnat: { addr: "10.0.0.1", port: 81 } }]] }),
    ],
    [
      "a map of numbers, one for all",
      "10.0.0.1:81 keep, 10.0.0.2:82 keep",
      nft(
        {
          p: [[{ vmap: { key, data: "@services" } }]],
          s: [[match(l4proto, "tcp"), to(["10.0.0.1", 81], ["10.0.0.2", 82])]],
        },
        [services("s")],
      ),
    ],
    [
      "a map of numbers that leaves some out",
      "?10.0.0.1:81 keep, keep",
      nft({
        p: [
          [
            {
              dnat: { addr: { map: { key: random(2), data: { set: [[0, { concat: ["10.0.0.1", 81] }]] } } } },
            },
          ],
        ],
      }),
    ],
    [
      "affinity: sets that packets fill, then chance",
      "10.0.0.1:81 keep, 10.0.0.2:82 keep",
      nft(
        {
          p: [[{ vmap: { key, data: "@services" } }]],
          s: [
            [match(saddr, "@one"), { goto: { target: "one" } }],
            [
              {
                vmap: {
                  key: random(2),
                  data: {
                    set: [
                      [0, { goto: { target: "one" } }],
                      [1, { goto: { target: "two" } }],
                    ],
                  },
                },
              },
            ],
          ],
          one: [
            [{ set: { op: "update", elem: saddr, set: "@one" } }],
            [{ dnat: { addr: "10.0.0.1", port: 81 } }],
          ],
          two: [[{ dnat: { addr: "10.0.0.2", port: 82 } }]],
        },
        [services("s"), { name: "one", flags: ["timeout", "dynamic"] }],
      ),
    ],
    [
      "a chain that comes back does not go on with the next element",
      "10.0.0.3:80 keep",
      nft({
        p: [
          [
            {
              vmap: {
                key: random(2),
                data: {
                  set: [
                    [0, { jump: { target: "a" } }],
                    [1, { jump: { target: "b" } }],
                  ],
                },
              },
            },
          ],
          [{ dnat: { addr: "10.0.0.3" } }],
        ],
        a: [[{ return: null }]],
        b: [],
      }),
    ],
    [
      "by a key of the packet",
      "10.0.0.5:80 keep",
      nft({
        p: [
          [
            {
              dnat: {
                addr: {
                  map: {
                    key: daddr,
                    data: {
                      set: [
                        ["10.96.0.50", "10.0.0.5"],
                        ["10.96.0.51", "10.0.0.6"],
                      ],
                    },
                  },
                },
              },
            },
          ],
        ],
      }),
    ],
    [
      "below a port",
      "10.0.0.1:80 keep",
      nft({ p: [[match(dport, 1024, "<"), { dnat: { addr: "10.0.0.1" } }]] }),
    ],
    ["above a port", "keep", nft({ p: [[match(dport, 80, ">"), { dnat: { addr: "10.0.0.1" } }]] })],
    [
      "a prefix",
      "10.9.0.50:80 keep",
      nft({ p: [[{ dnat: { addr: { prefix: { addr: "10.9.0.0", len: 16 } }, type_flags: "prefix" } }]] }),
    ],
    [
      "a hash",
      "10.0.0.1:80 keep, 10.0.0.2:80 keep",
      nft({
        p: [
          [
            {
              dnat: {
                addr: {
                  map: {
                    key: { jhash: { mod: 2, expr: saddr } },
                    data: {
                      set: [
                        [0, "10.0.0.1"],
                        [1, "10.0.0.2"],
                      ],
                    },
                  },
                },
              },
            },
          ],
        ],
      }),
    ],
    ["to this node", "drop?, here:1 keep", nft({ p: [[{ redirect: { port: 1 } }]] })],
    [
      "what a local socket sends",
      "keep",
      nft({ p: [[match({ meta: { key: "iif" } }, 0), { dnat: { addr: "10.0.0.1" } }]] }),
    ],
  ])("%s", (_, expected, hooks) => {
    expect(ask(hooks)).toBe(expected);
  });

  test("an element with a timeout may be gone; what is no element is none", () => {
    const set = { name: "bad", flags: ["timeout"], elem: [{ elem: { val: "10.96.0.50", expires: 60 } }] };
    const hooks = nft({ p: [[match(daddr, "@bad"), { drop: null }]] }, [set]);
    expect(ask(hooks)).toBe("drop?, keep");
    expect(ask(hooks, {}, "10.96.0.51")).toBe("keep");
    const not = nft({ p: [[match(daddr, "@bad", "!="), { drop: null }]] }, [set]);
    expect(ask(not)).toBe("drop?, keep");
    expect(ask(not, {}, "10.96.0.51")).toBe("drop");
  });

  test("a range of addresses is not answered by its first one", () => {
    const each = nft({
      p: [[{ dnat: { addr: { prefix: { addr: "10.9.0.0", len: 16 } }, type_flags: "prefix" } }]],
    });
    expect(ask(each, {}, "10.96.0.50", { isRange: true })).toBe("redirect");
    const one = nft({ p: [[{ dnat: { addr: "10.0.0.1" } }]] });
    expect(ask(one, {}, "10.96.0.50", { isRange: true })).toBe("10.0.0.1:80 keep");
  });
});

test("IPVS sends packets on from where they are for the node, past the hook forward", () => {
  const listing =
    "TCP  0A600032:0050 rr\n  -> 0A000001:1F90      Masq    1      0          0\n  -> 0A000002:1F90      Masq    0      0          0\n  -> 0A000003:1F90      Masq    1      0          0\n";
  const hooks = [...ipvsHooks(listing), ...iptables(`${service} -j ${mark}`, "filter FORWARD DROP")];
  expect(ask(hooks)).toBe("10.0.0.1:8080 masquerade, 10.0.0.3:8080 masquerade");
  expect(ask(ipvsHooks(listing.replaceAll("Masq ", "Route")))).toBe("redirect");
});

describe("hostile rules take bounded work", () => {
  const many = (count: number, make: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => make(i));
  const RULES = times(5_000, 20_000);
  const maybe = (i: number) => `-m u32 --u32 ${i}`;
  test.each<[string, readonly string[], RegExp]>([
    [
      "each may masquerade",
      many(RULES, (i) => `nat POSTROUTING ${maybe(i)} -j MASQUERADE`),
      new RegExp(`^(masquerade\\?, ){${RULES}}keep$`),
    ],
    [
      "each may accept",
      ["filter FORWARD DROP", ...many(RULES, (i) => `filter FORWARD ${maybe(i)} -j ACCEPT`)],
      /^drop\?, keep$/,
    ],
    [
      "each may mark, in its own way",
      many(
        RULES,
        (i) => `mangle PREROUTING ${maybe(i)} -j MARK --set-xmark ${2 ** (i % 31)}/${2 ** (i % 31)}`,
      ),
      /^masquerade\?, keep$/,
    ],
  ])("%s", (_, lines, expected) => {
    const effort = { rules: 0 };
    expect(ask(iptables(...lines), {}, "10.96.0.50", { effort })).toMatch(expected);
    expect(effort.rules).toBeLessThan(10 * RULES);
  });

  test("chains that lead to each other in a circle, each in two ways", () => {
    const names = many(times(2_000, 5_000), (i) => `C${i}`);
    const text = [
      "*nat",
      ":POSTROUTING ACCEPT [0:0]",
      ...names.map((name) => `:${name} - [0:0]`),
      ...names.map((name, i) => `-A POSTROUTING ${maybe(i)} -j ${name}`),
      ...names.flatMap((name, i) => [
        `-A ${name} ${maybe(i)} -j ${names[(i + 1) % names.length]}`,
        `-A ${name} ${maybe(i)} -g ${names[(i + 7) % names.length]}`,
      ]),
      "COMMIT",
    ].join("\n");
    const read = parseIptablesSave(text);
    if (!read.ok) throw new Error(read.message);
    const effort = { rules: 0 };
    expect(ask(read.hooks, {}, "10.96.0.50", { effort })).toMatch(/^(unknown\?, )+keep$/);
    expect(effort.rules).toBeLessThan(1_000_000);
  });

  test("a long map, and as many endpoints", () => {
    const size = times(20_000, 100_000);
    const key = { concat: [daddr, l4proto, dport] };
    const address = (i: number) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    const elem = many(size, address).map((one) => [{ concat: [one, "tcp", 80] }, { goto: { target: "s" } }]);
    const effort = { rules: 0 };
    const services = nft(
      { p: [[{ vmap: { key, data: "@services" } }]], s: [[{ dnat: { addr: "10.0.0.1" } }]] },
      [{ name: "services", elem }],
    );
    expect(ask(services, {}, address(size - 1), { effort })).toBe("10.0.0.1:80 keep");
    expect(effort.rules).toBeLessThan(100);
    const data = { set: many(size, address).map((one, i) => [i, one]) };
    const endpoints = nft({ p: [[{ dnat: { addr: { map: { key: random(size), data } } } }]] });
    // They are not followed one by one, so it is not said what they see.
    expect(ask(endpoints)).toBe("redirect");
  });
});
