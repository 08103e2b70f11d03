import { describe, expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { membersOf, readSets } from "./ipset.ts";
import { parseIptablesSave } from "./iptables-save.ts";
import type { Packet } from "./model.ts";
import { tracePacket } from "./trace.ts";

/** As `ipset save` 7.17 prints them. */
const SAVED = `create LOOP hash:ip,port,ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
add LOOP 10.244.1.2,tcp:8080,10.244.1.2
add LOOP 10.244.1.3,tcp:8080,10.244.1.3
create VIPS hash:ip,port family inet hashsize 1024 maxelem 65536
add VIPS 10.96.0.10,udp:53 comment "dns"
create PAIRS hash:net,net family inet hashsize 1024 maxelem 65536
add PAIRS 10.244.0.0/16,10.9.0.0/16
add PAIRS 10.244.0.0/16,10.9.1.0/24 nomatch
create LINKS hash:net,iface family inet hashsize 1024 maxelem 65536
add LINKS 10.244.0.0/16,eth0
create NETS hash:net family inet hashsize 1024 maxelem 65536
add NETS 10.9.0.0/16
create SIX hash:ip,port family inet6 hashsize 1024 maxelem 65536
add SIX fd00::1,tcp:80
create MAPPED hash:net family inet6 hashsize 1024 maxelem 65536
add MAPPED ::ffff:0.0.0.0/96
create PORTS bitmap:port range 0-65535
add PORTS 80
add PORTS 30080
create MASKED hash:ip family inet hashsize 1024 maxelem 65536 netmask 16
add MASKED 10.9.0.0
create BITMASKED hash:ip family inet hashsize 1024 maxelem 65536 bitmask 255.255.0.0
add BITMASKED 10.9.0.0
create RANGE bitmap:ip range 10.9.0.0/16
add RANGE 10.9.8.7
create BLOCKS bitmap:ip range 10.9.0.0-10.10.255.255 netmask 24
add BLOCKS 10.9.8.0
create FOREVER hash:ip family inet hashsize 1024 maxelem 65536 timeout 0 comment
add FOREVER 10.9.8.7 timeout 0 comment "pod"
create SOON hash:ip family inet hashsize 1024 maxelem 65536 timeout 600
add SOON 10.9.8.7 timeout 599
create LIST list:set size 8
add LIST NETS
add LIST SIX
add LIST RANGE
create LIST-OF-LISTS list:set size 8
add LIST-OF-LISTS VIPS
create LIST-OF-PORTS list:set size 8
add LIST-OF-PORTS NETS
add LIST-OF-PORTS PORTS
create LIST-OF-GONE list:set size 8
add LIST-OF-GONE nowhere
create EMPTY-LIST list:set size 8
`;

/** Whether a packet with this source and destination is masqueraded by a rule that asks for a set. */
function ask(
  match: string,
  source: string | undefined,
  destination: string,
  more: Pick<Packet, "protocol" | "port"> = {},
): string {
  const sets = readSets(SAVED);
  const dump = parseIptablesSave(
    `*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -m set ${match} -j MASQUERADE\nCOMMIT\n`,
    sets,
  );
  if (!dump.ok) throw new Error(dump.message);
  const to = parseAddress(destination)?.value ?? 0n;
  const from = source === undefined ? {} : { source: parseAddress(source)?.value ?? 0n };
  const packet = { family: "IPv4", destination: to, ...from, ...more } as const;
  const { possible, otherwise } = tracePacket(dump.hooks, packet, { IPv4: [], IPv6: [] });
  return possible.length > 0 ? "maybe" : otherwise.verdict === "masquerade" ? "yes" : "no";
}

describe("a set of several places matches only what has an address in each", () => {
  test.each([
    // Of kube-proxy's mode ipvs: a pod's packet to itself.
    ["--match-set LOOP dst,dst,src", "10.244.1.2", "8.8.8.8", "no"],
    ["--match-set LOOP dst,dst,src", undefined, "8.8.8.8", "no"],
    ["--match-set LOOP dst,dst,src", "10.244.1.9", "10.244.1.2", "no"],
    // Places of an element belong together, and so do protocols and ports: of those nothing is known.
    ["--match-set LOOP dst,dst,src", "10.244.1.2", "10.244.1.2", "maybe"],
    ["--match-set LOOP dst,dst,src", undefined, "10.244.1.2", "maybe"],
    ["! --match-set LOOP dst,dst,src", "10.244.1.2", "8.8.8.8", "yes"],
    ["! --match-set LOOP dst,dst,src", "10.244.1.2", "10.244.1.2", "maybe"],
    ["--match-set VIPS dst,dst", undefined, "10.96.0.10", "maybe"],
    ["--match-set VIPS dst,dst", undefined, "10.96.0.11", "no"],
    ["--match-set PAIRS src,dst", "10.244.1.2", "10.9.8.7", "maybe"],
    ["--match-set PAIRS src,dst", "10.245.1.2", "10.9.8.7", "no"],
    ["--match-set LINKS src,dst", "10.245.1.2", "10.9.8.7", "no"],
    ["--match-set LINKS src,dst", "10.244.1.2", "10.9.8.7", "maybe"],
    ["--match-set NETS dst", undefined, "10.9.8.7", "yes"],
    ["--match-set NETS dst", undefined, "10.8.8.7", "no"],
    ["--match-set SIX dst,dst", undefined, "10.8.8.7", "no"],
    ["--match-set PORTS dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set MASKED dst", undefined, "10.9.8.7", "yes"],
    ["--match-set MASKED dst", undefined, "10.8.8.7", "no"],
    ["--match-set MAPPED dst", undefined, "10.9.8.7", "no"],
    ["--match-set RANGE dst", undefined, "10.9.8.7", "yes"],
    ["--match-set RANGE dst", undefined, "10.9.8.8", "no"],
    ["--match-set BLOCKS dst", undefined, "10.9.8.7", "yes"],
    ["--match-set BLOCKS dst", undefined, "10.9.9.7", "no"],
    ["--match-set FOREVER dst", undefined, "10.9.8.7", "yes"],
    ["--match-set SOON dst", undefined, "10.9.8.7", "maybe"],
    ["--match-set LIST dst", undefined, "10.9.8.7", "yes"],
    ["--match-set LIST dst", undefined, "10.8.8.7", "no"],
    ["! --match-set LIST dst", undefined, "10.8.8.7", "yes"],
    ["--match-set EMPTY-LIST dst", undefined, "10.8.8.7", "no"],
    ["--match-set LIST-OF-LISTS dst", undefined, "10.96.0.10", "no"],
    ["--match-set LIST-OF-LISTS dst,dst", undefined, "10.96.0.10", "maybe"],
    ["--match-set LIST-OF-LISTS dst,dst", undefined, "10.8.8.7", "no"],
    // Of these it is not known what they ask.
    ["--match-set BITMASKED dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set LIST-OF-GONE dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set NETS dst,dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set nowhere dst", undefined, "10.8.8.7", "maybe"],
  ])("%s, from %s to %s: %s", (match, source, destination, expected) => {
    expect(ask(match, source, destination)).toBe(expected);
  });
});

test.each<[match: string, protocol: string, port: number | undefined, expected: string]>([
  ["--match-set PORTS dst", "tcp", 80, "yes"],
  ["--match-set PORTS dst", "udp", 30080, "yes"],
  ["--match-set PORTS dst", "tcp", 81, "no"],
  ["! --match-set PORTS dst", "tcp", 81, "yes"],
  // The kernel looks at ports of TCP and UDP only.
  ["--match-set PORTS dst", "sctp", 80, "no"],
  ["--match-set PORTS dst", "icmp", undefined, "no"],
  ["--match-set PORTS src", "tcp", 80, "maybe"],
  ["--match-set LIST-OF-PORTS dst", "tcp", 80, "yes"],
  ["--match-set LIST-OF-PORTS dst", "tcp", 81, "no"],
])("a set of ports: %s with %s %s: %s", (match, protocol, port, expected) => {
  const more = port === undefined ? { protocol } : { protocol, port };
  expect(ask(match, "10.244.1.2", "8.8.8.8", more)).toBe(expected);
});

test("the sets that lists name are known, to be read as well", () => {
  expect(membersOf(SAVED)).toEqual(["NETS", "SIX", "RANGE", "VIPS", "PORTS", "nowhere"]);
});
