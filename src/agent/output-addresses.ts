/**
 * The addresses that masqueraded packets leave with: those of the node's own that the configuration names. They come and go while the agent
 * runs, so each pass reads the list, in a tenth of a millisecond. A connection that was translated to an address that has gone goes on
 * using it: so this also remembers which addresses our rules have named (forgetting.ts).
 */
import { isFailure } from "../backend/driver.ts";
import { type Cidr, FAMILIES, type Family, formatAddress, lastAddress, parseAddress } from "../core/cidr.ts";
import type { MasqConfig } from "../core/config.ts";
import type { Drift } from "../core/drift.ts";
import type { AddressPool, NodeAddresses } from "../core/ruleset.ts";
import { choosePool, MAX_POOL } from "../core/slots.ts";
import type { Logger } from "../log/log.ts";
import type { ListedAddresses } from "../system/node-addresses.ts";

/** The addresses that one family's packets leave with; none: the kernel chooses. */
export interface Leaving {
  readonly family: Family;
  /** In numeric order. */
  readonly addresses: readonly { readonly address: string; readonly link: string }[];
  readonly by: AddressPool["by"];
}

export interface OutputAddresses {
  /** Reads the node's addresses, if the configuration names any. Returns the same value until they change. */
  readonly look: (config: MasqConfig) => Promise<NodeAddresses | undefined>;
  /** Whether the last look had the same list. */
  readonly knows: (listed: ListedAddresses) => boolean;
  /** Notes the addresses that rules in the kernel name: those of an earlier agent. */
  readonly found: (drift: readonly Drift[]) => void;
  /** The result of the last look, for each family that the configuration names addresses of. */
  readonly leaving: () => readonly Leaving[];
  /** The addresses that our rules have named and the node had not at the last look. */
  readonly gone: (family: Family) => readonly bigint[];
  /** No flow leaves with them any more. */
  readonly forgotten: (family: Family, addresses: readonly bigint[]) => void;
}

interface OutputAddressesWorld {
  readonly read: () => Promise<ListedAddresses>;
  /** Names of links, by their index. */
  readonly names: () => Promise<ReadonlyMap<number, string>>;
  readonly families: readonly Family[];
  readonly log: Logger;
}

/** The result of the last look. `text` changes with what is said, and with what rules depend on. */
interface Look {
  readonly text: string;
  readonly own: NodeAddresses | undefined;
  readonly leaving: readonly Leaving[];
}

const NOTHING: Look = { text: "", own: undefined, leaving: [] };

/** Knows nothing yet, and reads nothing before the first look. */
export function createOutputAddresses(world: OutputAddressesWorld): OutputAddresses {
  const { families, log } = world;
  const named: Readonly<Record<Family, Set<bigint>>> = { IPv4: new Set(), IPv6: new Set() };
  const said = new Map<Family, string>();
  const read = createSteadyRead(world);
  let listed: ListedAddresses | undefined;
  let last = NOTHING;
  return {
    async look(config) {
      const isNamed = config.outputAddresses.length > 0;
      const isNeeded = isNamed || families.some((family) => named[family].size > 0);
      if (isNeeded) listed = await read();
      if (!isNamed) said.clear();
      if (!isNamed) last = NOTHING;
      else if (listed === undefined) last = { ...NOTHING, leaving: leavingOf(config, families) };
      else if (textOf(config, listed) !== last.text) {
        const own = ownOf(config, listed);
        const leaving = leavingOf(config, families, { own, listed, names: await namesOr(world.names) });
        last = { text: textOf(config, listed), own, leaving };
        for (const one of leaving) say(log, linesOf(one, config, listed), said, one.family);
      }
      for (const { family } of last.leaving)
        for (const address of last.own?.[family] ?? []) named[family].add(address);
      return last.own;
    },
    knows: (now) => listed !== undefined && printList(now) === printList(listed),
    found(drift) {
      if (last.leaving.length === 0) return;
      for (const { family, value } of addressesIn(drift)) named[family].add(value);
    },
    leaving: () => last.leaving,
    gone(family) {
      const all = listed?.all[family];
      return all === undefined ? [] : [...named[family]].filter((address) => !all.has(address));
    },
    forgotten(family, addresses) {
      for (const address of addresses) named[family].delete(address);
    },
  };
}

/** Reads the list; if it cannot, returns the last one, and warns once. */
function createSteadyRead({ read, log }: OutputAddressesWorld): () => Promise<ListedAddresses | undefined> {
  let last: ListedAddresses | undefined;
  let isUnreadable = false;
  return async () => {
    try {
      last = await read();
      isUnreadable = false;
    } catch (error) {
      if (!isFailure(error)) throw error;
      const meanwhile = last === undefined ? "MASQUERADE chooses them until then" : "the last ones stay";
      if (!isUnreadable)
        log.warning(`cannot read the node's addresses, retrying: ${error.message}; ${meanwhile}`);
      isUnreadable = true;
    }
    return last;
  };
}

async function namesOr(names: OutputAddressesWorld["names"]): Promise<ReadonlyMap<number, string>> {
  try {
    return await names();
  } catch (error) {
    if (!isFailure(error)) throw error;
    return new Map();
  }
}

/** The pools' addresses. */
function ownOf(config: MasqConfig, { usable }: ListedAddresses): NodeAddresses {
  const of = (family: Family) =>
    choosePool(blocksOf(config, family), config.outputAddressBy, [...usable[family].keys()])?.addresses ?? [];
  return { IPv4: of("IPv4"), IPv6: of("IPv6") };
}

function leavingOf(
  config: MasqConfig,
  families: readonly Family[],
  known?: {
    readonly own: NodeAddresses;
    readonly listed: ListedAddresses;
    readonly names: ReadonlyMap<number, string>;
  },
): Leaving[] {
  const describe = (family: Family, address: bigint) => {
    const link = known?.listed.usable[family].get(address) ?? 0;
    return { address: formatAddress(family, address), link: known?.names.get(link) ?? `link ${link}` };
  };
  return families
    .filter((family) => blocksOf(config, family).length > 0)
    .map((family) => ({
      family,
      by: config.outputAddressBy,
      addresses: (known?.own[family] ?? []).map((address) => describe(family, address)),
    }));
}

function textOf(config: MasqConfig, listed: ListedAddresses): string {
  const own = ownOf(config, listed);
  const of = (family: Family) =>
    own[family].map((address) => `${address} ${listed.usable[family].get(address)}`);
  const blocks = config.outputAddresses.map(({ family }) => family);
  const found = FAMILIES.map((family) => countWithin(config, family, listed) > MAX_POOL);
  return [config.outputAddressBy, listed.isWhole, found, new Set(blocks).size, of("IPv4"), of("IPv6")].join(
    ";",
  );
}

function printList({ usable, all }: ListedAddresses): string {
  return [usable.IPv4, usable.IPv6, all.IPv4, all.IPv6].map((one) => [...one].join()).join(";");
}

/** The log lines of one family: warnings, and the addresses if there are any. */
interface Lines {
  readonly warnings: readonly string[];
  readonly info?: string;
}

function linesOf({ family, addresses, by }: Leaving, config: MasqConfig, listed: ListedAddresses): Lines {
  const count = countWithin(config, family, listed);
  const many = `${family}: ${count} of this node's addresses are in outputAddresses: the lowest ${MAX_POOL} are used`;
  if (addresses.length > 0) {
    const info = `${family}: leaving as ${describeLeaving(addresses, by)}`;
    return { warnings: count > MAX_POOL ? [many] : [], info };
  }
  const why =
    family === "IPv6" && !listed.isWhole
      ? "without netlink sockets outputAddresses is not used"
      : "no address of this node is in outputAddresses";
  return { warnings: [`${family}: ${why}: MASQUERADE chooses the address`] };
}

/** Says it, unless it was the last that was said of the family. */
function say(log: Logger, { warnings, info }: Lines, said: Map<Family, string>, family: Family): void {
  const text = [...warnings, info].join("\n");
  if (text === said.get(family)) return;
  said.set(family, text);
  for (const warning of warnings) log.with({ family }).warning(warning);
  if (info !== undefined) log.with({ family }).info(info);
}

function countWithin(config: MasqConfig, family: Family, { usable }: ListedAddresses): number {
  const blocks = blocksOf(config, family);
  return [...usable[family].keys()].filter((address) => isWithin(blocks, address)).length;
}

/** `192.0.2.10 (eth0) and 192.0.2.11 (lo), by pod` */
export function describeLeaving(addresses: Leaving["addresses"], by: string): string {
  const each = addresses.map(({ address, link }) => `${address} (${link})`);
  const [last = "", ...before] = each.toReversed();
  return before.length === 0 ? last : `${before.toReversed().join(", ")} and ${last}, by ${by}`;
}

function blocksOf({ outputAddresses }: MasqConfig, family: Family): readonly Cidr[] {
  return outputAddresses.filter((block) => block.family === family);
}

function isWithin(blocks: readonly Cidr[], address: bigint): boolean {
  return blocks.some((block) => block.base <= address && address <= lastAddress(block));
}

/** An address that packets are translated to, in a rule as iptables or nft prints it. */
const NAMED = /(?:--to-source|snat ip6? to) \[?(\d+\.\d+\.\d+\.\d+|[0-9a-f:]+(?:\d+\.\d+\.\d+\.\d+)?)/g;

function addressesIn(drift: readonly Drift[]) {
  return drift
    .flatMap(({ actual = "" }) => [...actual.matchAll(NAMED)])
    .flatMap(([, text = ""]) => parseAddress(text) ?? []);
}
