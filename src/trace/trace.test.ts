import { describe, expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { type DumpResult, parseIptablesSave } from "./iptables-save.ts";
import type { Packet } from "./model.ts";
import { parseNftJson } from "./nft/json.ts";
import type { TraceOutcome } from "./outcome.ts";
import { tracePacket } from "./trace.ts";

const NODE = parseAddress("192.0.2.1")?.value as bigint;
const LOCAL = { IPv4: [{ first: NODE, last: NODE }], IPv6: [] };

const KUBE_POSTROUTING = `:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
`;
const OURS = `:IP-MASQ-AGENT - [0:0]
-A POSTROUTING -m comment --comment "ip-masq-agent: -j NOTHING" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
-A IP-MASQ-AGENT -d 10.0.0.0/8 -m comment --comment "ip-masq-agent: local traffic" -j RETURN
-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: (must be last in chain)" -j MASQUERADE --random-fully
`;

function nat(...parts: readonly string[]): string {
  const chains = parts
    .join("")
    .split("\n")
    .filter((line) => line.startsWith(":"));
  const rules = parts
    .join("")
    .split("\n")
    .filter((line) => !line.startsWith(":") && line !== "");
  return ["*nat", ":POSTROUTING ACCEPT [0:0]", ...chains, ...rules, "COMMIT", ""].join("\n");
}

/** What becomes of a packet to `destination`: every possible outcome, the last is what happens otherwise. */
function outcomes(dump: DumpResult, destination: string, packet: Partial<Packet> = {}): string[] {
  if (!dump.ok) throw new Error(`${dump.line}: ${dump.message}`);
  const { family, value } = parseAddress(destination) ?? {};
  if (family === undefined || value === undefined) throw new Error(destination);
  const { possible, otherwise } = tracePacket(dump.hooks, { family, destination: value, ...packet }, LOCAL);
  return [...possible, otherwise].map(describeOutcome);
}

function describeOutcome({ verdict, by, conditions }: TraceOutcome): string {
  const where = by === undefined ? "" : ` by ${by.chain} ${by.number}`;
  return `${verdict}${where}${conditions.length === 0 ? "" : ` if ${conditions.join(", ")}`}`;
}

const SADDR = { payload: { protocol: "ip", field: "saddr" } };
const source = parseAddress("10.244.1.2")?.value as bigint;

/** The same rules: a pod's address chooses between two of the node's, behind one link. */
const SLOTS = {
  iptables: parseIptablesSave(
    nat(
      "-A POSTROUTING -s 10.244.0.0/255.255.0.1 -o bond+ -j SNAT --to-source 192.0.2.7\n",
      "-A POSTROUTING -o bond+ -j SNAT --to-source 192.0.2.8\n",
    ),
  ),
  nft: parseNftJson(
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        { table: { family: "inet", name: "t" } },
        {
          chain: {
            ...{ family: "inet", table: "t", name: "POSTROUTING", type: "nat" },
            ...{ hook: "postrouting", prio: 101, policy: "accept" },
          },
        },
        ...[
          [{ match: { op: "==", left: { "&": [SADDR, "255.255.0.1"] }, right: "10.244.0.0" } }],
          [{ match: { op: "==", left: { meta: { key: "nfproto" } }, right: "ipv4" } }],
        ].map((first, i) => ({
          rule: {
            ...{ family: "inet", table: "t", chain: "POSTROUTING" },
            expr: [
              ...first,
              { match: { op: "==", left: { meta: { key: "oifname" } }, right: "bond*" } },
              { snat: { family: "ip", addr: `192.0.2.${7 + i}` } },
            ],
          },
        })),
      ],
    }),
  ),
};

test.each(Object.entries(SLOTS))("bits of the source choose an address: %s", (_, dump) => {
  const of = (last: bigint, out = "bond0") => outcomes(dump, "8.8.8.8", { source: source + last, out });
  expect([of(0n), of(1n), of(6n)]).toEqual([
    ["translate by POSTROUTING 1"],
    ["translate by POSTROUTING 2"],
    ["translate by POSTROUTING 1"],
  ]);
  expect(outcomes(dump, "8.8.8.8", { source: 1n << 24n, out: "bond0" })).toEqual([
    "translate by POSTROUTING 2",
  ]);
  expect(of(0n, "eth0")).toEqual(["keep"]);
  const open = outcomes(dump, "8.8.8.8", { out: "bond0" });
  expect(open).toEqual([
    expect.stringMatching(/^translate by POSTROUTING 1 if /),
    "translate by POSTROUTING 2",
  ]);
});

describe("a dump of iptables", () => {
  test("our chain decides, but not about the node's own addresses", () => {
    const dump = parseIptablesSave(nat(OURS));
    expect(outcomes(dump, "10.1.2.3")).toEqual(["keep"]);
    expect(outcomes(dump, "8.8.8.8")).toEqual(["masquerade by IP-MASQ-AGENT 2"]);
    expect(outcomes(dump, "192.0.2.1")).toEqual(["keep"]);
  });

  test("kube-proxy's mark rules depend on the mark, unless it is known", () => {
    const dump = parseIptablesSave(nat(KUBE_POSTROUTING, OURS));
    expect(outcomes(dump, "10.1.2.3")).toMatchInlineSnapshot(`
      [
        "masquerade by KUBE-POSTROUTING 3 if not (! --mark 0x4000/0x4000)",
        "keep",
      ]
    `);
    expect(outcomes(dump, "10.1.2.3", { mark: 0 })).toEqual(["keep"]);
    expect(outcomes(dump, "10.1.2.3", { mark: 0x4001 })).toEqual(["masquerade by KUBE-POSTROUTING 3"]);
    expect(outcomes(dump, "8.8.8.8", { mark: 0 })).toEqual(["masquerade by IP-MASQ-AGENT 2"]);
  });

  test("a masquerade rule of kubenet in front of ours decides first", () => {
    const kubenet = `-A POSTROUTING ! -d 10.0.0.0/9 -m comment --comment "kubenet: SNAT for outbound traffic from cluster" -m addrtype ! --dst-type LOCAL -j MASQUERADE\n`;
    const dump = parseIptablesSave(nat(kubenet, OURS));
    expect(outcomes(dump, "10.1.2.3")).toEqual(["keep"]);
    expect(outcomes(dump, "10.200.2.3")).toEqual(["masquerade by POSTROUTING 1"]);
  });

  test("a CNI plugin's chain for each pod depends on the source, unless it is known", () => {
    const cni = `:CNI-abcdef - [0:0]
-A POSTROUTING -s 10.244.1.2/32 -m comment --comment "name: \\"x\\" id: \\"y\\"" -j CNI-abcdef
-A CNI-abcdef -d 10.244.1.0/24 -m comment --comment "name" -j ACCEPT
-A CNI-abcdef ! -d 224.0.0.0/4 -m comment --comment "name" -j MASQUERADE
`;
    const dump = parseIptablesSave(nat(cni, OURS));
    expect(outcomes(dump, "10.1.2.3")).toMatchInlineSnapshot(`
      [
        "masquerade by CNI-abcdef 2 if -s 10.244.1.2/32",
        "keep",
      ]
    `);
    expect(outcomes(dump, "10.1.2.3", { source })).toEqual(["masquerade by CNI-abcdef 2"]);
    expect(outcomes(dump, "10.1.2.3", { source: source + 1n })).toEqual(["keep"]);
    expect(outcomes(dump, "10.244.1.7", { source })).toEqual(["keep"]);
  });

  test("what may accept in front of ours makes ours uncertain, and a later base chain is asked all the same", () => {
    const dump = parseIptablesSave(nat("-A POSTROUTING -p tcp -j ACCEPT\n", OURS));
    expect(outcomes(dump, "8.8.8.8")).toMatchInlineSnapshot(`
      [
        "masquerade by IP-MASQ-AGENT 2 if not (-p tcp)",
        "keep",
      ]
    `);
    expect(outcomes(dump, "8.8.8.8", { protocol: "tcp" })).toEqual(["keep"]);
    expect(outcomes(dump, "8.8.8.8", { protocol: "udp" })).toEqual(["masquerade by IP-MASQ-AGENT 2"]);
  });

  test("what a rule asks that we do not know is never guessed", () => {
    for (const rule of [
      "-m recent --rcheck --name X",
      "-m socket",
      "-m tcp --dport 80",
      "-m u32 --u32 6&0xFF=1",
      "-o eth0",
      "-s 10.0.0.0/255.0.0.255",
    ])
      expect(
        outcomes(parseIptablesSave(nat(`-A POSTROUTING ${rule} -j MASQUERADE\n`)), "8.8.8.8")[0],
      ).toMatch(/^masquerade by POSTROUTING 1 if /);
    const unknown = parseIptablesSave(nat("-A POSTROUTING -j FULLCONENAT\n"));
    expect(outcomes(unknown, "8.8.8.8")).toEqual(["unknown by POSTROUTING 1", "keep"]);
  });

  test("a new flow is new, and an ipset is what is known of it", () => {
    const rules =
      "-A POSTROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A POSTROUTING -m conntrack --ctstate INVALID -j DROP\n-A POSTROUTING -m set ! --match-set keep dst -j MASQUERADE\n";
    const sets = new Map([
      ["keep", { family: "IPv4", places: [[{ first: NODE, last: NODE }]], elements: [] } as const],
    ]);
    expect(outcomes(parseIptablesSave(nat(rules), sets), "192.0.2.1")).toMatchInlineSnapshot(`
      [
        "keep",
      ]
    `);
    expect(outcomes(parseIptablesSave(nat(rules), sets), "192.0.2.2")).toMatchInlineSnapshot(`
      [
        "masquerade by POSTROUTING 3",
      ]
    `);
    expect(outcomes(parseIptablesSave(nat(rules)), "192.0.2.2")).toMatchInlineSnapshot(`
      [
        "masquerade by POSTROUTING 3 if ! --match-set keep dst",
        "keep",
      ]
    `);
  });

  test("a goto does not come back, a jump does", () => {
    const rules =
      ":A - [0:0]\n:B - [0:0]\n-A POSTROUTING -j A\n-A POSTROUTING -j DROP\n-A A -g B\n-A A -j SNAT --to-source 1.2.3.4\n-A B -d 10.0.0.0/8 -j RETURN\n";
    expect(outcomes(parseIptablesSave(nat(rules)), "10.0.0.1")).toEqual(["drop by POSTROUTING 2"]);
  });

  test("chains that lead to each other in a circle, or without end, come to an end", () => {
    const circle = ":A - [0:0]\n-A POSTROUTING -j A\n-A A -j A\n";
    expect(outcomes(parseIptablesSave(nat(circle)), "10.0.0.1").at(-1)).toBe("unknown by A 1");
    const chains = Array.from(
      { length: 40 },
      (_, i) => `:C${i} - [0:0]\n-A C${i} -j C${i + 1}\n-A C${i} -j C${i + 1}\n`,
    );
    expect(
      outcomes(
        parseIptablesSave(nat("-A POSTROUTING -j C0\n", ...chains, ":C40 - [0:0]\n-A C40 -j RETURN\n")),
        "10.0.0.1",
      ).at(-1),
    ).toBe("keep");
  });
});

/** The JSON of an inet table with one base chain at hook postrouting. */
function inet(rules: readonly object[], more: readonly object[] = [], prio = 100): string {
  const at = { family: "inet", table: "t" };
  return JSON.stringify({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family: "inet", name: "t" } },
      { chain: { ...at, name: "p", type: "nat", hook: "postrouting", prio, policy: "accept" } },
      ...more.map((one) =>
        Object.fromEntries(Object.entries(one).map(([kind, value]) => [kind, { ...at, ...value }])),
      ),
      ...rules.map((expr) => ({ rule: { ...at, chain: "p", expr } })),
    ],
  });
}

const daddr = { payload: { protocol: "ip", field: "daddr" } };
const mark = { meta: { key: "mark" } };
const matching = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } });
const MASQUERADE = { masquerade: { flags: "fully-random" } };

describe("a dump of nft", () => {
  test("addresses, prefixes, ranges, sets with and without a name", () => {
    const set = {
      set: {
        name: "s",
        type: "ipv4_addr",
        elem: [{ elem: { val: "1.2.3.4", comment: "x" } }, { prefix: { addr: "10.0.0.0", len: 8 } }],
      },
    };
    const dump = parseNftJson(
      inet(
        [
          [matching(daddr, "@s"), { return: null }],
          [matching(daddr, { set: [{ range: ["8.8.8.8", "8.8.8.9"] }] }, "!="), MASQUERADE],
        ],
        [set],
      ),
    );
    expect(outcomes(dump, "1.2.3.4")).toEqual(["keep"]);
    expect(outcomes(dump, "10.9.9.9")).toEqual(["keep"]);
    expect(outcomes(dump, "8.8.8.9")).toEqual(["keep"]);
    expect(outcomes(dump, "8.8.8.10")).toEqual(["masquerade by p 2"]);
    // An IPv4 address is none of an IPv6 packet's, whatever the operator.
    expect(outcomes(dump, "2001:db8::1")).toEqual(["keep"]);
  });

  test("kube-proxy's mark, and a verdict map", () => {
    const rules = [
      [matching({ "&": [mark, 0x4000] }, 0), { return: null }],
      [{ mangle: { key: mark, value: { "^": [mark, 0x4000] } } }],
      [
        {
          vmap: {
            key: daddr,
            data: {
              set: [
                ["1.2.3.4", { accept: null }],
                [{ prefix: { addr: "10.0.0.0", len: 8 } }, { goto: { target: "c" } }],
              ],
            },
          },
        },
      ],
      [MASQUERADE],
    ];
    const dump = parseNftJson(
      inet(rules, [
        { chain: { name: "c" } },
        { rule: { chain: "c", expr: [{ snat: { addr: "9.9.9.9" } }] } },
      ]),
    );
    expect(outcomes(dump, "10.1.1.1", { mark: 1 })).toEqual(["keep"]);
    expect(outcomes(dump, "10.1.1.1", { mark: 0x4000 })).toEqual(["translate by c 1"]);
    expect(outcomes(dump, "1.2.3.4", { mark: 0x4000 })).toEqual(["keep"]);
    expect(outcomes(dump, "8.8.8.8")).toMatchInlineSnapshot(`
      [
        "masquerade by p 4 if not (meta mark & 16384 0)",
        "keep",
      ]
    `);
  });

  test("rules of iptables in it may decide, since nft does not show what they ask", () => {
    const xt = [
      { xt: { type: "match", name: "comment" } },
      { xt: { type: "match", name: "addrtype" } },
      { xt: { type: "target", name: "MASQUERADE" } },
    ];
    expect(outcomes(parseNftJson(inet([xt])), "8.8.8.8")).toMatchInlineSnapshot(`
      [
        "masquerade by p 1 if -m addrtype (of iptables, not shown by nft)",
        "keep",
      ]
    `);
  });

  test("of base chains at hook postrouting the one with the lower priority comes first", () => {
    const ours = parseIptablesSave(nat(OURS));
    const other = (prio: number) =>
      parseNftJson(inet([[matching(daddr, "8.8.8.8"), { snat: { addr: "1.2.3.4" } }]], [], prio));
    const both = (prio: number) => {
      const foreign = other(prio);
      if (!ours.ok || !foreign.ok) throw new Error("not read");
      return { ...ours, hooks: [...ours.hooks, ...foreign.hooks] };
    };
    expect(outcomes(both(50), "8.8.8.8")).toEqual(["translate by p 1"]);
    expect(outcomes(both(101), "8.8.8.8")).toEqual(["masquerade by IP-MASQ-AGENT 2"]);
    // Later registered, earlier called.
    expect(outcomes(both(100), "8.8.8.8")).toEqual(["translate by p 1"]);
  });
});
