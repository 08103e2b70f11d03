/** Lists and switches that are allowed, but hardly do what was meant: judged of all files together. */
import { type Cidr, type Family, lastAddress, parseAddress } from "./cidr.ts";
import type { Entries, Fields, Report, Switch } from "./config-fields.ts";

/** Link-local destinations, and the key that has them masqueraded. */
const LINK_LOCAL = [
  { key: "masqLinkLocal", family: "IPv4", base: parseAddress("169.254.0.0")?.value ?? 0n, bits: 16 },
  { key: "masqLinkLocalIPv6", family: "IPv6", base: parseAddress("fe80::")?.value ?? 0n, bits: 10 },
] as const satisfies readonly { key: keyof Fields; family: Family; base: bigint; bits: number }[];

/** Warns of lists that keep nothing, of those that keep everything, and of switches without an effect. */
export function warnOfLists(
  fields: readonly Fields[],
  [exempt, exceptions]: readonly [Entries, Entries],
  { enableIPv6 }: { readonly enableIPv6: boolean },
  warn: Report,
): void {
  const isOn = (key: "masqLinkLocal" | "masqLinkLocalIPv6") =>
    fields.some((file) => file[key]?.value === true);
  warnOfNothing(fields, isOn("masqLinkLocal") && (!enableIPv6 || isOn("masqLinkLocalIPv6")), warn);
  warnOfEverything(exempt, warn);
  for (const range of LINK_LOCAL) {
    const set = fields.map((file) => file[range.key]).find((one) => one?.value === true);
    if (set !== undefined) warnOfLinkLocal(set, range, exempt, exceptions, warn);
  }
}

/** An empty list is not the default one, and a null is an empty list. In a directory the lists of all files count. */
function warnOfNothing(fields: readonly Fields[], withLinkLocal: boolean, warn: Report): void {
  const lists = fields.map(({ nonMasqueradeCIDRs }) => nonMasqueradeCIDRs);
  const { given } = lists.find((list) => list.given !== undefined) ?? {};
  if (given === undefined || lists.some((list) => list.given !== undefined && list.length > 0)) return;
  warn(
    "empty",
    given,
    `${given.text === "[]" ? "is empty" : "has no entries"}: everything${withLinkLocal ? "" : " but link-local"} is masqueraded`,
  );
}

function warnOfEverything({ items, cidrs }: Entries, warn: Report): void {
  for (const [i, cidr] of cidrs.entries()) {
    if (cidr.bits === 0)
      warn(
        "suspicious",
        items[i],
        `${cidr.text} covers every ${cidr.family} address: nothing but masqueradeCIDRs is masqueraded`,
      );
  }
}

/** With `masqLinkLocal`, link-local is as any other destination: an entry around it decides. */
function warnOfLinkLocal(
  place: Switch,
  { family, base, bits }: (typeof LINK_LOCAL)[number],
  exempt: Entries,
  exceptions: Entries,
  warn: Report,
): void {
  const covers = (cidr: Cidr) =>
    cidr.family === family && cidr.bits <= bits && cidr.base <= base && lastAddress(cidr) >= base;
  const longest = ({ cidrs }: Entries) =>
    cidrs
      .filter(covers)
      .reduce<Cidr | undefined>((a, b) => (a !== undefined && a.bits >= b.bits ? a : b), undefined);
  const by = longest(exempt);
  if (by === undefined || (longest(exceptions)?.bits ?? -1) > by.bits) return;
  const name = family === "IPv4" ? "169.254.0.0/16" : "fe80::/10";
  const remedy = by.bits === bits ? "remove that entry" : `list ${name} in masqueradeCIDRs`;
  warn(
    "suspicious",
    place,
    `has no effect: ${by.text} in nonMasqueradeCIDRs covers link-local, so it is not masqueraded; ${remedy} to masquerade it`,
  );
}
