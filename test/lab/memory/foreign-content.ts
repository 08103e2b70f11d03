/** Random things of others for a table: any kinds, names that nft cannot say, and more than one transaction can take. */
import fc from "fast-check";
import type { BaseChain, ObservedStatement } from "../../../src/netlink/operations.ts";
import type { Chain, ModelObject, ModelSet, Table } from "./table.ts";

const name = fc.oneof(
  fc.stringMatching(/^[a-z]{1,8}$/),
  fc.constantFrom("a b", "__chain3", "postrouting-1", "keep-ipv4", "keep-ipv4-next", "keep-ipv6-2", '"', "-"),
  fc.string({ unit: "binary", minLength: 1, maxLength: 250 }),
);

function names(most: number): fc.Arbitrary<string[]> {
  const few = fc.uniqueArray(name, { maxLength: 12 });
  const many = fc.nat(most).map((count) => Array.from({ length: count }, (_, i) => `many-${i}`));
  return fc.oneof({ weight: 5, arbitrary: few }, { weight: 1, arbitrary: many });
}

const base: fc.Arbitrary<BaseChain> = fc.record({
  type: fc.constant("nat"),
  hook: fc.constant("postrouting"),
  priority: fc.integer({ min: -10, max: 110 }),
  policy: fc.constant("accept"),
});

const ENDS: readonly ObservedStatement[] = [
  { kind: "verdict", verdict: "accept" },
  { kind: "masquerade", flags: [] },
  { kind: "unknown", name: "ct" },
];

/** Chains jump to those before them, as the kernel allows no circles, and look up any set. */
function chainsOf(
  all: readonly string[],
  sets: readonly string[],
  [bases, picks]: readonly [readonly (BaseChain | undefined)[], readonly number[]],
): Record<string, Chain> {
  const pick = <T>(list: readonly T[], i: number) =>
    list[(picks[i % picks.length] ?? 0) % Math.max(1, list.length)];
  return Object.fromEntries(
    all.map((chain, i) => {
      const target = pick(all.slice(0, i), i);
      const set = pick(sets, i + 1);
      const used = bases[i % bases.length];
      const rules: ObservedStatement[][] = [
        ...(target === undefined ? [] : [[{ kind: "verdict", verdict: "jump", chain: target } as const]]),
        ...(set === undefined ? [] : [[{ kind: "daddr", family: "ip", set, negated: false } as const]]),
        [pick(ENDS, i) ?? { kind: "unknown", name: "log" }],
      ];
      return [chain, { ...(used && { base: used }), rules }];
    }),
  );
}

/** Adds them to a table; existing content stays. */
export const additions: fc.Arbitrary<(table: Table) => Table> = fc
  .record({
    chains: names(400),
    sets: names(400),
    objects: names(400),
    bases: fc.array(fc.option(base, { nil: undefined }), { minLength: 1, maxLength: 5 }),
    picks: fc.array(fc.nat(1_000), { minLength: 1, maxLength: 10 }),
  })
  .map(({ chains, sets, objects, bases, picks }) => (table) => {
    const holds = (i: number) =>
      [chains, objects].flatMap(
        (list) => list[(picks[i % picks.length] ?? 0) % Math.max(1, list.length)] ?? [],
      );
    const set = (i: number): ModelSet =>
      i % 3 === 0
        ? { key: "type 13", flags: ["map"], elements: [], holds: holds(i) }
        : { key: "ipv4_addr", flags: i % 3 === 1 ? [] : ["interval", "timeout"], elements: [] };
    const object = (one: string, i: number): ModelObject =>
      i % 4 === 0 ? { kind: "flowtable", name: one } : { kind: "object", type: 1 + (i % 10), name: one };
    return {
      ...table,
      chains: { ...chainsOf(chains, sets, [bases, picks]), ...table.chains },
      sets: { ...Object.fromEntries(sets.map((one, i) => [one, set(i)])), ...table.sets },
      objects: objects.map(object),
    };
  });
