import { expect, test } from "vitest";
import { type Family, parseAddress } from "../core/cidr.ts";
import { ipvsHooks } from "./ipvs.ts";
import { tracePacket } from "./trace.ts";

/** As the kernel prints it (ip_vs_info_seq_show). */
const LISTING = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A60000A:0035 rr 
  -> 0AF40002:0035      Masq    1      0          0         
UDP  0A60000A:0035 rr 
SCTP C000020A:7530 rr persistent 10800
TCP  CB007132:0000 rr 
TCP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0035 rr
  -> [fd00:0010:0244:0000:0000:0000:0000:0011]:0035      Masq    1      0          0
FWM  00000007 rr 
`;

function ask(destination: string, more: { protocol?: string; mark?: number } = {}) {
  const { family, value } = parseAddress(destination) ?? { family: "IPv4" as Family, value: 0n };
  const own = { IPv4: [], IPv6: [], [family]: [{ first: value, last: value }] };
  // A Service's address is one of the node's, on kube-ipvs0.
  const trace = tracePacket(ipvsHooks(LISTING), { family, destination: value, mark: 0, ...more }, own);
  return [...trace.possible, trace.otherwise].map(({ verdict, by, conditions }) =>
    [verdict, by === undefined ? "" : `by ${by.place} ${by.text}`, ...conditions].filter(Boolean).join(", "),
  );
}

test.each<[string, Parameters<typeof ask>[1], readonly string[]]>([
  [
    "10.96.0.10",
    {},
    [
      "redirect, by IPVS tcp to 10.96.0.10:53, tcp, port 53",
      "redirect, by IPVS udp to 10.96.0.10:53, udp, port 53",
      "keep",
    ],
  ],
  ["10.96.0.10", { protocol: "udp" }, ["redirect, by IPVS udp to 10.96.0.10:53, port 53", "keep"]],
  ["192.0.2.10", { protocol: "tcp" }, ["keep"]],
  ["192.0.2.10", { protocol: "sctp" }, ["redirect, by IPVS sctp to 192.0.2.10:30000, port 30000", "keep"]],
  ["203.0.113.50", { protocol: "tcp" }, ["redirect, by IPVS tcp to 203.0.113.50:0"]],
  ["fd00:10:96::a", {}, ["redirect, by IPVS tcp to [fd00:10:96::a]:53, tcp, port 53", "keep"]],
  ["fd00:10:96::b", {}, ["keep"]],
  ["8.8.8.8", {}, ["keep"]],
  ["8.8.8.8", { mark: 7 }, ["redirect, by IPVS mark 0x7"]],
])("%s %j: IPVS translates its virtual services, and nothing else", (destination, more, expected) => {
  expect(ask(destination, more)).toEqual(expected);
});

test.each(["", "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"])(
  "a kernel without virtual services translates nothing: %j",
  (listing) => {
    expect(ipvsHooks(listing)).toEqual([]);
  },
);
