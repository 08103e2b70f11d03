/**
 * What random nodes have in front of source NAT: Services in both of kube-proxy's forms, exemptions from conntrack, marks, and drops in
 * forward. Everything that the rules look at is known of the prober's packets, but for chance.
 */
import type { Random } from "./equivalence-configs.ts";
import { pick, prefixAround } from "./explain-rules.ts";
import type { Family, Variant } from "./iptables.ts";
import { POD } from "./topology.ts";

export interface Service {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
  /** Each with a port of its own, by which a receiver is known. */
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
  readonly isMarked: boolean;
  readonly hasAffinity: boolean;
}

/** The ports that the prober's receiver listens to. */
const FIRST_PORT = 7_100;
const SERVICES = 3;
const MOST = 3;

const REGION: Readonly<Record<Family, (random: Random) => string>> = {
  IPv4: (random) => `10.96.${Math.floor(random() * 256)}.${1 + Math.floor(random() * 254)}`,
  IPv6: (random) => `fd00:96:0:0:0:0:0:${(1 + Math.floor(random() * 65_534)).toString(16)}`,
};

/** A node's Services; endpoints are at addresses that are probed as well. */
export function createServices(probes: readonly string[], random: Random): Service[] {
  let port = FIRST_PORT;
  return (["IPv4", "IPv6"] as const).flatMap((family) => {
    const own = probes.filter((probe) => probe.includes(":") === (family === "IPv6"));
    return Array.from({ length: 1 + Math.floor(random() * SERVICES) }, () => ({
      family,
      address: REGION[family](random),
      port: FIRST_PORT + 32 + Math.floor(random() * 32),
      endpoints: Array.from({ length: Math.floor(random() * (MOST + 1)) }, () => ({
        address: pick(own, random),
        port: port++,
      })),
      isMarked: random() < 0.4,
      hasAffinity: random() < 0.3,
    }));
  });
}

const KUBE_CHAINS = ["KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"];
const chainsOf = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
const NAT_CHAINS = [
  ...KUBE_CHAINS,
  ...chainsOf("KUBE-SVC", SERVICES),
  ...chainsOf("KUBE-SEP", SERVICES * MOST),
];
const FOREIGN = {
  raw: "FOREIGN-RAW",
  mangle: "FOREIGN-MARK",
  nat: "FOREIGN-NAT",
  filter: "FOREIGN-FORWARD",
} as const;

/** What leads to the chains, for `iptables-restore --noflush`, once for each node. */
export const BEFORE_ENTRANCES = table({
  raw: [`:${FOREIGN.raw} - [0:0]`, `-A PREROUTING -j ${FOREIGN.raw}`],
  mangle: [`:${FOREIGN.mangle} - [0:0]`, `-A PREROUTING -j ${FOREIGN.mangle}`],
  filter: [
    ":KUBE-FORWARD - [0:0]",
    `:${FOREIGN.filter} - [0:0]`,
    "-A FORWARD -j KUBE-FORWARD",
    `-A FORWARD -j ${FOREIGN.filter}`,
  ],
  nat: [
    ...NAT_CHAINS.map(declared),
    declared(FOREIGN.nat),
    `-A PREROUTING -j ${FOREIGN.nat}`,
    "-A PREROUTING -j KUBE-SERVICES",
    "-I POSTROUTING -j KUBE-POSTROUTING",
  ],
});

function table(tables: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(tables)
    .map(([name, lines]) => [`*${name}`, ...lines, "COMMIT", ""].join("\n"))
    .join("");
}

function declared(chain: string): string {
  return `:${chain} - [0:0]`;
}

/** Fills the chains of one family: Services, if they are in this form, and what is in front of them. */
export function beforeChains(
  family: Family,
  services: readonly Service[],
  probes: readonly string[],
  random: Random,
): string {
  const own = services.filter((one) => one.family === family);
  const some = (most: number, make: () => string) =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, make);
  const match = (where: "before" | "nat" | "forward") => matches(family, probes, where, random);
  return table({
    raw: [
      declared(FOREIGN.raw),
      ...some(1, () => `-A ${FOREIGN.raw} ${match("before")} -j ${pick(["CT --notrack", "RETURN"], random)}`),
    ],
    mangle: [
      declared(FOREIGN.mangle),
      ...some(2, () => `-A ${FOREIGN.mangle} ${match("before")} -j ${pick(MARKS, random)}`),
    ],
    filter: [
      declared("KUBE-FORWARD"),
      declared(FOREIGN.filter),
      "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
      ...own
        .filter(({ endpoints }) => endpoints.length === 0)
        .map((one) => `-A KUBE-FORWARD ${toService(one)} -m conntrack --ctstate NEW -j REJECT`),
      ...some(
        2,
        () =>
          `-A ${FOREIGN.filter} ${match("forward")} -j ${pick(["DROP", "REJECT", "ACCEPT", "RETURN"], random)}`,
      ),
    ],
    nat: [
      ...NAT_CHAINS.map(declared),
      declared(FOREIGN.nat),
      ...some(2, () => `-A ${FOREIGN.nat} ${match("nat")} -j ${pick(NAT, random)}`),
      ...(own.length === 0 ? [] : POSTROUTING),
      ...own.flatMap(serviceRules),
    ],
  });
}

const MARKS = [
  "MARK --or-mark 0x4000",
  "MARK --and-mark 0xffffbfff",
  "MARK --set-xmark 0x1/0xffffffff",
  "CONNMARK --set-xmark 0x80/0x80",
  "CONNMARK --save-mark --nfmask 0x4001 --ctmask 0x4080",
  "CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x4080",
  "CONNMARK --restore-mark",
  "RETURN",
  "ACCEPT",
];
/** As AWS' CNI plugin marks connections in the table nat, and a redirection to a socket of the node. */
const NAT = [
  "CONNMARK --set-xmark 0x4000/0x4000",
  "CONNMARK --restore-mark --nfmask 0x4000 --ctmask 0x4000",
  "REDIRECT",
  "RETURN",
];
const POSTROUTING = [
  "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
  "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
  "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
  "-A KUBE-POSTROUTING -j MASQUERADE",
];

function toService({ address, port }: Service): string {
  return `-d ${address} -p udp -m udp --dport ${port}`;
}

/** As kube-proxy's mode iptables writes them. */
function serviceRules(service: Service, at: number): string[] {
  const { endpoints, isMarked, hasAffinity } = service;
  if (endpoints.length === 0) return [];
  const chain = `KUBE-SVC-${at}`;
  const sep = (i: number) => `KUBE-SEP-${at * MOST + i}`;
  const recent = (i: number, how: string) =>
    `-m recent --${how} --name ${sep(i)} --mask ${ALL[service.family]} --rsource`;
  return [
    `-A KUBE-SERVICES ${toService(service)} -j ${chain}`,
    ...(isMarked ? [`-A ${chain} -j KUBE-MARK-MASQ`] : []),
    ...(hasAffinity
      ? endpoints.map((_, i) => `-A ${chain} ${recent(i, "rcheck --seconds 10800 --reap")} -j ${sep(i)}`)
      : []),
    ...endpoints.map((_, i) => {
      const left = endpoints.length - i;
      const chance = left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(11)} `;
      return `-A ${chain} ${chance}-j ${sep(i)}`;
    }),
    ...endpoints.flatMap(({ address, port }, i) => {
      const to = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
      return [
        `-A ${sep(i)} -s ${address} -j KUBE-MARK-MASQ`,
        `-A ${sep(i)} -p udp ${hasAffinity ? `${recent(i, "set")} ` : ""}-m udp -j DNAT --to-destination ${to}`,
      ];
    }),
  ];
}

const ALL: Readonly<Record<Family, string>> = {
  IPv4: "255.255.255.255",
  IPv6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

function matches(
  family: Family,
  probes: readonly string[],
  where: "before" | "nat" | "forward",
  random: Random,
): string {
  const not = random() < 0.2 ? "! " : "";
  // Not so wide that nothing is left.
  const prefix = () => prefixAround(family, probes, 8, random);
  const all = [
    `-d ${prefix()}`,
    `-d ${prefix()}`,
    `-d ${prefix()} ${not}-s ${POD[family]}`,
    `-d ${prefix()} ${not}-i ${pick(["pod0", "po+", "eth0"], random)}`,
    `-d ${prefix()} -p ${pick(["udp", "tcp"], random)}`,
    `-d ${prefix()} -m mark ${not}--mark ${pick(["0x4000/0x4000", "0x1", "0x0"], random)}`,
    `-d ${prefix()} -m connmark ${not}--mark ${pick(["0x80/0x80", "0x4000/0x4000", "0x0"], random)}`,
    `-d ${prefix()} -m conntrack --ctdir ${pick(["ORIGINAL", "REPLY"], random)}`,
    `-d ${prefix()} -m conntrack ${not}--ctstatus ${pick(["NONE", "ASSURED", "CONFIRMED"], random)}`,
    `-m conntrack ${not}--ctorigdst ${prefix()} --ctorigsrc ${POD[family]}`,
    `-m conntrack --ctproto 17 ${not}--ctorigdst ${prefix()}`,
    ...(where === "forward"
      ? [
          `${not}-o ${pick(["eth1", "pod0"], random)} -d ${prefix()}`,
          `-d ${prefix()} -m conntrack ${not}--ctstate ${pick(["NEW", "RELATED,ESTABLISHED", "DNAT", "UNTRACKED"], random)}`,
        ]
      : []),
  ];
  return pick(all, random);
}

/** kube-proxy's mode nftables, and a table with a chain of each hook in front of source NAT. */
export function beforeTables(
  services: readonly Service[],
  probes: readonly string[],
  variant: Variant,
  random: Random,
): string {
  // Of legacy tables it is not known whether they come before those of nf_tables with the same priority.
  const priority = pick(variant === "legacy" ? [90, 110] : [90, 100, 110], random);
  const kube = (["IPv4", "IPv6"] as const).map((family) => {
    const own = services.filter((one) => one.family === family);
    return kubeTable(family, own, { priority, before: variant === "legacy" ? -110 : -100 });
  });
  return [...kube, foreignBefore(probes, random)].join("");
}

function kubeTable(
  family: Family,
  services: readonly Service[],
  { priority, before }: { readonly priority: number; readonly before: number },
): string {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const name = `${ip} kube-like`;
  const head = `table ${name}\ndelete table ${name}\n`;
  if (services.length === 0) return head;
  const type = family === "IPv4" ? "ipv4_addr" : "ipv6_addr";
  const map = (kind: string, of: readonly Service[], verdict: (one: Service) => string) =>
    `  map ${kind} { type ${type} . inet_proto . inet_service : verdict; ${
      of.length === 0
        ? ""
        : `elements = { ${of.map((one) => `${one.address} . udp . ${one.port} : ${verdict(one)}`).join(", ")} }; `
    }}\n`;
  const reached = services.filter(({ endpoints }) => endpoints.length > 0);
  const lost = services.filter(({ endpoints }) => endpoints.length === 0);
  const chain = (title: string, lines: readonly string[]) =>
    `  chain ${title} {\n    ${lines.join("\n    ")}\n  }\n`;
  return [
    head,
    `table ${name} {\n`,
    map("service-ips", reached, (one) => `goto service-${services.indexOf(one)}`),
    map("no-endpoints", lost, () => "goto reject-chain"),
    ...reached.flatMap(({ endpoints, hasAffinity }) =>
      hasAffinity
        ? endpoints.map(
            ({ port }) => `  set affinity-${port} { type ${type}; flags dynamic,timeout; timeout 3h; }\n`,
          )
        : [],
    ),
    chain("reject-chain", ["reject"]),
    ...reached.flatMap((one) => serviceChains(one, `service-${services.indexOf(one)}`, ip, chain)),
    chain("services", [`${ip} daddr . meta l4proto . th dport vmap @service-ips`]),
    chain("check", [`${ip} daddr . meta l4proto . th dport vmap @no-endpoints`]),
    chain("forward", ["type filter hook forward priority -1; policy accept;", "ct state new jump check"]),
    chain("prerouting", [`type nat hook prerouting priority ${before}; policy accept;`, "jump services"]),
    chain("postrouting", [
      `type nat hook postrouting priority ${priority}; policy accept;`,
      "meta mark & 0x4000 != 0 meta mark set meta mark xor 0x4000 masquerade",
    ]),
    "}\n",
  ].join("");
}

function serviceChains(
  { endpoints, isMarked, hasAffinity }: Service,
  name: string,
  ip: string,
  chain: (title: string, lines: readonly string[]) => string,
): string[] {
  const mark = isMarked ? ["meta mark set meta mark or 0x4000"] : [];
  const numbered = (to: (one: Service["endpoints"][number]) => string) =>
    endpoints.map((one, i) => `${i} : ${to(one)}`).join(", ");
  const random = `numgen random mod ${endpoints.length}`;
  if (!hasAffinity)
    return [
      chain(name, [
        ...mark,
        `meta l4proto udp dnat ${ip} to ${random} map { ${numbered(({ address, port }) => `${address} . ${port}`)} }`,
      ]),
    ];
  const places = endpoints.map(({ address, port }) =>
    chain(`endpoint-${port}`, [
      `update @affinity-${port} { ${ip} saddr }`,
      `meta l4proto udp dnat ${ip} to ${address.includes(":") ? `[${address}]` : address}:${port}`,
    ]),
  );
  return [
    ...places,
    chain(name, [
      ...mark,
      ...endpoints.map(({ port }) => `${ip} saddr @affinity-${port} goto endpoint-${port}`),
      `${random} vmap { ${numbered(({ port }) => `goto endpoint-${port}`)} }`,
    ]),
  ];
}

function foreignBefore(probes: readonly string[], random: Random): string {
  const some = (most: number, actions: readonly string[], where: "before" | "forward") =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, () => {
      const family = pick(["IPv4", "IPv6"] as const, random);
      return `    ${nftMatches(family, probes, where, random)} ${pick(actions, random)}\n`;
    }).join("");
  const policy = random() < 0.1 ? "drop" : "accept";
  // Under a policy of drop, what is let through by default is told apart by its link.
  const rest = policy === "drop" ? '    iifname "pod0" meta l4proto udp accept\n' : "";
  return [
    "table inet foreign-before\ndelete table inet foreign-before\ntable inet foreign-before {\n",
    `  chain before-raw {\n    type filter hook prerouting priority -299; policy accept;\n${some(1, ["notrack", "return"], "before")}  }\n`,
    `  chain before-mark {\n    type filter hook prerouting priority -149; policy accept;\n${some(
      2,
      [
        "meta mark set meta mark or 0x4000",
        "meta mark set 0x1",
        "ct mark set 0x80",
        "ct mark set meta mark or 0x4000",
        "ct mark set ct mark xor 0x4000",
        "meta mark set ct mark",
        "meta mark set ct mark and 0x4000 accept",
        "accept",
      ],
      "before",
    )}  }\n`,
    `  chain before-forward {\n    type filter hook forward priority 10; policy ${policy};\n    ct state invalid drop\n${some(
      2,
      ["drop", "reject", "accept", "return"],
      "forward",
    )}${rest}  }\n`,
    "}\n",
  ].join("");
}

function nftMatches(
  family: Family,
  probes: readonly string[],
  where: "before" | "forward",
  random: Random,
): string {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const not = random() < 0.2 ? "!= " : "";
  const to = `${ip} daddr ${prefixAround(family, probes, 8, random)}`;
  const all = [
    to,
    `${to} ${ip} saddr ${not}${POD[family]}`,
    `${to} iifname ${not}"pod0"`,
    `${to} meta l4proto ${not}udp`,
    `${to} ct mark & 0x4080 ${not === "" ? "==" : "!="} 0x0`,
    `${to} ct mark ${not}0x80`,
    `${to} ct direction ${not}original`,
    `ct original ${ip} daddr ${not}${prefixAround(family, probes, 8, random)}`,
    `${to} ct original ${ip} saddr ${POD[family]}`,
    `${to} meta mark & 0x4000 ${not === "" ? "==" : "!="} 0x0`,
    ...(where === "forward"
      ? [`${to} oifname ${not}"eth0"`, `${to} ct status dnat`, `${to} ct state { established, related }`]
      : []),
  ];
  return `${pick(all, random)} counter`;
}
