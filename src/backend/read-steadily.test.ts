import { expect, test } from "vitest";
import { NftablesError } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { readSteadily } from "./read-steadily.ts";

const { signal } = new AbortController();

/** Reads in a kernel where others make so many commits during each reading, the last number for ever; `gone`: the first ones find nothing. */
async function read(commits: readonly number[], gone = 0, attempts = 3) {
  let generation = 7;
  let reads = 0;
  const nftables = { generation: async () => generation } as unknown as Nftables;
  const once = async (from: number) => {
    generation += commits[Math.min(reads++, commits.length - 1)] ?? 0;
    if (reads <= gone) throw new NftablesError({ code: "ENOENT", what: "chain", why: "not there" });
    return `as of ${from}`;
  };
  return { ...(await readSteadily(nftables, once, attempts, signal)), reads };
}

test.each([
  ["no process commits", [0], 0, { generation: 7, value: "as of 7", isSteady: true, reads: 1 }],
  ["one commits once", [1, 0], 0, { generation: 8, value: "as of 8", isSteady: true, reads: 2 }],
  ["others never cease", [1], 0, { generation: 9, value: "as of 9", isSteady: false, reads: 3 }],
  ["the object is removed", [1, 0], 1, { generation: 8, value: "as of 8", isSteady: true, reads: 2 }],
])("where %s", async (_, commits, gone, expected) => {
  expect(await read(commits, gone)).toEqual(expected);
});

test("an object that never exists is a failure", async () => {
  await expect(read([0], 3)).rejects.toThrow("ENOENT");
});
