import { expect, test } from "vitest";
import type { Attribution } from "../backend/commit-log.ts";
import { describeFight } from "./sources.ts";

const commit = (process: string, pid: number) => ({ generation: pid, process, pid, touched: true });

test.each<[Attribution | undefined, number, string]>([
  [
    { commits: [commit("nft", 7)], complete: true },
    200,
    "(last: nft, host pid 7); the next repair waits 0.2 s.",
  ],
  [
    { commits: [commit("nft", 7), commit("iptables-nft", 8)], complete: false },
    5_000,
    "(last: iptables-nft, host pid 8, or an unknown process); the next repair waits 5.0 s.",
  ],
  [{ commits: [], complete: false }, 1_234, "(last: an unknown process); the next repair waits 1.2 s."],
  [undefined, 1_234, "(last: an unknown process); the next repair waits 1.2 s."],
])("a fight is told with the last process and in seconds: %j", (attribution, fightMs, expected) => {
  const healed = [{ drift: [], ...(attribution && { attribution }) }];
  expect(describeFight({ healed }, fightMs)).toContain(expected);
});
