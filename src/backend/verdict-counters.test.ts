import fc from "fast-check";
import { expect, test } from "vitest";
import { createVerdictCounters } from "./verdict-counters.ts";

const count = (packets: number, bytes = packets * 60) =>
  ({ family: "IPv4", verdict: "keep", packets, bytes }) as const;

test("counts from before the agent's start count, too", () => {
  const counters = createVerdictCounters();
  counters.read([count(7)]);
  expect(counters.totals()).toEqual([count(7)]);
});

test("rules that are written again start from zero, the series do not", () => {
  const counters = createVerdictCounters();
  for (const packets of [5, 9, 0, 3, 3, 1]) counters.read([count(packets)]);
  expect(counters.totals()).toEqual([count(9 + 3 + 1)]);
});

test("each family and verdict is separate, and one without a reading stays", () => {
  const counters = createVerdictCounters();
  counters.read([count(5), { ...count(2), verdict: "masquerade" }]);
  counters.read([{ ...count(1), family: "IPv6" }]);
  expect(counters.totals().map(({ family, verdict, packets }) => [family, verdict, packets])).toEqual([
    ["IPv4", "keep", 5],
    ["IPv4", "masquerade", 2],
    ["IPv6", "keep", 1],
  ]);
});

test("they never go back, and miss nothing that was read before rules were written", () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 100 }), fc.boolean()), { maxLength: 30 });
  fc.assert(
    fc.property(steps, (all) => {
      const counters = createVerdictCounters();
      let [kernel, truth, shown] = [0, 0, 0];
      for (const [packets, isRewritten] of all) {
        kernel += packets;
        truth += packets;
        counters.read([count(kernel)]);
        const total = counters.totals()[0]?.packets ?? 0;
        expect(total).toBeGreaterThanOrEqual(shown);
        expect(total).toBe(truth);
        shown = total;
        // Written again, and read before they count anything.
        if (!isRewritten) continue;
        kernel = 0;
        counters.read([count(kernel)]);
      }
    }),
  );
});
