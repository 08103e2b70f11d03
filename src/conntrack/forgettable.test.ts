import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packAddress } from "./address.ts";
import { isUnasked, kernelPart } from "./condition.ts";
import type { Flow } from "./flow.ts";
import { isUnanswered, leavesAs, leavingConditions, UNANSWERED, type Verdicts } from "./forgettable.ts";

const packed = (text: string) => packAddress(text) ?? "";

const POD = "10.244.1.2";
const POD6 = "fd00:244::2";
const NODE = "192.0.2.1";
const GONE = "192.0.2.10";
const GONE6 = "2001:db8::a";
const WORLD = "8.8.8.8";
const WORLD6 = "2600::8";
const KEPT = "10.9.9.9";

/** Pods are ours, the node is not, and one destination keeps the pods' addresses. */
const VERDICTS: Verdicts = {
  isLocal: (address) => [NODE, "10.244.1.1", "2001:db8::1"].map(packed).includes(address),
  masquerades: (source, destination) =>
    [POD, POD6].map(packed).includes(source) && destination !== packed(KEPT),
};

interface Words {
  readonly protocol?: number;
  readonly source?: string;
  readonly asked?: string;
  readonly remote?: string;
  readonly node?: string;
  readonly status?: number | undefined;
}

function flow(words: Words): Flow {
  const { protocol = 17, source = POD, remote = WORLD, asked = remote, node = source } = words;
  const ports = { protocol, sourcePort: 5_060, destinationPort: 5_060 };
  return {
    original: { ...ports, source: packed(source), destination: packed(asked) },
    reply: { ...ports, source: packed(remote), destination: packed(node) },
    status: "status" in words ? words.status : 0x8,
    state: 0,
    secondsLeft: 30,
  };
}

describe("a flow that nobody has answered", () => {
  test.each<[string, Words, boolean]>([
    ["UDP of a pod", {}, true],
    ["ICMP of a pod", { protocol: 1 }, true],
    ["UDP of a pod, IPv6", { source: POD6, remote: WORLD6 }, true],
    ["ICMPv6 of a pod", { source: POD6, remote: WORLD6, protocol: 58 }, true],
    ["IPv4 with ICMPv6's number", { protocol: 58 }, false],
    ["IPv6 with ICMP's number", { source: POD6, remote: WORLD6, protocol: 1 }, false],
    ["TCP", { protocol: 6 }, false],
    ["SCTP", { protocol: 132 }, false],
    ["answered", { status: 0xa }, false],
    ["masqueraded", { status: 0x18, node: NODE }, false],
    ["of a Service", { status: 0x28, asked: "10.96.0.10" }, false],
    ["of unknown status", { status: undefined }, false],
    ["of the node", { source: NODE }, false],
    ["to the node", { remote: NODE }, false],
    ["of another's", { source: "172.17.0.2" }, false],
    ["to a destination that keeps the address", { remote: KEPT }, false],
  ])("is forgotten: %s", (_what, words, isForgotten) => {
    expect(isUnanswered(flow(words), VERDICTS)).toBe(isForgotten);
  });
});

describe("a flow that leaves as an address that is gone", () => {
  const gone = new Set([GONE, GONE6].map(packed));
  test.each<[string, Words, boolean]>([
    ["TCP of a pod", { protocol: 6, node: GONE, status: 0x1e }, true],
    ["UDP of a pod", { node: GONE, status: 0x18 }, true],
    ["SCTP, IPv6", { protocol: 132, source: POD6, remote: WORLD6, node: GONE6, status: 0x1e }, true],
    ["of a Service, to its endpoint", { asked: "10.96.0.10", node: GONE, status: 0x3e }, true],
    [
      "of a Service, to an endpoint that keeps the address",
      { asked: "10.96.0.10", remote: KEPT, node: GONE, status: 0x3e },
      false,
    ],
    ["as an address that is there", { protocol: 6, node: NODE, status: 0x1e }, false],
    ["of the node", { source: NODE, node: GONE, status: 0x1e }, false],
    ["of the address itself, when it was the node's", { source: GONE, node: NODE, status: 0x1e }, false],
    ["not translated", { source: GONE, status: 0xe }, false],
    ["of another's", { source: "172.17.0.2", node: GONE, status: 0x1e }, false],
  ])("is forgotten: %s", (_what, words, isForgotten) => {
    expect(leavesAs(flow(words), gone, VERDICTS)).toBe(isForgotten);
  });

  test("is asked for by address where the kernel's filter is right", () => {
    expect(leavingConditions("IPv4", [GONE].map(packed)).map(kernelPart)).toEqual([
      { family: "IPv4", reply: { destination: packed(GONE) }, status: { value: 0x10, mask: 0x10 } },
    ]);
    expect(leavingConditions("IPv6", [GONE6, "2001:db8::b"].map(packed))).toEqual([
      { family: "IPv6", status: { value: 0x10, mask: 0x10 } },
    ]);
  });
});

/** Any entry of a table, whatever the kernel answers. */
const anyFlow = fc
  .record({
    protocol: fc.constantFrom(1, 6, 17, 47, 58, 132),
    status: fc.integer({ min: 0, max: 0x3fff }),
    ends: fc.constantFrom(
      { addresses: [POD, KEPT, NODE, GONE, WORLD, "172.17.0.2"] },
      { addresses: [POD6, "2001:db8::1", GONE6, WORLD6] },
    ),
    picks: fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
  })
  .map(({ protocol, status, ends: { addresses }, picks }) => {
    const [source, asked, remote, node] = picks.map((pick) => addresses[pick % addresses.length] ?? "");
    return flow({ protocol, status, source, asked, remote, node } as Words);
  });

test("whatever a table has, nothing is chosen that must stay", () => {
  const gone = new Set([GONE, GONE6].map(packed));
  let chosen = 0;
  fc.assert(
    fc.property(anyFlow, (one) => {
      const { original, reply, status = 0 } = one;
      if (isUnanswered(one, VERDICTS)) {
        chosen++;
        expect([1, 17, 58]).toContain(original.protocol);
        expect(status & 0x32).toBe(0);
        expect(VERDICTS.isLocal(original.source)).toBe(false);
        expect(VERDICTS.masquerades(original.source, original.destination)).toBe(true);
      }
      if (leavesAs(one, gone, VERDICTS)) {
        chosen++;
        expect(gone.has(reply.destination) && (status & 0x10) !== 0).toBe(true);
        expect(VERDICTS.isLocal(original.source) || gone.has(original.source)).toBe(false);
        expect(VERDICTS.masquerades(original.source, reply.source)).toBe(true);
      }
      // What is chosen was asked for: no filter of the kernel loses it.
      const family = original.source.length === 2 ? "IPv4" : "IPv6";
      if (isUnanswered(one, VERDICTS)) expect(isUnasked(one, UNANSWERED)).toBe(false);
      if (leavesAs(one, gone, VERDICTS)) {
        const conditions = leavingConditions(
          family,
          [...gone].filter(({ length }) => length === (family === "IPv4" ? 2 : 8)),
        );
        expect(conditions.some((condition) => !isUnasked(one, kernelPart(condition)))).toBe(true);
      }
    }),
    { numRuns: 4_000 },
  );
  expect(chosen).toBeGreaterThan(20);
});
