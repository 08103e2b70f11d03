/**
 * Random foreign rules ahead of ours and after them, which match only on properties that are known of the prober's
 * packets: so what a real packet shows must be exactly what `explain --live` says.
 */
import type { OutcomeView, PartView, TraceView } from "../../../src/explain/view.ts";
import type { Random } from "./equivalence-configs.ts";
import type { Family } from "./iptables.ts";
import { POD } from "./topology.ts";

/** Who else than the pod and the node may be seen. */
export const OTHER: Readonly<Record<Family, string>> = { IPv4: "192.0.2.77", IPv6: "2001:db8:ffff::77" };

const WIDTH: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };
const CHAINS = ["FOREIGN-A", "FOREIGN-B", "FOREIGN-1", "FOREIGN-2", "FOREIGN-3"] as const;

/** Lines that lead POSTROUTING to foreign chains, ahead of the existing rules and after them. */
export const ENTRANCES: readonly string[] = [
  ...CHAINS.map((chain) => `:${chain} - [0:0]`),
  "-I POSTROUTING -j FOREIGN-A",
  "-A POSTROUTING -j FOREIGN-B",
];

/** Lines that replace the content of a family's foreign chains. */
export function foreignChains(family: Family, probes: readonly string[], random: Random): string[] {
  const rules = CHAINS.flatMap((chain, i) =>
    Array.from({ length: Math.floor(random() * 4) }, () => {
      // Only to chains further down, so that there is no circle.
      const target = CHAINS[Math.max(2, i + 1) + Math.floor(random() * 3)];
      return `-A ${chain} ${matches(family, probes, random)} ${action(family, target, random)}`;
    }),
  );
  return [...CHAINS.map((chain) => `:${chain} - [0:0]`), ...rules];
}

/** A table of nftables with base chains beside, before or behind those of iptables and ours. */
export function foreignTable(
  probes: readonly string[],
  priorities: readonly number[],
  random: Random,
): string {
  const priority = pick(priorities, random);
  const rules = (count: number, targets: readonly string[]) =>
    Array.from({ length: count }, () => {
      const family = pick(["IPv4", "IPv6"] as const, random);
      return `    ${nftMatches(family, probes, random)} ${nftAction(family, targets, random)}`;
    });
  const chain = (name: string, head: string, body: readonly string[]) =>
    `  chain ${name} {\n${head}${body.join("\n")}\n  }\n`;
  return [
    "table inet foreign\ndelete table inet foreign\ntable inet foreign {\n",
    chain("two", "", rules(2, ["return", "accept", "masquerade"])),
    chain("one", "", rules(2, ["return", "goto two", "jump two", "masquerade"])),
    chain(
      "post",
      `    type nat hook postrouting priority ${priority}; policy accept;\n`,
      rules(Math.floor(random() * 4), [
        "return",
        "accept",
        "jump one",
        "goto one",
        "goto two",
        "masquerade",
        "snat",
      ]),
    ),
    "}\n",
  ].join("");
}

function matches(family: Family, probes: readonly string[], random: Random): string {
  const not = random() < 0.3 ? "! " : "";
  const one = () =>
    pick(
      [
        `${not}-d ${prefix(family, probes, random)}`,
        `${not}-d ${prefix(family, probes, random)}`,
        `${not}-s ${POD[family]}`,
        `-m mark ${not}--mark ${pick(["0x4000/0x4000", "0x1", "0x0"], random)}`,
        `-m addrtype ${not}--dst-type LOCAL`,
        `-m conntrack ${not}--ctstate ${pick(["NEW", "ESTABLISHED", "NEW,RELATED"], random)}`,
        `${not}-o ${pick(["eth0", "et+", "cni0"], random)}`,
        `${not}-p ${pick(["udp", "tcp"], random)}`,
        '-m comment --comment "says \\"-d 0.0.0.0/0\\" and -j DROP"',
      ],
      random,
    );
  const first = one();
  if (random() < 0.6) return first;
  const second = one();
  // An option may occur once only.
  return second.split(" ").some((word) => word.startsWith("-") && first.includes(word))
    ? first
    : `${first} ${second}`;
}

function action(family: Family, target: string | undefined, random: Random): string {
  const jumps = target === undefined ? [] : [`-j ${target}`, `-j ${target}`, `-g ${target}`];
  const marks = ["-j MARK --set-xmark 0x4000/0x4000", "-j MARK --set-xmark 0x4000/0x0"];
  return pick(
    [...jumps, ...marks, "-j RETURN", "-j ACCEPT", "-j MASQUERADE", `-j SNAT --to-source ${OTHER[family]}`],
    random,
  );
}

function nftMatches(family: Family, probes: readonly string[], random: Random): string {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const not = random() < 0.3 ? "!= " : "";
  const prefixes = () => [
    ...new Set([prefix(family, probes, random), "9.9.9.9"].slice(0, family === "IPv4" ? 2 : 1)),
  ];
  const match = pick(
    [
      `${ip} daddr ${not}${prefix(family, probes, random)}`,
      `${ip} daddr ${not}{ ${disjoint(prefixes()).join(", ")} }`,
      `${ip} saddr ${not}${POD[family]}`,
      `meta mark & 0x4000 ${random() < 0.5 ? "==" : "!="} 0x0`,
      `oifname ${not}"eth0"`,
      `meta l4proto ${not}{ tcp, udp }`,
      `fib daddr type ${not}local`,
      `ct state new`,
      `meta nfproto ${family.toLowerCase()}`,
    ],
    random,
  );
  return `${match} counter`;
}

/** Elements of a set may not overlap: of two the first, unless it can be told that they don't. */
function disjoint(prefixes: readonly string[]): readonly string[] {
  return prefixes.filter(
    (text, i) => i === 0 || (text === "9.9.9.9" && !/\/([0-9])$/.test(prefixes[0] ?? "")),
  );
}

function nftAction(family: Family, targets: readonly string[], random: Random): string {
  const target = pick([...targets, "meta mark set meta mark or 0x4000", "meta mark set 0"], random);
  return target === "snat" ? `snat ${family === "IPv4" ? "ip" : "ip6"} to ${OTHER[family]}` : target;
}

/** A prefix around one of the probes of the family. */
function prefix(family: Family, probes: readonly string[], random: Random): string {
  return prefixAround(family, probes, 1, random);
}

/** The same, at least so long. */
export function prefixAround(
  family: Family,
  probes: readonly string[],
  least: number,
  random: Random,
): string {
  const own = probes.filter((probe) => probe.includes(":") === (family === "IPv6"));
  const address = own.length === 0 ? POD[family] : pick(own, random);
  const bits = least + Math.floor(random() * (WIDTH[family] - least + 1));
  return `${truncate(family, address, bits)}/${bits}`;
}

function truncate(family: Family, address: string, bits: number): string {
  const [separator, radix, each] = family === "IPv4" ? ([".", 10, 8] as const) : ([":", 16, 16] as const);
  const parts = address.split(separator).map((part, i) => {
    const kept = Math.max(0, Math.min(each, bits - i * each));
    return (Number.parseInt(part, radix) >> (each - kept)) << (each - kept);
  });
  return parts.map((part) => part.toString(radix)).join(separator);
}

/** One of them. */
export function pick<T>(all: readonly T[], random: Random): T {
  return all[Math.floor(random() * all.length)] as T;
}

/** The answer, without the words in which the tool and the kernel differ. */
export function essence(part: PartView | undefined): unknown {
  if (part === undefined) return undefined;
  const { verdict, agrees, live } = part;
  if (live === undefined) return [verdict, agrees];
  return [verdict, agrees, traceEssence(live), live.marked.map(outcomeEssence)];
}

function traceEssence({ possible, ...otherwise }: TraceView): unknown {
  return [...possible, otherwise].map(outcomeEssence);
}

function outcomeEssence({ verdict, by, source, interface: out, endpoints = [] }: OutcomeView): unknown {
  const places = endpoints.map(({ destination, port, live }) => [destination, port, traceEssence(live)]);
  return [[verdict, by?.chain, by?.number, source, out].join(" "), places];
}
