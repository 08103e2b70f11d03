/** The source ports of an agent: with `--to-ports=local` they follow the node's settings. */

import { countPorts, formatRange, KERNEL_PORTS, type PortRange } from "../core/ports.ts";
import type { Logger } from "../log/log.ts";
import { LOCAL, readLocalPorts } from "../system/local-ports.ts";

/**
 * Returns a function that gives the current ports, the same array as long as they are the same. If it cannot read them,
 * or none is left, the last ones stay, and it warns once.
 */
export function followPorts(
  flag: string,
  initial: readonly PortRange[],
  log: Pick<Logger, "info" | "warning">,
  read = readLocalPorts,
): () => readonly PortRange[] {
  if (flag !== LOCAL) return () => initial;
  let current = initial;
  let warned: string | undefined;
  log.info(describe(current));
  return () => {
    const found = read();
    const warning = found.ok ? undefined : `--to-ports=local: ${found.message}; the last ports stay`;
    if (warning !== undefined && warning !== warned) log.warning(warning);
    warned = warning;
    if (!found.ok || print(found.ranges) === print(current)) return current;
    current = found.ranges;
    log.info(describe(current));
    return current;
  };
}

function describe(ranges: readonly PortRange[]): string {
  const count = countPorts(ranges);
  const share = Math.round((100 * count) / countPorts([KERNEL_PORTS]));
  return `--to-ports=local: ${print(ranges)}, ${count} ports, ${share} % of what the kernel would take`;
}

function print(ranges: readonly PortRange[]): string {
  return ranges.map(formatRange).join(",");
}
