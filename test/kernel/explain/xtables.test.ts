/** Rules of iptables-nft are understood without the tool iptables: their modules are read from the kernel's own structures. */
import { expect } from "vitest";
import type { ExplainView, PartView } from "../../../src/explain/view.ts";
import { essence } from "../../lab/network/explain-rules.ts";
import { describeKernel, FAMILIES, labTest } from "../../lab/network/fixture.ts";
import type { Family } from "../../lab/network/iptables.ts";
import type { Lab } from "../../lab/network/lab.ts";
import { POD } from "../../lab/network/topology.ts";

const { PATH = "" } = process.env;

/** One rule each for the destination at its place, and what else it takes. */
const RULES: readonly ((to: string, other: string) => readonly string[])[] = [
  (to, other) => [`nat PREROUTING -d ${to} -j DNAT --to-destination ${other}`],
  (to, other) => [
    `nat PREROUTING -d ${to} -p tcp -m tcp --dport 80 -j DNAT --to-destination ${bracketed(other)}:8080`,
  ],
  (to) => [`nat PREROUTING -d ${to} -p tcp -m tcp ! --dport 1:79 -j DNAT --to-destination :8080-8090`],
  (to) => [`nat PREROUTING -d ${to} -p tcp -j REDIRECT --to-ports 8080`, `filter INPUT -d ${to} -j DROP`],
  (to, other) => [`nat PREROUTING -d ${to} -j NETMAP --to ${other}`],
  (to, other) => [`nat POSTROUTING -d ${to} -j SNAT --to-source ${other}`],
  (to) => [
    `mangle PREROUTING -d ${to} -j MARK --set-xmark 0x80/0xff`,
    `nat POSTROUTING -d ${to} -m mark --mark 0x80/0x80 -j MASQUERADE`,
  ],
  (to) => [
    `mangle PREROUTING -d ${to} -j MARK --set-xmark 0x80/0xff`,
    `nat POSTROUTING -d ${to} -m mark ! --mark 0x80/0x80 -j MASQUERADE`,
  ],
  (to) => [
    `mangle PREROUTING -d ${to} -j CONNMARK --set-xmark 0x80/0x80`,
    `nat PREROUTING -d ${to} -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80`,
    `nat POSTROUTING -d ${to} -m mark --mark 0x80 -j MASQUERADE`,
  ],
  (to) => [
    `mangle PREROUTING -d ${to} -j MARK --set-xmark 0x81/0xffffffff`,
    `mangle PREROUTING -d ${to} -j CONNMARK --save-mark --nfmask 0x80 --ctmask 0xff`,
    `nat POSTROUTING -d ${to} -m connmark --mark 0x80/0x80 -j MASQUERADE`,
  ],
  (to) => [`raw PREROUTING -d ${to} -j CT --notrack`],
  (to) => [`mangle PREROUTING -d ${to} -p tcp -j TPROXY --on-port 9 --tproxy-mark 0x1/0x1`],
  (to) => [`filter FORWARD -d ${to} -p tcp -m tcp --dport 80 -j DROP`],
  (to) => [`filter FORWARD -d ${to} -p udp -m udp --dport 80 -j DROP`],
  (to) => [
    `filter FORWARD -d ${to} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
    `filter FORWARD -d ${to} -j DROP`,
  ],
  (to) => [`filter FORWARD -d ${to} -m conntrack ! --ctstate NEW -j DROP`],
  (to) => [`filter FORWARD -d ${to} -m addrtype ! --dst-type LOCAL -j DROP`],
  (to) => [`filter FORWARD -d ${to} -p tcp -m tcp --tcp-flags SYN,RST,ACK SYN -j DROP`],
  (to, other) => [
    `nat PREROUTING -d ${to} -m statistic --mode random --probability 0.5 -j DNAT --to-destination ${other}`,
    `nat PREROUTING -d ${to} -j DNAT --to-destination ${to}`,
  ],
];

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function address(family: Family, i: number): string {
  return family === "IPv4" ? `198.51.100.${i + 1}` : `2001:db8:51::${i + 1}`;
}

function restored(lines: readonly string[]): string {
  return ["raw", "mangle", "nat", "filter"]
    .flatMap((table) => [
      `*${table}`,
      ...lines.flatMap((line) => (line.startsWith(`${table} `) ? `-A ${line.slice(table.length + 1)}` : [])),
      "COMMIT\n",
    ])
    .join("\n");
}

async function explain(
  lab: Lab,
  family: Family,
  path: string,
): Promise<readonly [PartView[], readonly string[]]> {
  const words = RULES.map((_, i) => `${bracketed(address(family, i))}:80`);
  const args = ["explain", "--config=-", "--enable-ipv6", "--live", "-o=json", `--source=${POD[family]}`];
  const stdin = "nonMasqueradeCIDRs: []\n";
  const { stdout, stderr } = await lab.program([...args, ...words], { path, stdin });
  if (stdout === "") throw new Error(stderr);
  const { destinations, notRead = [] } = JSON.parse(stdout) as ExplainView;
  return [destinations.map(({ parts }) => parts[0] as PartView), notRead];
}

describeKernel("modules of iptables", () => {
  for (const family of FAMILIES)
    labTest(`${family}: without any tool the answers are those with iptables`, async ({ lab }) => {
      const other = family === "IPv4" ? "203.0.113.9" : "2001:db8:113::9";
      const lines = RULES.flatMap((rule, i) => rule(address(family, i), other));
      const tool = family === "IPv4" ? "iptables-nft-restore" : "ip6tables-nft-restore";
      expect(await lab.inNode(tool, ["--noflush"], restored(lines))).toMatchObject({ code: 0, stderr: "" });
      const [told, open] = await explain(lab, family, PATH);
      const [read, notRead] = await explain(lab, family, "/nonexistent");
      for (const [i, part] of read.entries())
        expect(essence(part), RULES[i]?.("TO", other).join("\n")).toEqual(essence(told[i]));
      expect([open, notRead]).toEqual([[], []]);
      // Each rule has an effect that is seen.
      expect(told.map(({ live }) => live?.verdict)).not.toContain("unknown");
      expect(new Set(told.map(({ live }) => live?.verdict))).toEqual(
        new Set(["redirect", "keep", "translate", "masquerade", "untracked", "drop"]),
      );
    });
});
