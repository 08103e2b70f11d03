/** Entries as `/proc/net/nf_conntrack` lists them, for kernels without ctnetlink. */
import { PROTOCOLS } from "../netlink/constants.ts";
import { packAddress } from "./address.ts";
import { TCP_STATES } from "./constants.ts";
import type { Flow, Protocol } from "./flow.ts";

/** `ipv4 2 tcp 6 86400 ESTABLISHED src=.. dst=.. sport=.. dport=.. src=.. dst=.. sport=.. dport=..` and more. */
const LINE =
  /\b(tcp|udp|sctp)\s+\d+\s+(\d+)\s+([A-Z_0-9]+)?.*?\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*?\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/;

/** The entry in a line; undefined for protocols without ports. */
export function parseListLine(line: string): Flow | undefined {
  const [, name = "tcp", secondsLeft, state = "", ...rest] = LINE.exec(line) ?? [];
  const protocol = PROTOCOLS[name as Protocol];
  const original = tuple(protocol, rest.slice(0, 4));
  const reply = tuple(protocol, rest.slice(4));
  if (original === undefined || reply === undefined) return undefined;
  const place = (TCP_STATES as readonly string[]).indexOf(state);
  return { original, reply, state: Math.max(place, 0), secondsLeft: Number(secondsLeft) };
}

function tuple(protocol: number, [source = "", destination = "", sourcePort, destinationPort]: string[]) {
  const [from, to] = [packAddress(source), packAddress(destination)];
  if (from === undefined || to === undefined) return undefined;
  return {
    source: from,
    destination: to,
    protocol,
    sourcePort: Number(sourcePort),
    destinationPort: Number(destinationPort),
  };
}
