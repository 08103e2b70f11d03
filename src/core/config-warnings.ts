/** Lists and switches that are allowed, but that hardly anyone means, over all files together. */
import { type Cidr, FAMILIES, type Family, lastAddress } from "./cidr.ts";
import type { Settings } from "./config-fields.ts";
import type { Setting } from "./key-kinds.ts";
import type { Entries } from "./key-lists.ts";
import type { BlockLists, CidrListName } from "./keys.ts";
import type { Report } from "./place.ts";
import { LINK_LOCAL } from "./special-ranges.ts";

/** The keys that have link-local destinations masqueraded. */
const LINK_LOCAL_KEYS = [
  { key: "masqLinkLocal", range: LINK_LOCAL.IPv4 },
  { key: "masqLinkLocalIPv6", range: LINK_LOCAL.IPv6 },
] as const;

/** Warns of lists that keep nothing, of those that keep everything, and of switches without an effect. */
export function warnOfLists(
  settings: Settings,
  lists: BlockLists,
  { enableIPv6 }: { readonly enableIPv6: boolean },
  warn: Report,
): void {
  const withIpv6 = !enableIPv6 || settings.masqLinkLocalIPv6.value;
  const { nonMasqueradeCIDRs: exempt, masqueradeCIDRs: exceptions } = lists;
  warnOfNothing(settings, settings.masqLinkLocal.value && withIpv6, warn);
  warnOfEverything(exempt, "address", "masqueradeCIDRs", warn);
  warnOfEverything(lists.nonMasqueradeSourceCIDRs, "source", "masqueradeSourceCIDRs", warn);
  if (enableIPv6) warnOfFamily(settings, lists.masqueradeSourceCIDRs, warn);
  warnOfAddresses(settings, lists, warn);
  for (const { key, range } of LINK_LOCAL_KEYS) {
    const setting = settings[key];
    if (setting.value) warnOfLinkLocal(setting, range, exempt, exceptions, warn);
  }
}

/** An empty list is not the default one, and a null is an empty list. In a directory the lists of all files count. */
function warnOfNothing(
  { nonMasqueradeCIDRs: { given, length } }: Settings,
  withLinkLocal: boolean,
  warn: Report,
): void {
  if (given === undefined || length > 0) return;
  warn(
    "empty",
    given,
    `${given.text === "[]" ? "is empty" : "has no entries"}: everything${withLinkLocal ? "" : " but link-local"} is masqueraded`,
  );
}

function warnOfEverything(
  { items, values }: Entries,
  one: string,
  exceptions: CidrListName,
  warn: Report,
): void {
  for (const [i, cidr] of values.entries()) {
    if (cidr.bits === 0)
      warn(
        "suspicious",
        items[i],
        `${cidr.text} covers every ${cidr.family} ${one}: nothing but ${exceptions} is masqueraded`,
      );
  }
}

/** Without a list of sources, all that leaves gets the addresses: tunnels, and what the node sends itself. */
function warnOfAddresses(
  { outputAddresses: { given }, outputAddressBy }: Settings,
  { outputAddresses: { values }, masqueradeSourceCIDRs }: BlockLists,
  warn: Report,
): void {
  if (outputAddressBy.at !== undefined && values.length === 0)
    warn("suspicious", outputAddressBy, "has no effect without outputAddresses");
  const ofFamily = (family: Family) => (cidr: Cidr) => cidr.family === family;
  for (const family of FAMILIES) {
    if (!values.some(ofFamily(family)) || masqueradeSourceCIDRs.values.some(ofFamily(family))) continue;
    warn(
      "suspicious",
      given,
      `the node's own connections leave with these addresses too, as masqueradeSourceCIDRs has no ${family} entry`,
    );
  }
}

/** Sources are listed for each family by itself: without an entry, packets from every source of it are masqueraded. */
function warnOfFamily(
  { masqueradeSourceCIDRs: { given } }: Settings,
  { values }: Entries,
  warn: Report,
): void {
  const missing = FAMILIES.filter((family) => !values.some((cidr) => cidr.family === family));
  const [family] = missing;
  if (missing.length !== 1 || family === undefined) return;
  warn(
    "suspicious",
    given,
    `has no ${family} entry: packets from every ${family} source are masqueraded, those of the node too`,
  );
}

/** With `masqLinkLocal`, link-local is like any other destination: an entry around it decides. */
function warnOfLinkLocal(
  place: Setting<boolean>,
  { family, base, bits, text: name }: Cidr,
  exempt: Entries,
  exceptions: Entries,
  warn: Report,
): void {
  const covers = (cidr: Cidr) =>
    cidr.family === family && cidr.bits <= bits && cidr.base <= base && lastAddress(cidr) >= base;
  const longest = ({ values }: Entries) =>
    values
      .filter(covers)
      .reduce<Cidr | undefined>((a, b) => (a !== undefined && a.bits >= b.bits ? a : b), undefined);
  const by = longest(exempt);
  if (by === undefined || (longest(exceptions)?.bits ?? -1) > by.bits) return;
  const remedy = by.bits === bits ? "remove that entry" : `list ${name} in masqueradeCIDRs`;
  warn(
    "suspicious",
    place,
    `has no effect: ${by.text} in nonMasqueradeCIDRs covers link-local, so it is not masqueraded; ${remedy} to masquerade it`,
  );
}
