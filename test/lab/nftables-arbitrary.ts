/** Random operations for property tests: everything that may be sent, and nothing that may not. */
import fc from "fast-check";
import { KEYS } from "../../src/netlink/constants.ts";
import type {
  ElementInterval,
  Operation,
  Ports,
  Protocol,
  SetKey,
  Statement,
} from "../../src/netlink/operations.ts";

const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9/\\_.-]{0,20}$/);
const port = fc.nat(65_535);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const handle = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
export const key: fc.Arbitrary<SetKey> = fc.constantFrom("ipv4_addr", "ipv6_addr");
const protocol: fc.Arbitrary<Protocol> = fc.constantFrom("tcp", "udp", "sctp");

/** Quotes and control characters can't be in nft's text; 128 bytes are the limit. */
const comment = fc
  .string({ unit: "binary", minLength: 1, maxLength: 30 })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the excluded ones.
  .map((text) => text.replaceAll(/["\u0000-\u001f\u007f]/g, "'"));

/** Sorted and disjoint; both ends of the address space and intervals that touch are likely. */
export function intervals(key: SetKey, maxLength = 40): fc.Arbitrary<ElementInterval[]> {
  const last = (1n << BigInt(KEYS[key].bytes * 8)) - 1n;
  const any = fc.bigInt({ min: 0n, max: last });
  const address = fc.oneof(any, fc.constantFrom(0n, 1n, last - 1n, last), fc.bigInt({ min: 0n, max: 20n }));
  return fc.uniqueArray(address, { minLength: 2, maxLength: 2 * maxLength }).map((addresses) => {
    const sorted = addresses.sort((a, b) => (a < b ? -1 : 1));
    return sorted.flatMap((first, index) => {
      const next = sorted[index + 1];
      if (index % 2 === 1 || next === undefined) return [];
      return [{ first, last: next }];
    });
  });
}

const flags = fc.subarray(["random", "fully-random", "persistent"] as const);
const ports: fc.Arbitrary<{ ports?: Ports }> = fc
  .option(fc.tuple(port, port), { nil: undefined })
  .map((pair) => {
    if (pair === undefined) return {};
    const [first, last] = pair;
    return { ports: { first: Math.min(first, last), last: Math.max(first, last) } };
  });
const masquerade = fc
  .tuple(ports, flags)
  .map(([to, names]): Statement => ({ kind: "masquerade", ...to, flags: names }));

const FAMILY_BITS = { ip: 32, ip6: 128 } as const;
const family = fc.constantFrom("ip" as const, "ip6" as const);
const addressOf = (of: "ip" | "ip6") => {
  const most = (1n << BigInt(FAMILY_BITS[of])) - 1n;
  return fc.oneof(fc.bigInt({ min: 0n, max: most }), fc.constantFrom(0n, 1n, most));
};
/** Low bits, as slots of a pool have them, or any but all. */
const sourceBits = (of: "ip" | "ip6"): fc.Arbitrary<Statement> => {
  const most = (1n << BigInt(FAMILY_BITS[of])) - 2n;
  const mask = fc.oneof(fc.constantFrom(1n, 3n, 7n, 15n), fc.bigInt({ min: 1n, max: most }));
  return fc
    .tuple(mask, addressOf(of))
    .map(([bits, address]) => ({ kind: "saddr bits", family: of, mask: bits, value: address & bits }));
};
const oifname: fc.Arbitrary<Statement> = fc.record({
  kind: fc.constant("oifname" as const),
  name: fc.oneof(
    fc.stringMatching(/^[a-z0-9@.+_-]{1,15}$/),
    fc.stringMatching(/^[!#-)+-.0-9;-[\]-~]{1,15}$/),
  ),
  isPrefix: fc.boolean(),
});

const matches = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("l4proto" as const), protocol }),
    fc.record({ kind: fc.constant("fib daddr type" as const), type: fc.constant("local" as const) }),
    fc.record({ kind: fc.constant("counter" as const), packets: u64, bytes: u64 }),
    oifname,
    fc.record({
      kind: fc.constantFrom("daddr" as const, "saddr" as const),
      family: fc.constant("ip6" as const),
      set: name,
      negated: fc.boolean(),
    }),
    fc
      .record({
        modulus: fc.integer({ min: 2, max: 2 ** 32 - 1 }),
        part: fc.double({ min: 0, max: 0.99, noNaN: true }),
      })
      .map(({ modulus, part }) => {
        return { kind: "numgen random" as const, modulus, below: 1 + Math.floor(part * (modulus - 1)) };
      }),
  ),
  { maxLength: 5 },
);

const ends: fc.Arbitrary<Statement> = fc.oneof(
  fc.record({ kind: fc.constant("verdict" as const), verdict: fc.constantFrom("accept", "drop", "return") }),
  fc.record({ kind: fc.constant("verdict" as const), verdict: fc.constantFrom("jump", "goto"), chain: name }),
  masquerade,
);

const snat = (of: "ip" | "ip6") =>
  fc
    .tuple(addressOf(of), ports, flags)
    .map(([address, to, names]): Statement => ({ kind: "snat", family: of, address, ...to, flags: names }));

/** Of one family, with the protocol that ports need, and ended by what ends a rule. */
export const statements: fc.Arbitrary<Statement[]> = family
  .chain((of) =>
    fc.record({
      matches,
      bits: fc.option(sourceBits(of), { nil: undefined }),
      end: fc.oneof(ends, snat(of)),
      family: fc.constant(of),
      protocol,
    }),
  )
  .map(({ matches, bits, end, family, protocol }) => {
    const sameFamily = matches.map((each) => ("set" in each ? { ...each, family } : each));
    // Before an address, the question for its family is part of that.
    const hasAddress = bits !== undefined || matches.some((each) => "set" in each);
    const first: Statement[] = hasAddress ? [] : [{ kind: "nfproto", family }];
    const last: Statement[] = bits === undefined ? [] : [bits];
    return [...first, ...sameFamily, ...last, { kind: "l4proto", protocol }, end];
  });

const op = fc.constant("delete by handle");
const table = { family: fc.constant("inet" as const), table: name };
const chain = { ...table, chain: name };
const set = { ...table, set: name };
const base = fc.record({
  type: fc.constantFrom("filter", "nat", "route"),
  hook: fc.constantFrom("prerouting", "input", "forward", "output", "postrouting"),
  priority: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  policy: fc.constantFrom("accept", "drop"),
});

function some<T, K extends keyof T>(model: { [P in keyof T]: fc.Arbitrary<T[P]> }, ...optional: K[]) {
  return fc.record(model, {
    requiredKeys: (Object.keys(model) as (keyof T)[]).filter(
      (each) => !optional.includes(each as K),
    ) as Exclude<keyof T, K>[],
  });
}

const changes = key.chain((chosen) =>
  fc.record({
    op: fc.constantFrom("add elements", "delete elements"),
    ...set,
    key: fc.constant(chosen),
    elements: intervals(chosen),
  }),
);

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  some({ op: fc.constant("add table"), ...table, comment }, "comment"),
  fc.record({ op: fc.constantFrom("flush table", "delete table"), ...table }),
  some({ op: fc.constant("add chain"), ...chain, base }, "base"),
  fc.record({ op: fc.constantFrom("flush chain", "delete chain"), ...chain }),
  some(
    {
      op: fc.constant("add set"),
      ...set,
      key,
      size: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      comment,
    },
    "size",
    "comment",
  ),
  fc.record({ op: fc.constant("delete set"), ...set }),
  changes,
  some({ op: fc.constant("add rule"), ...chain, statements, comment }, "comment"),
  fc.record({ op: fc.constant("delete rule"), ...chain, handle }),
  fc.record({ op: fc.constant("rename chain"), ...chain, handle, name }),
  fc.record({ op, ...table, kind: fc.constantFrom("chain", "set", "flowtable"), handle }),
  fc.record({ op, ...table, kind: fc.constant("object"), handle, type: fc.integer({ min: 1, max: 20 }) }),
) as fc.Arbitrary<Operation>;
