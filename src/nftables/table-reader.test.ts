import { expect, test } from "vitest";
import type { Commit } from "../netlink/events.ts";
import type { Query } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CROWDED, TABLE, type TableState } from "./sets.ts";
import { createTableReader } from "./table-reader.ts";

const { signal } = new AbortController();
const LONG = 5_000;

/** A kernel with one set of so many elements, read at a cost of one millisecond for each thousand. */
function setUp(count: number) {
  const kernel = {
    generation: 1,
    handle: 3,
    counted: count as number | undefined,
    elements: count,
    reads: 0,
    ms: 0,
  };
  const commits: Commit[] = [];
  const answer = (what: string): unknown => {
    if (what.startsWith("elements")) {
      kernel.reads++;
      kernel.ms += kernel.elements / 1_000;
      return Array.from({ length: kernel.elements }, (_, i) => ({
        first: BigInt(2 * i),
        last: BigInt(2 * i),
      }));
    }
    if (what.startsWith("sets")) {
      const { handle, counted } = kernel;
      const own = { ...TABLE, set: "keep-ipv4", handle, key: "ipv4_addr", flags: ["interval"] };
      return [{ ...own, ...(counted === undefined ? {} : { count: counted }) }];
    }
    return what.startsWith("table") ? { ...TABLE, handle: 1, dormant: false } : [];
  };
  const nftables: Nftables = {
    read: async <T>({ what }: Query<T>) => answer(what) as T,
    batch: async () => {},
    generation: async () => kernel.generation,
    maxBatchBytes: 400_000,
    close: () => {},
  };
  const reader = createTableReader(
    () => kernel.ms,
    async ({ from, to }) => ({
      commits: commits.filter(({ generation }) => generation > from && generation <= to),
      complete: true,
    }),
  );
  let before: { generation: number; state: TableState } | undefined;
  /** Reads after something was committed; says how many elements were found, and whether they were read. */
  const after = async (change: Partial<typeof kernel>, touched = false, thorough = false) => {
    Object.assign(kernel, change);
    kernel.generation++;
    commits.push({ generation: kernel.generation, pid: 1, process: "nft", touched });
    const { reads } = kernel;
    before = await reader.read(nftables, { before, thorough, entries: LONG }, signal);
    return { found: before.state.sets[0]?.elements.length, read: kernel.reads > reads };
  };
  return { kernel, reader, after, nftables, state: () => before?.state };
}

test("a short set is read after every commit", async () => {
  const { after } = setUp(100);
  expect(await after({})).toEqual({ found: 100, read: true });
  expect(await after({ elements: 99 })).toEqual({ found: 99, read: true });
});

test("a long one is taken as it was after others' commits", async () => {
  const { after, reader } = setUp(LONG);
  expect(await after({})).toEqual({ found: LONG, read: true });
  expect(reader.isDue()).toBe(false);
  for (let i = 0; i < 20; i++) expect(await after({})).toEqual({ found: LONG, read: false });
});

test.each([
  ["made again", { handle: 4 }, false],
  ["with another number of elements", { counted: LONG - 1 }, false],
  ["touched", {}, true],
])("a long one that was %s is read", async (_how, change, touched) => {
  const { after } = setUp(LONG);
  await after({});
  expect(await after({ elements: LONG - 1, ...change }, touched)).toEqual({ found: LONG - 1, read: true });
});

test("before Linux 6.16 nothing counts them, which is no reason to read them each time", async () => {
  const { after } = setUp(LONG);
  await after({ counted: undefined });
  expect(await after({})).toEqual({ found: LONG, read: false });
});

test("a thorough inspection reads assumed elements, within 2 % of a processor", async () => {
  const { after, reader, kernel } = setUp(LONG);
  await after({});
  await after({});
  expect(reader.isDue()).toBe(false);
  expect(await after({}, false, true)).toEqual({ found: LONG, read: false });
  kernel.ms += 250;
  expect(reader.isDue()).toBe(true);
  expect(await after({ elements: LONG - 1 }, false, true)).toEqual({ found: LONG - 1, read: true });
  expect(reader.isDue()).toBe(false);
});

test("far more elements than there should be are not read, and the set is no longer taken for ours", async () => {
  const { after, state } = setUp(LONG);
  await after({});
  expect(await after({ counted: 2 * LONG + 100_001 })).toEqual({ found: 0, read: false });
  expect(state()?.sets[0]?.set.flags).toEqual(["interval", CROWDED]);
  expect(await after({ counted: LONG }, true)).toEqual({ found: LONG, read: true });
});

test("the state after a plan is known without reading its elements", async () => {
  const { reader, nftables, kernel } = setUp(LONG);
  const planned: TableState = {
    table: undefined,
    chains: [],
    rules: [],
    objects: [],
    sets: [
      { set: { ...TABLE, set: "keep-ipv4", handle: 0, key: "ipv4_addr", flags: ["interval"] }, elements: [] },
    ],
  };
  const settled = await reader.settle(nftables, planned, signal);
  expect(settled.sets).toMatchObject([{ set: { handle: 3, count: LONG }, elements: [] }]);
  expect(kernel.reads).toBe(0);
});
