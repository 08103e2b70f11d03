import { describe, expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { readSet, splitSets } from "./ipset.ts";
import { parseIptablesSave } from "./iptables-save.ts";
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
create PORTS bitmap:port range 0-65535
add PORTS 80
`;

/** Whether a packet with this source and destination is masqueraded by a rule that asks for a set. */
function ask(match: string, source: string | undefined, destination: string): string {
  const sets = new Map(
    [...splitSets(SAVED)].flatMap(([name, text]) => {
      const set = readSet(text);
      return set === undefined ? [] : [[name, set] as const];
    }),
  );
  const dump = parseIptablesSave(
    `*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -m set ${match} -j MASQUERADE\nCOMMIT\n`,
    sets,
  );
  if (!dump.ok) throw new Error(dump.message);
  const to = parseAddress(destination)?.value ?? 0n;
  const from = source === undefined ? {} : { source: parseAddress(source)?.value ?? 0n };
  const packet = { family: "IPv4", destination: to, ...from } as const;
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
    // Of these it is not known what they ask.
    ["--match-set PORTS dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set NETS dst,dst", undefined, "10.8.8.7", "maybe"],
    ["--match-set nowhere dst", undefined, "10.8.8.7", "maybe"],
  ])("%s, from %s to %s: %s", (match, source, destination, expected) => {
    expect(ask(match, source, destination)).toBe(expected);
  });
});
