/**
 * Entries that Go and iptables read differently. The iptables backend hands them on as the Go program does, so this is
 * a warning; where our own reading counts, they are errors (`checkReading` of core/config.ts).
 */
import { type Cidr, formatCidr, isPassedOn } from "../core/cidr.ts";
import type { InspectedConfig } from "../core/config.ts";
import { locate, reportInto } from "../core/place.ts";
import { type Problem, renderPlace } from "../core/problem.ts";

/** A warning for each entry of the lists that iptables refuses or takes for another prefix. */
export function passedOnWarnings({ lists, problems }: InspectedConfig): Problem[] {
  const warnings: Problem[] = [];
  const warn = reportInto(warnings);
  const refused = new Set(problems.map(renderPlace));
  for (const { items, values } of lists) {
    for (const [i, cidr] of values.entries()) {
      const item = items[i];
      const reading = isPassedOn(cidr) ? readingOf(cidr) : undefined;
      if (item === undefined || reading === undefined || refused.has(renderPlace(locate(item)))) continue;
      warn("suspicious", item, `${reading}; write ${formatCidr(cidr)}`);
    }
  }
  return warnings;
}

/** iptables' reading of it; undefined if it is Go's. */
function readingOf(cidr: Cidr): string | undefined {
  const { text } = cidr;
  if (text.includes(":") && cidr.family === "IPv4")
    return `Go reads ${text} as the IPv4 network ${formatCidr(cidr)}, but iptables refuses it, and with it all rules of IPv4`;
  const digits = text.slice(text.indexOf("/") + 1);
  // strtoul with base 0 (xtables_strtoul): a zero in front makes it octal.
  if (/[89]/.test(digits))
    return `Go reads ${text} as ${formatCidr(cidr)}, but iptables refuses it, and with it all rules of ${cidr.family}`;
  const octal = Number.parseInt(digits, 8);
  if (octal === cidr.bits) return undefined;
  return `Go reads ${text} as /${cidr.bits}, but iptables as /${octal}, since a number with a zero in front is octal`;
}
