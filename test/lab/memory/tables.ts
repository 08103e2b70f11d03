/** Random rulesets for the nftables backend, and random states of its table. */
import fc from "fast-check";
import { type Cidr, FAMILIES, type Family, formatCidr, NFT_FAMILIES } from "../../../src/core/cidr.ts";
import type { PortRange } from "../../../src/core/ports.ts";
import type { AddressPool, Entry, Ruleset, Scope } from "../../../src/core/ruleset.ts";
import type { ElementInterval, ObservedStatement } from "../../../src/netlink/operations.ts";
import { planTable } from "../../../src/nftables/plan.ts";
import { tooManyForFamily } from "../../../src/nftables/rules.ts";
import {
  applyBatch,
  type Chain,
  dropAnonymous,
  type Model,
  type ModelPacket,
  mapValues,
  stateOf,
  type Table,
} from "./table.ts";

const CHAIN = "IP-MASQ-AGENT";
const WIDTH: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

/** All prefixes are of this length at most, so that one address of each block represents all. */
const BLOCK_BITS = 6;

/** Sources have longer blocks. */
const SOURCE_BITS = 3;
const LINKS = ["eth0", "eth1", "bond0", "wg0"];

/** Two packets to every block of destinations that a ruleset can tell from others, from various sources through various links. */
export const SAMPLES: readonly ModelPacket[] = FAMILIES.flatMap((family) =>
  Array.from({ length: 2 ** (BLOCK_BITS + 1) }, (_, i) => ({
    family: NFT_FAMILIES[family],
    destination: (BigInt(i >> 1) << BigInt(WIDTH[family] - BLOCK_BITS)) + 1n,
    source: (BigInt((i * 5) % 2 ** SOURCE_BITS) << BigInt(WIDTH[family] - SOURCE_BITS)) + BigInt(i % 7),
    link: LINKS[(i * 3 + (i >> 3)) % LINKS.length] ?? "",
  })),
);

/** Of blocks of `most` bits, the one of `bits` that has this one. */
function cidr(family: Family, bits: number, block: number, most = BLOCK_BITS): Cidr {
  const base = BigInt(block >> (most - bits)) << BigInt(WIDTH[family] - bits);
  return { family, base, bits, text: formatCidr({ family, base, bits }) };
}

function entries(family: Family): fc.Arbitrary<Entry[]> {
  const bits = fc.oneof(
    { weight: 1, arbitrary: fc.nat(3) },
    { weight: 8, arbitrary: fc.constant(BLOCK_BITS) },
  );
  const entry = fc.record({ bits, block: fc.nat(2 ** BLOCK_BITS - 1), kept: fc.boolean() });
  const list = fc.array(entry, { maxLength: 40, size: "max" });
  return fc.tuple(list, fc.boolean()).map(([all, exceptions]) =>
    all.map(({ bits, block, kept }) => ({
      cidr: cidr(family, bits, block),
      verdict: kept || !exceptions ? ("return" as const) : ("masquerade" as const),
      reason: "configured" as const,
    })),
  );
}

/** Absent in half of all cases, as without our keys. */
function scope(family: Family): fc.Arbitrary<{ scope?: Scope }> {
  const source = fc
    .record({ bits: fc.nat(SOURCE_BITS), block: fc.nat(2 ** SOURCE_BITS - 1), isOurs: fc.boolean() })
    .map(({ bits, block, isOurs }) => ({ cidr: cidr(family, bits, block, SOURCE_BITS), isOurs }));
  const both = fc.record({
    sources: fc.oneof(fc.constant([]), fc.array(source, { maxLength: 6 })),
    interfaces: fc.oneof(fc.constant([]), fc.subarray(["eth0", "bond+", "wg0"])),
  });
  return fc.oneof(
    fc.constant({}),
    both.map((one) => ({ scope: one })),
  );
}

function pool(): fc.Arbitrary<{ pool?: AddressPool }> {
  const some = fc.record({
    addresses: fc.uniqueArray(fc.bigInt({ min: 1n, max: 1_000n }), { minLength: 1, maxLength: 5 }),
    by: fc.constantFrom("pod" as const, "flow" as const),
  });
  return fc.oneof(
    fc.constant({}),
    some.map(({ addresses, by }) => ({
      pool: { addresses: addresses.sort((a, b) => (a < b ? -1 : 1)), by },
    })),
  );
}

function ruleset(
  family: Family,
  masquerade: { readonly randomFully: boolean; readonly toPorts: readonly PortRange[] },
): fc.Arbitrary<Ruleset> {
  return fc
    .record({ entries: entries(family), scope: scope(family), pool: pool() })
    .map(({ entries: list, scope: whose, pool: addresses }) => ({
      family,
      chain: CHAIN,
      entries: list,
      ...whose,
      masquerade: { ...masquerade, ...addresses },
    }));
}

/** What a configuration with or without IPv6 comes to. */
export const rulesets: fc.Arbitrary<Ruleset[]> = fc
  .record({
    randomFully: fc.boolean(),
    toPorts: fc.constantFrom<PortRange[]>([], [{ first: 1024n, last: 29_999n }]),
  })
  .chain((masquerade) =>
    fc.tuple(ruleset("IPv4", masquerade), fc.option(ruleset("IPv6", masquerade), { nil: undefined })),
  )
  .map((both) => both.filter((one) => one !== undefined))
  .filter((both) => both.every((one) => tooManyForFamily(one) === undefined));

/** From less than a set's change needs to more than everything does. */
export const maxBytes = fc.oneof(fc.integer({ min: 2_500, max: 20_000 }), fc.constant(400_000));

/** The table with rules in force. */
export function programmed(wanted: readonly Ruleset[], from: Model = undefined, most = 400_000): Model {
  return planTable(wanted, stateOf(from), most).steps.reduce(
    (model, { operations }) => applyBatch(model, operations),
    from,
  );
}

/** What an agent leaves that is killed while it programs one ruleset where another is in force. */
export const interrupted: fc.Arbitrary<Model> = fc
  .record({
    before: fc.option(rulesets, { nil: undefined }),
    meant: rulesets,
    most: maxBytes,
    done: fc.nat(8),
  })
  .map(({ before, meant, most, done }) => {
    const start = before === undefined ? undefined : programmed(before);
    const { steps } = planTable(meant, stateOf(start), most);
    return steps.slice(0, done).reduce((model, { operations }) => applyBatch(model, operations), start);
  });

const INTERVAL: ElementInterval = { first: 5n, last: 7n };
const RETURN: ObservedStatement = { kind: "verdict", verdict: "return" };

const LOOKUP = { kind: "daddr", family: "ip", set: "keep-ipv4", negated: false } as const;
const JUMP: ObservedStatement = { kind: "verdict", verdict: "jump", chain: "theirs" };

/** Single changes that a process may make to a table. */
const TAMPERINGS: Readonly<Record<string, (table: Table) => Table>> = {
  "flushes the chain": (table) => mapRules(table, () => []),
  "takes the first rule": (table) => mapRules(table, (rules) => rules.slice(1)),
  "repeats a rule": (table) => mapRules(table, (rules) => [...rules, ...rules.slice(0, 1)]),
  "adds a rule of theirs": (table) =>
    mapRules(table, (rules) => [[{ kind: "unknown", name: "ct" }, RETURN], ...rules]),
  "adds a rule with a set without a name": (table) => ({
    ...mapRules(table, (rules) => [[{ ...LOOKUP, set: "__set0" }, RETURN], ...rules]),
    sets: {
      ...table.sets,
      __set0: { key: "ipv4_addr", flags: ["anonymous", "constant"], elements: [INTERVAL] },
    },
  }),
  "deletes the chain": ({ chains: _, ...table }) => ({ ...table, chains: {} }),
  "makes the chain a plain one": (table) => mapChain(table, ({ rules }) => ({ rules })),
  "makes the chain a plain one that another jumps to": (table) => {
    const plain = mapChain(table, ({ rules }) => ({ rules }));
    const another = { rules: [[{ ...JUMP, chain: "postrouting" }]] };
    return plain === table ? table : { ...plain, chains: { ...plain.chains, another } };
  },
  "takes the rules that ask for more than the destination": (table) =>
    mapRules(table, (rules) =>
      rules.filter((one) => !one.some(({ kind }) => kind === "saddr" || kind === "oifname")),
    ),
  "moves the chain to another priority": (table) => ({
    ...table,
    chains: mapValues(table.chains, (chain) =>
      chain.base === undefined ? chain : { ...chain, base: { ...chain.base, priority: 5 } },
    ),
  }),
  "adds a chain": (table) => ({ ...table, chains: { ...table.chains, theirs: { rules: [[RETURN]] } } }),
  "adds a chain and jumps to it": (table) => {
    const chains = { ...table.chains, theirs: { rules: [] } };
    return mapRules({ ...table, chains }, (rules) => [[JUMP], ...rules]);
  },
  "adds a set": (table) => ({
    ...table,
    sets: { ...table.sets, theirs: { key: "type 13", flags: [], elements: [] } },
  }),
  "adds chains with names that nft cannot say, a flowtable, and a map that holds a chain and a counter": (
    table,
  ) => ({
    ...table,
    chains: {
      ...table.chains,
      "a b": { rules: [] },
      ["\u00e4".repeat(100)]: { rules: [[{ ...JUMP, chain: "a b" }]] },
    },
    sets: {
      ...table.sets,
      'of "them"': { key: "type 13", flags: ["map"], elements: [], holds: ["a b", "their counter"] },
    },
    objects: [
      { kind: "object", type: 1, name: "their counter" },
      { kind: "flowtable", name: "their flows" },
    ],
  }),
  "adds more than a transaction can take": (table) => ({
    ...table,
    chains: {
      ...table.chains,
      ...Object.fromEntries(
        Array.from({ length: 200 }, (_, i) => [
          `c${i}`,
          { rules: i === 0 ? [] : [[{ ...JUMP, chain: `c${i - 1}` }]] },
        ]),
      ),
    },
  }),
  "takes the names of our sets for other kinds, and uses them": (table) => ({
    ...table,
    sets: {
      ...table.sets,
      "keep-ipv4": { key: "type 13", flags: ["map"], elements: [] },
      "keep-ipv4-next": { key: "type 13", flags: [], elements: [] },
      "keep-ipv4-2": { key: "type 13", flags: [], elements: [] },
      "from-ipv4": { key: "ipv6_addr", flags: ["interval"], elements: [] },
    },
    chains: {
      ...table.chains,
      users: { rules: ["keep-ipv4", "keep-ipv4-next"].map((set) => [{ ...LOOKUP, set }, RETURN]) },
    },
  }),
  "makes the chain a plain one that a map holds": (table) => {
    const plain = mapChain(table, ({ rules }) => ({ rules }));
    const map = { key: "type 13", flags: ["map"], elements: [], holds: ["postrouting"] };
    return plain === table ? table : { ...plain, sets: { ...plain.sets, verdicts: map } };
  },
  "decides in a base chain of their own": (table) => {
    const base = { type: "nat", hook: "postrouting", priority: 50, policy: "accept" } as const;
    const rules = [[{ kind: "masquerade", flags: [] } as const]];
    return { ...table, chains: { theirs: { base, rules }, ...table.chains } };
  },
  "empties the sets": (table) => ({
    ...table,
    sets: mapValues(table.sets, (set) => ({ ...set, elements: [] })),
  }),
  "takes some elements": (table) => ({
    ...table,
    sets: mapValues(table.sets, (set) => ({ ...set, elements: set.elements.filter((_, i) => i % 3 > 0) })),
  }),
  "adds an element": (table) => ({
    ...table,
    sets: mapValues(table.sets, (set) => ({
      ...set,
      elements: (set.elements[0]?.first ?? 100n) > 7n ? [INTERVAL, ...set.elements] : set.elements,
    })),
  }),
  "limits the sets": (table) => ({ ...table, sets: mapValues(table.sets, (set) => ({ ...set, size: 100 })) }),
  "gives the sets a timeout": (table) => ({
    ...table,
    sets: mapValues(table.sets, (set) => ({ ...set, flags: [...set.flags, "timeout"] })),
  }),
  "puts the table to sleep": (table) => ({ ...table, dormant: true }),
};

type Rules = readonly (readonly ObservedStatement[])[];

function mapRules(table: Table, change: (rules: Rules) => Rules): Table {
  return mapChain(table, (chain) => ({ ...chain, rules: change(chain.rules) }));
}

/** The same table if our chain is not there. */
function mapChain(table: Table, change: (chain: Chain) => Chain): Table {
  const { postrouting } = table.chains;
  if (postrouting === undefined) return table;
  return { ...table, chains: { ...table.chains, postrouting: change(postrouting) } };
}

/** A table that agents and others have been at. */
export const tampered: fc.Arbitrary<Model> = fc
  .record({ model: interrupted, what: fc.subarray(Object.keys(TAMPERINGS), { maxLength: 4 }) })
  .map(({ model, what }) =>
    model === undefined
      ? undefined
      : dropAnonymous(what.reduce((table, one) => TAMPERINGS[one]?.(table) ?? table, model)),
  );
