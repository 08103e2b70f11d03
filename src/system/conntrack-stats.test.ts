import { expect, test } from "vitest";
import { parseConntrackCounters } from "./conntrack-stats.ts";

test("counters are added up over the CPUs", () => {
  const text = "entries insert_failed drop\n00000005 00000001 0000000a\n00000005 00000002 00000000\n";
  expect(parseConntrackCounters(text)).toMatchObject({ insert_failed: 3, drop: 10 });
});
