import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { times } from "../../test/lab/length.ts";
import { packAddress } from "./address.ts";
import { type Condition, fits } from "./condition.ts";
import type { Flow } from "./flow.ts";
import { largestHolders, measureShares, type Table } from "./port-shares.ts";
import { portOwner } from "./usage.ts";

const packed = (text: string) => packAddress(text) ?? "";
const NODE = "192.0.2.1";
const PORTS = 64_512;
const owner = portOwner([NODE, "192.0.2.2"], []);
const now = () => 0;

interface Many {
  readonly count: number;
  readonly remote: string;
  readonly pods?: number;
  readonly state?: number;
  readonly node?: string;
  readonly isKept?: boolean;
}

function* flows({ count, remote, pods = 10, state = 3, node = NODE, isKept = false }: Many): Generator<Flow> {
  for (let i = 0; i < count; i++) {
    const ports = { protocol: 6, sourcePort: 443, destinationPort: 1_024 + i };
    const source = packed(`10.1.0.${i % pods}`);
    const reply = { source: packed(remote), destination: isKept ? source : packed(node), ...ports };
    const original = {
      source,
      destination: packed(remote),
      protocol: 6,
      sourcePort: 5,
      destinationPort: 443,
    };
    yield { original, reply, state, secondsLeft: 9 };
  }
}

/** A table in the order of a hash, and the conditions that it was asked with. */
function table(many: readonly Many[], random = () => Math.random(), slowMs = 0) {
  const all = many
    .flatMap((one) => [...flows(one)])
    .map((flow) => ({ flow, at: random() }))
    .sort((a, b) => a.at - b.at);
  const asked: Condition[] = [];
  const list: Table["list"] = async (condition, visit, { most = Infinity, timeoutMs = Infinity } = {}) => {
    asked.push(condition);
    const isSlow = condition.reply !== undefined && slowMs > timeoutMs - 1;
    const wanted = all.filter(({ flow }) => fits(flow, condition)).slice(0, isSlow ? 3 : most);
    for (const { flow } of wanted) visit(flow);
    return { read: wanted.length, isWhole: !isSlow && wanted.length < most, isFiltered: true };
  };
  return { entries: all.length, list, asked };
}

describe("shares", () => {
  test("of a small table are counted, with their sources, and nothing else is asked", async () => {
    const of = table([{ count: 900, remote: "8.8.8.8" }]);
    const narrow = { ...owner, ports: 1_000 };
    const shares = await measureShares(of, narrow, now);
    expect(shares).toMatchObject({ share: 0.9, openShare: 0.9, fullest: { inUse: 900 } });
    expect(largestHolders(shares, 5).map(({ source }) => source.inUse)).toEqual([90, 90, 90, 90, 90]);
    expect(of.asked).toEqual([{}]);
  });

  test("of a quiet node come from the sample alone", async () => {
    const of = table([
      { count: 20_000, remote: "8.8.8.8" },
      { count: 20_000, remote: "9.9.9.9" },
    ]);
    const { share, counted } = await measureShares(of, owner, now);
    expect(share).toBeGreaterThan(0.25);
    expect(share).toBeLessThan(0.38);
    expect(counted).toEqual([]);
    expect(of.asked).toHaveLength(1);
  });

  test("above one half are counted exactly, ended TCP in one number and not in the other", async () => {
    const of = table([
      { count: 40_000, remote: "8.8.8.8" },
      { count: 12_000, remote: "8.8.8.8", state: 7, node: "192.0.2.2" },
      { count: 60_000, remote: "9.9.9.9", state: 7, pods: 3 },
      { count: 90_000, remote: "10.2.3.4", isKept: true },
    ]);
    const shares = await measureShares(of, owner, now);
    expect(shares.share).toBe(60_000 / PORTS);
    expect(shares.openShare).toBe(40_000 / PORTS);
    expect(shares.counted.map(({ inUse }) => inUse).sort()).toEqual([40_000, 60_000]);
    expect(largestHolders(shares, 5).map(({ source }) => source.inUse)).toEqual([
      ...[20_000, 20_000, 20_000, 4_000, 4_000],
    ]);
    expect(of.asked).toHaveLength(3);
  });

  test("that cannot be counted in time are those of the sample", async () => {
    const of = table([{ count: 50_000, remote: "8.8.8.8" }], Math.random, 10_000);
    const shares = await measureShares(of, owner, now);
    expect(shares.share).toBeCloseTo(50_000 / PORTS, 1);
    expect(shares.counted).toEqual([]);
  });

  test("are counted for three remotes at most, and a few hits among many are no alarm", async () => {
    const remotes = Array.from({ length: 200 }, (_, i) => ({ count: 100, remote: `9.9.9.${i}` }));
    const of = table(remotes);
    const narrow = { ...owner, ports: 150 };
    const { share } = await measureShares(of, narrow, now);
    expect(of.asked.length).toBeLessThanOrEqual(4);
    expect(share).toBeLessThan(1);
  });

  test("of no connections are 0", async () => {
    expect(await measureShares(table([]), owner, now)).toMatchObject({ share: 0, openShare: 0, counted: [] });
  });
});

test("a share above one half is exact in any table", async () => {
  const many = fc.array(
    fc.record({
      count: fc.integer({ min: 0, max: 4_000 }),
      remote: fc.constantFrom("8.8.8.8", "9.9.9.9", "1.1.1.1"),
    }),
    { minLength: 1, maxLength: 3 },
  );
  await fc.assert(
    fc.asyncProperty(many, fc.integer({ min: 500, max: 9_000 }), async (parts, ports) => {
      const narrow = { ...owner, ports };
      const totals = new Map<string, number>();
      for (const { remote, count } of parts) totals.set(remote, (totals.get(remote) ?? 0) + count);
      const most = Math.max(...totals.values());
      const { share } = await measureShares(table(parts), narrow, now);
      // An estimate lies within two standard errors in 95 of 100 cases: well above the half it must never be missed.
      if (most > 0.65 * ports) expect(share).toBe(Math.min(1, most / ports));
    }),
    { numRuns: times(12, 60) },
  );
});
