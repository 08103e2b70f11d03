import { formatRange, localPorts, NODE_PORTS, type PortRange } from "../../../core/ports.ts";
import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";
import { numbers } from "../../numbers.ts";

/** Source ports that others use. */
export const ports: Check = {
  name: "ports",
  severity: "warning",
  looksFor:
    "--to-ports that overlap the NodePort range 30000-32767; the node's own ports or reserved ports: info",
  remedy: "leave that range out of --to-ports",
  run({ settings, sysctls }) {
    const [low = 0n, high = -1n] = numbers(known(sysctls["net.ipv4.ip_local_port_range"]));
    const local = { first: low, last: high };
    const reserved = (known(sysctls["net.ipv4.ip_local_reserved_ports"]) ?? "")
      .split(",")
      .flatMap((part): PortRange[] => {
        const [first, last = first] = numbers(part.replace("-", " "));
        return first === undefined || last === undefined ? [] : [{ first, last }];
      });
    const own = localPorts(`${low} ${high}`, reserved.map(formatRange).join());
    // That is what --to-ports=local asks for.
    const isLocal = settings.toPorts.map(formatRange).join() === own.map(formatRange).join();
    return settings.toPorts.flatMap((range) => [
      ...(overlaps(range, NODE_PORTS) ? [besideNodePorts(range)] : []),
      ...(!isLocal && overlaps(range, local) ? [besideLocal(range, local)] : []),
      ...besideReserved(
        range,
        reserved.filter((other) => overlaps(range, other)),
      ),
    ]);
  },
};

function besideNodePorts(range: PortRange): FindingText {
  return warning(
    `--to-ports ${formatRange(range)} overlaps the NodePort range ${formatRange(NODE_PORTS)}: connections to NodePorts and masqueraded ones may collide`,
    "leave that range out, as in --to-ports=1024-29999,32768-65535",
  );
}

function besideLocal(range: PortRange, { first, last }: PortRange): FindingText {
  return info(
    `--to-ports ${formatRange(range)} overlaps net.ipv4.ip_local_port_range (${first}-${last}): the node's own connections use these ports too`,
  );
}

function besideReserved(range: PortRange, taken: readonly PortRange[]): readonly FindingText[] {
  if (taken.length === 0) return [];
  const names = taken.map(formatRange).join(", ");
  return [
    info(
      `--to-ports ${formatRange(range)} overlaps net.ipv4.ip_local_reserved_ports (${names}), which are kept for another program`,
    ),
  ];
}

function overlaps(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}
