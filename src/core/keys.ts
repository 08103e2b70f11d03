/**
 * The keys of the configuration: one row each. The rows make the decoder, the union of several files, hints, the JSON
 * Schema and the table in docs/reference.md (`make golden` writes the latter two).
 */
import type { ConfigOptions } from "./config-options.ts";

import {
  agreed,
  anyOn,
  COUNT,
  choice,
  DURATION,
  type Kind,
  largest,
  type Reporting,
  type Setting,
  SWITCH,
  smallestFrom,
} from "./key-kinds.ts";
import { CIDR_LIST, type Entries, isListKind, joined, type ListKind, type Slice } from "./key-lists.ts";
import { ADDRESS_LIST, LINK_LIST, MAX_LINKS } from "./key-packets.ts";
import type { Place } from "./place.ts";
import { defaultCidrs, LINK_LOCAL } from "./special-ranges.ts";

/** One row of the table. */
export interface Key<Given extends Place = Place, Initial = unknown> {
  readonly kind: Kind<Given, Initial>;
  /** The value where no file has the key; some depend on flags. */
  initial(options: ConfigOptions): Initial;
  /** Unites the values of several files; there is at least one. A method, as those of `Kind` are. */
  unite(given: readonly Given[], reporting: Reporting): Given;
  /** Its meaning in Markdown, for documents: a sentence without capital and full stop. */
  readonly meaning: string;
  /** The advice where the value has a different type. */
  readonly hint: string;
  /** Other names that people use for it, in lower case without separators. */
  readonly alias?: RegExp;
}

/** Shorter intervals would make the agent a busy loop; the agent takes this one instead, and warns. */
export const MIN_RESYNC_MS = 100;
export const DEFAULT_RESYNC_MS = 60_000;

/** The file's keys, as documented, in the order of the documents. */
export const KEYS = {
  nonMasqueradeCIDRs: list(CIDR_LIST, {
    initial: defaultCidrs,
    unite: joined,
    meaning: "destinations that keep the pod's address",
    hint: 'write a list: "- 10.0.0.0/8" on a line of its own for each entry, or [] for none',
  }),
  masqueradeCIDRs: list(CIDR_LIST, {
    initial: () => [],
    unite: joined,
    meaning:
      "destinations that are masqueraded although a wider entry of `nonMasqueradeCIDRs`, a default or link-local covers them",
    hint: 'write a list: "- 10.20.0.0/16" on a line of its own for each entry',
  }),
  masqueradeSourceCIDRs: list(CIDR_LIST, {
    initial: () => [],
    unite: joined,
    meaning:
      "if set, only packets from these sources are masqueraded; of this list and the next, the longest prefix decides",
    hint: 'write a list: "- 10.244.0.0/16" on a line of its own for each network of pods',
  }),
  nonMasqueradeSourceCIDRs: list(CIDR_LIST, {
    initial: () => [],
    unite: joined,
    meaning: "sources whose packets are not masqueraded, whatever their destination",
    hint: 'write a list: "- 10.244.128.0/20" on a line of its own for each entry',
  }),
  outputInterfaces: list(LINK_LIST, {
    initial: () => [],
    unite: joined,
    meaning: `if set, only packets that leave through these interfaces are masqueraded; at most ${MAX_LINKS} names, in which \`+\` at the end matches any rest`,
    hint: 'write a list: "- eth0" on a line of its own for each name',
  }),
  outputAddresses: list(ADDRESS_LIST, {
    initial: () => [],
    unite: joined,
    meaning:
      "if set, masqueraded packets leave with those of the node's own addresses that are in this list; on a node that has none, with the address that the kernel chooses",
    hint: 'write a list: "- 192.0.2.10" or "- 192.0.2.0/24" on a line of its own for each entry',
  }),
  outputAddressBy: key(choice(["pod", "flow"]), {
    initial: () => "pod" as const,
    unite: agreed,
    meaning:
      "with several such addresses, whether each pod keeps to one (`pod`) or each connection takes any (`flow`)",
    hint: "write pod or flow",
  }),
  cidrLimit: key(COUNT, {
    initial: () => 64,
    unite: largest,
    meaning: "more entries than this, all lists of CIDRs together (not `outputAddresses`), are an error",
    hint: "write digits, without quotes or a fraction",
    alias: /limit$|^max(?:imum)?(?:cidr|entr)/,
  }),
  masqLinkLocal: key(SWITCH, {
    initial: () => false,
    unite: anyOn,
    meaning: `whether to masquerade \`${LINK_LOCAL.IPv4.text}\` too`,
    hint: "write true or false, without quotes",
  }),
  masqLinkLocalIPv6: key(SWITCH, {
    initial: () => false,
    unite: anyOn,
    meaning: `whether to masquerade \`${LINK_LOCAL.IPv6.text}\` too (with \`--enable-ipv6\`)`,
    hint: "write true or false, without quotes",
  }),
  resyncInterval: key(DURATION, {
    initial: () => DEFAULT_RESYNC_MS,
    unite: smallestFrom(MIN_RESYNC_MS),
    meaning:
      "how often the file and the rules are checked even without an event; text as Go writes durations: `30s`, `1m30s`; at least `100ms`",
    hint: 'write a number with a unit, such as "60s" or "1m30s"',
    alias: /interval|resync|^(?:sync|refresh|reload)/,
  }),
};

function key<Given extends Place, Initial>(
  kind: Kind<Given, Initial>,
  row: Omit<Key<Given, NoInfer<Initial>>, "kind">,
): Key<Given, Initial> {
  return { kind, ...row };
}

/** The row of a list, which keeps the type of its entries. */
function list<Of extends ListKind<unknown>>(
  kind: Of,
  row: Omit<Key<Slice, readonly string[]>, "kind">,
): Key<Slice, readonly string[]> & { readonly kind: Of } {
  return { kind, ...row };
}

export type KeyName = keyof typeof KEYS;

/** A value as files give it. */
export type GivenOf<Name extends KeyName> = ReturnType<(typeof KEYS)[Name]["unite"]>;

/** A value as the rest of the program has it. */
export type ValueOf<Name extends KeyName> =
  (typeof KEYS)[Name]["kind"] extends ListKind<infer T>
    ? readonly T[]
    : GivenOf<Name> extends Setting<infer T>
      ? T
      : never;

/** The keys whose values are CIDRs: all of them count against `cidrLimit`. */
export type CidrListName = {
  [Name in KeyName]: (typeof KEYS)[Name]["kind"] extends { readonly isLimited: true } ? Name : never;
}[KeyName];

/** The entries of each list of CIDRs, and of the list of addresses. */
export type BlockLists = Readonly<Record<CidrListName | "outputAddresses", Entries>>;

/** The rows by name, for code that treats all values alike. */
export const ROWS: ReadonlyMap<string, Key> = new Map(Object.entries(KEYS));

/** The names of the keys. */
export const CONFIG_KEYS = Object.keys(KEYS) as readonly KeyName[];

/** The keys whose entries count against `cidrLimit`. */
export const LIMITED_KEYS = CONFIG_KEYS.filter((name): name is CidrListName => {
  const { kind }: Key = KEYS[name];
  return isListKind(kind) && kind.isLimited;
});

/**
 * The lists that say which packets are ours, and with which addresses they leave. Where one is empty, nothing that the agent
 * says or serves names it.
 */
export const PACKET_LISTS = [
  "masqueradeSourceCIDRs",
  "nonMasqueradeSourceCIDRs",
  "outputInterfaces",
  "outputAddresses",
] as const;

const BY_FOLDED: ReadonlyMap<string, KeyName> = new Map(CONFIG_KEYS.map((name) => [foldKey(name), name]));

/** Go compares names by simple case folding, under which U+017F is an s and U+212A a k. */
function foldKey(name: string): string {
  return name.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
}

/** The documented key, if Go's decoder takes this one for it. */
export function knownKey(name: string): KeyName | undefined {
  return BY_FOLDED.get(foldKey(name));
}
