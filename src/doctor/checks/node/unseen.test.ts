import { expect, test } from "vitest";
import { facts, said } from "../../../../test/lab/doctor.ts";
import { known } from "../../../system/fact.ts";
import type { SeenFacts } from "../../facts.ts";
import { countsBetween, receivedPackets } from "../../read-seen.ts";

test.each<[string, SeenFacts | undefined, number]>([
  ["many packets, and none seen", { counted: 0, received: 1_001, intervalMs: 10_000 }, 1],
  ["many packets, and one seen", { counted: 1, received: 1_001, intervalMs: 10_000 }, 0],
  ["few packets", { counted: 0, received: 1_000, intervalMs: 10_000 }, 0],
  ["no counters", undefined, 0],
])("%s", (_name, seen, found) => {
  const lines = said({ seen }).filter((line) => line.startsWith("info unseen: no new connection came"));
  expect(lines).toHaveLength(found);
});

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 1234567    8901    0    0    0     0          0         0  1234567    8901    0    0
  cni0: 55 7 0 0 0 0 0 0 66 8 0 0
eth0.5:77 9    0    0
`;

test("packets by link, as the kernel lists them", () => {
  expect([...receivedPackets(NET_DEV)]).toEqual([
    ["lo", 8901],
    ["cni0", 7],
    ["eth0.5", 9],
  ]);
  expect([...receivedPackets("")]).toEqual([]);
});

test("only pods' links count, and only rules that were not written meanwhile", () => {
  const { own, links, others } = facts();
  const counts = (rules: number | undefined, cni: number, eth: number) => ({
    bySide: new Map(rules === undefined ? [] : [[own, rules] as const]),
    byLink: new Map([
      ["cni0", cni],
      ["eth0", eth],
    ]),
  });
  const between = (...pair: readonly [ReturnType<typeof counts>, ReturnType<typeof counts>]) =>
    countsBetween(pair, { own, links, intervalMs: 5 });
  expect(known(links)?.links.get("cni0")).toBe(true);
  expect(between(counts(3, 10, 10), counts(5, 25, 99))).toEqual({ counted: 2, received: 15, intervalMs: 5 });
  expect(between(counts(3, 10, 10), counts(1, 25, 99))).toBeUndefined();
  expect(between(counts(undefined, 1, 1), counts(1, 25, 99))).toBeUndefined();
  const [other] = others;
  if (other === undefined) throw new Error("one backend only");
  const pair = [counts(3, 10, 10), counts(3, 25, 99)] as const;
  expect(countsBetween(pair, { own: other, links, intervalMs: 5 })).toBeUndefined();
});
