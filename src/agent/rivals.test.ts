import { expect, test } from "vitest";
import { recordedLog } from "../../test/lab/log.ts";
import { createCommitLog } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import { NetlinkUnavailable } from "../netlink/errors.ts";
import type { Chosen } from "./choose.ts";
import { createRivalWatch } from "./rivals.ts";

const CHOICE: Chosen = { ok: true, name: "nftables", why: "", variant: "path" };
const SEEN = { places: ["chain X of table ip nat"], mayBe: false, generation: 2 };

function watch(removed: readonly string[]) {
  const { log, taken } = recordedLog();
  const state = { at: 0 };
  const driver = { remove: async () => removed, close: () => {} } as unknown as Driver;
  const rivals = createRivalWatch(
    {
      chain: "X",
      open: () => Promise.reject(new NetlinkUnavailable("linux", "no addon")),
      others: async () => [driver],
      traces: () => [],
      commitLog: createCommitLog(async () => {}),
      now: () => state.at,
      log,
    },
    new AbortController().signal,
  );
  return { rivals, state, taken };
}

test("it counts each return of rules; during a fight it logs one line a minute, until it is over", async () => {
  const { rivals, state, taken } = watch(["chain X"]);
  for (let i = 0; i < 200; i++) {
    state.at += 1_000;
    expect(await rivals.remove(CHOICE, SEEN)).toEqual([{ drift: [{ kind: "extra", where: "chain X" }] }]);
    expect(rivals.complaint() !== undefined).toBe(i > 0);
  }
  expect(taken()).toHaveLength(5 + 3);
  state.at += 60_000;
  expect(rivals.complaint()).toBeUndefined();
});

test("without rules of the other backend it logs nothing", async () => {
  const { rivals, taken } = watch([]);
  expect(await rivals.remove(CHOICE, SEEN)).toEqual([]);
  expect([taken(), rivals.complaint()]).toEqual([[], undefined]);
});

test("without netlink nothing is seen, and no commit is waited for", async () => {
  const { rivals } = watch([]);
  rivals.heard(7);
  expect(rivals.knows(7)).toBe(false);
  expect(await rivals.search(CHOICE, 60_000)).toMatchObject({ places: [], generation: undefined });
  expect(rivals.knows(7)).toBe(true);
});
