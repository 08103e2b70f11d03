import { expect, test } from "vitest";
import { rulesFor } from "./chain-index.ts";
import { matchAll } from "./match.ts";
import type { Condition, TraceRule } from "./model.ts";

const LOCAL = { IPv4: [], IPv6: [] };
const address = (first: bigint, last: bigint, negated: boolean): Condition => ({
  kind: "address",
  side: "destination",
  family: "IPv4",
  intervals: [{ first, last }],
  text: "",
  negated,
});

test("what is left out does not match, and the rest stays in its order", () => {
  const conditions: Condition[][] = [
    [],
    [address(1n, 1n, true)],
    [address(0n, 9n, false)],
    [address(0n, 7n, false)],
    [address(8n, 15n, false)],
    [address(0n, (1n << 32n) - 1n, false)],
    [address(1n, 1n, false), address(2n, 2n, false)],
    [{ kind: "unknown", text: "", negated: false }, address(3n, 3n, false)],
    ...Array.from({ length: 60 }, (_, i) => [address(BigInt(i % 5), BigInt(i % 5), false)]),
    [{ ...address(1n, 1n, false), side: "source" } as Condition],
  ];
  const rules: TraceRule[] = conditions.map((each, i) => ({
    number: i + 1,
    text: "",
    conditions: each,
    action: { kind: "return" },
  }));
  for (const destination of [0n, 1n, 2n, 3n, 4n, 9n, 99n]) {
    const numbers = rulesFor(rules, destination).map(({ number }) => number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    const left = rules.filter(({ number }) => !numbers.includes(number));
    expect(left.length).toBeGreaterThan(40);
    const packet = { family: "IPv4", destination } as const;
    expect(left.filter((rule) => matchAll(rule.conditions, packet, LOCAL).answer !== "no")).toEqual([]);
  }
});
