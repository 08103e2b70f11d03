/** What happens to a packet in front of source NAT, told by dumps of iptables and of nft alike. */
import { describe, expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { compareOutcomes, isOpen } from "../explain/agreement.ts";
import { parseIptablesSave } from "./iptables-save.ts";
import type { Hook, Packet } from "./model.ts";
import { parseNftJson } from "./nft/json.ts";
import { tracePacket } from "./trace.ts";

const NODE = parseAddress("192.0.2.1")?.value as bigint;
const LOCAL = { IPv4: [{ first: NODE, last: NODE }], IPv6: [] };

/** Rules of iptables, `TABLE CHAIN WORDS` each; POSTROUTING masquerades what has the mark 0x4000. */
function iptables(...lines: readonly string[]): Hook[] {
  const rules = [...lines, "nat POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE"];
  const dump = ["raw", "mangle", "nat", "filter"].flatMap((table) => {
    const own = rules
      .filter((line) => line.startsWith(`${table} `))
      .map((line) => line.slice(table.length + 1));
    const chains = ["PREROUTING", "INPUT", "FORWARD", "POSTROUTING"].map((chain) => `:${chain} ACCEPT [0:0]`);
    const jumps = [...new Set(own.flatMap((line) => /-j (X\d)/.exec(line)?.[1] ?? []))];
    return [
      `*${table}`,
      ...chains,
      ...jumps.map((chain) => `:${chain} - [0:0]`),
      ...own.map((line) => `-A ${line}`),
      "COMMIT",
    ];
  });
  const read = parseIptablesSave(dump.join("\n"));
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

const daddr = { payload: { protocol: "ip", field: "daddr" } };
const dport = { payload: { protocol: "th", field: "dport" } };
const match = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } });
const TO = match(daddr, "10.96.0.50");

interface Base {
  readonly type?: string;
  readonly hook?: string;
  readonly prio?: number;
  readonly family?: string;
  readonly flags?: string;
  readonly sets?: readonly object[];
}
/** One chain of nft at prerouting. */
function nft(rules: readonly (readonly object[])[], base: Base = {}): Hook[] {
  const { type = "nat", hook = "prerouting", prio = -100, family = "ip", flags, sets = [] } = base;
  const own = { family, table: "t" };
  const objects = [
    { table: { family, name: "t", ...(flags === undefined ? {} : { flags }) } },
    ...sets.map((set) => ({ set: { ...own, ...set } })),
    { chain: { ...own, name: "p", type, hook, prio, policy: "accept" } },
    { chain: { ...own, name: "services" } },
    ...rules.map((expr) => ({ rule: { ...own, chain: "p", expr } })),
    { rule: { ...own, chain: "services", expr: [{ dnat: { addr: "10.244.0.9" } }] } },
  ];
  const read = parseNftJson(JSON.stringify({ nftables: objects }));
  if (!read.ok) throw new Error(`${read.line}: ${read.message}`);
  return [...read.hooks];
}

function outcomes(hooks: readonly Hook[], to = "10.96.0.50", known: Partial<Packet> = {}): string {
  const { family, value } = parseAddress(to) ?? {};
  if (family === undefined || value === undefined) throw new Error(to);
  const { possible, otherwise } = tracePacket(
    hooks,
    { family, destination: value, mark: 0, ...known },
    LOCAL,
  );
  return [...possible, otherwise].map(({ verdict }) => verdict).join();
}

describe("a destination that is translated or exempted first", () => {
  const service = "nat PREROUTING -d 10.96.0.50/32";
  test.each<[string, readonly Hook[], string]>([
    ["DNAT for all ports", iptables(`${service} -j DNAT --to-destination 10.244.0.9`), "redirect"],
    [
      "DNAT for one port",
      iptables(`${service} -p tcp --dport 80 -j DNAT --to-destination 10.244.0.9`),
      "redirect,keep",
    ],
    ["in a chain", iptables(`${service} -j X1`, "nat X1 -j DNAT --to-destination 10.244.0.9"), "redirect"],
    ["REDIRECT", iptables(`${service} -j REDIRECT --to-ports 1`), "drop,redirect"],
    ["NETMAP", iptables(`${service} -j NETMAP --to 10.9.0.0/16`), "redirect"],
    ["TPROXY", iptables("mangle PREROUTING -d 10.96.0.50/32 -j TPROXY --on-port 1"), "drop,redirect"],
    [
      "accepted before",
      iptables("nat PREROUTING -j ACCEPT", `${service} -j DNAT --to-destination 10.244.0.9`),
      "keep",
    ],
    [
      "perhaps accepted before",
      iptables("nat PREROUTING -m socket -j ACCEPT", `${service} -j DNAT --to-destination 10.244.0.9`),
      "redirect,keep",
    ],
    [
      "an extension that we do not know",
      iptables("nat PREROUTING -j FULLCONENAT"),
      "unknown,masquerade,keep",
    ],
    ["NOTRACK", iptables("raw PREROUTING -d 10.96.0.50/32 -j NOTRACK"), "untracked"],
    ["CT --notrack", iptables("raw PREROUTING -d 10.96.0.50/32 -j CT --notrack"), "untracked"],
    ["CT for a helper", iptables("raw PREROUTING -d 10.96.0.50/32 -j CT --helper ftp"), "keep"],
    ["nft dnat", nft([[TO, { dnat: { addr: "10.244.0.9" } }]]), "redirect"],
    ["nft redirect", nft([[TO, match(dport, 80), { redirect: null }]]), "drop,redirect,keep"],
    ["nft tproxy", nft([[TO, { tproxy: { port: 1 } }]], { type: "filter", prio: -150 }), "redirect,keep"],
    ["nft notrack", nft([[TO, { notrack: null }]], { type: "filter", prio: -300 }), "untracked"],
    ["nft notrack behind conntrack", nft([[TO, { notrack: null }]], { type: "filter", prio: -150 }), "keep"],
    [
      "nft writes the address",
      nft([[TO, { mangle: { key: daddr, value: "1.1.1.1" } }]], { type: "filter" }),
      "redirect",
    ],
    [
      "nft writes the source as it leaves",
      nft([[TO, { mangle: { key: { payload: { protocol: "ip", field: "saddr" } }, value: "1.1.1.1" } }]], {
        family: "netdev",
        type: "filter",
        hook: "egress",
      }),
      "unknown,keep",
    ],
    ["of a dormant table", nft([[TO, { dnat: { addr: "10.244.0.9" } }]], { flags: "dormant" }), "keep"],
    [
      "of a dormant table, as nft 1.0.6 says it",
      nft([[TO, { dnat: { addr: "10.244.0.9" } }]], { flags: "d" }),
      "keep",
    ],
    [
      "of a table with an owner",
      nft([[TO, { dnat: { addr: "10.244.0.9" } }]], { flags: "owner" }),
      "redirect",
    ],
  ])("%s", (_, hooks, expected) => {
    expect(outcomes(hooks)).toBe(expected);
    expect(outcomes(hooks, "10.1.2.3").replace("unknown,masquerade,", "")).toBe("keep");
    const { possible, otherwise } = tracePacket(
      hooks,
      { family: "IPv4", destination: parseAddress("10.96.0.50")?.value as bigint, mark: 0 },
      LOCAL,
    );
    if ([...possible, otherwise].some(isOpen))
      for (const wanted of ["keep", "masquerade"] as const)
        expect(compareOutcomes({ verdict: wanted }, [...possible, otherwise])).toBe("unknown");
  });

  test("the rule that names the Service is the one that is told", () => {
    const hooks = iptables(
      "nat PREROUTING -j X1",
      "nat X1 -d 10.96.0.50/32 -p tcp --dport 80 -j X2",
      "nat X2 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.244.0.9",
      "nat X2 -j DNAT --to-destination 10.244.0.8",
    );
    const { possible } = tracePacket(
      hooks,
      { family: "IPv4", destination: parseAddress("10.96.0.50")?.value as bigint },
      LOCAL,
    );
    expect(possible[0]).toMatchObject({
      verdict: "redirect",
      by: { place: "iptables -t nat", chain: "X1", number: 1 },
    });
  });

  const key = { concat: [daddr, { meta: { key: "l4proto" } }, dport] };
  const element = (address: string, port: number) => ({ concat: [address, "tcp", port] });
  const goto = { goto: { target: "services" } };
  test.each<[string, readonly Hook[]]>([
    [
      "a verdict map of addresses, protocols and ports",
      nft([
        [
          {
            vmap: {
              key,
              data: {
                set: [
                  [element("10.96.0.50", 80), goto],
                  [element("10.96.0.51", 80), goto],
                ],
              },
            },
          },
        ],
      ]),
    ],
    [
      "a map with a name",
      nft([[{ vmap: { key, data: "@services" } }]], {
        sets: [
          { name: "services", elem: [[{ elem: { val: element("10.96.0.50", 80), comment: "x" } }, goto]] },
        ],
      }),
    ],
    [
      "a set",
      nft([
        [
          match(key, { set: [element("10.96.0.50", 80), element("10.96.0.51", 80)] }),
          { dnat: { addr: "10.244.0.9" } },
        ],
      ]),
    ],
    [
      "a map of addresses to translate to",
      nft([
        [{ dnat: { addr: { map: { key, data: { set: [[element("10.96.0.50", 80), "10.244.0.9"]] } } } } }],
      ]),
    ],
  ])("%s is for its own destinations only", (_, hooks) => {
    expect(outcomes(hooks)).toBe("redirect,keep");
    expect(outcomes(hooks, "10.96.0.50", { protocol: "udp" })).toBe("keep");
    expect(outcomes(hooks, "8.8.8.8")).toBe("keep");
  });
});

describe("rules that drop", () => {
  test.each<[string, readonly Hook[], string]>([
    ["by the destination", iptables("filter FORWARD -d 10.96.0.50/32 -j REJECT"), "drop"],
    [
      "by the destination and a port",
      iptables("filter FORWARD -d 10.96.0.50/32 -p tcp --dport 80 -j DROP"),
      "drop,keep",
    ],
    ["whatever the destination", iptables("filter FORWARD -i eth7 -j DROP"), "drop,keep"],
    ["into the node", iptables("filter INPUT -d 10.96.0.50/32 -j DROP"), "keep"],
  ])("%s", (_, hooks, expected) => {
    expect(outcomes(hooks)).toBe(expected);
  });
  test("to the node itself, INPUT is asked", () => {
    const hooks = iptables(
      "filter INPUT -m addrtype --dst-type LOCAL -p tcp --dport 1 -j DROP",
      "filter FORWARD -d 192.0.2.1 -j DROP",
    );
    expect(outcomes(hooks, "192.0.2.1")).toBe("drop,keep");
  });
});

describe("marks from in front of source NAT", () => {
  test.each<[string, readonly Hook[], string]>([
    [
      "set for sure",
      iptables("mangle PREROUTING -d 10.96.0.50/32 -j MARK --set-xmark 0x4000/0x4000"),
      "masquerade",
    ],
    [
      "set perhaps",
      iptables("mangle FORWARD -m socket -j MARK --set-xmark 0x4000/0x4000"),
      "masquerade,keep",
    ],
    [
      "other bits, perhaps",
      iptables("mangle PREROUTING -m socket -j MARK --set-xmark 0x200/0xffffffff"),
      "keep",
    ],
    [
      "restored, other bits",
      iptables("mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80"),
      "keep",
    ],
    ["restored, all bits", iptables("mangle PREROUTING -j CONNMARK --restore-mark"), "keep"],
    [
      "set and taken back",
      iptables("mangle PREROUTING -j MARK --set-mark 0x4000", "mangle POSTROUTING -j MARK --and-mark 0xf"),
      "keep",
    ],
    [
      "set in a rule that goes on",
      [
        ...iptables(),
        ...nft(
          [
            [
              TO,
              {
                mangle: {
                  key: { meta: { key: "mark" } },
                  value: { "|": [{ meta: { key: "mark" } }, 0x4000] },
                },
              },
              { accept: null },
            ],
          ],
          { type: "filter" },
        ),
      ],
      "masquerade",
    ],
  ])("%s", (_, hooks, expected) => {
    expect(outcomes(hooks)).toBe(expected);
  });

  test("a rule that changes the mark it asks for is still met", () => {
    const mark = { meta: { key: "mark" } };
    const rule = [
      match({ "&": [mark, 0x4000] }, 0, "!="),
      { mangle: { key: mark, value: { "^": [mark, 0x4000] } } },
      { masquerade: null },
    ];
    const hooks = nft([rule], { hook: "postrouting", prio: 100 });
    expect(outcomes(hooks)).toBe("keep");
    expect(outcomes(hooks, "10.96.0.50", { mark: 0x4000 })).toBe("masquerade");
  });
});
