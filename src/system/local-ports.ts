/** The ports that this node takes for its own connections, for `--to-ports=local`. */

import { readFileSync } from "node:fs";
import { formatRange, localPorts, NODE_PORTS, type ParsedPorts } from "../core/ports.ts";

/** The value of `--to-ports` for these ports. */
export const LOCAL = "local";

/** IPv6 uses the same ports. They are those of this process' network namespace, from wherever `proc` is mounted. */
export function readLocalPorts(proc = "/proc"): ParsedPorts {
  try {
    const range = read(proc, "ip_local_port_range");
    const reserved = read(proc, "ip_local_reserved_ports");
    const ranges = localPorts(range, reserved);
    if (ranges.length > 0) return { ok: true, ranges };
    const message = `net.ipv4.ip_local_port_range (${range.replace(/\s+/, "-")}) has no port left without ip_local_reserved_ports (${reserved || "none"}) and ${formatRange(NODE_PORTS)}, where NodePorts are`;
    return { ok: false, message };
  } catch (error) {
    return { ok: false, message: `the node's own ports cannot be read: ${(error as Error).message}` };
  }
}

function read(proc: string, name: string): string {
  return readFileSync(`${proc}/sys/net/ipv4/${name}`, "latin1").trim();
}
