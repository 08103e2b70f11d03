import fc from "fast-check";
import { expect, test } from "vitest";
import { operation } from "../../test/lab/nftables-arbitrary.ts";
import { parseMessages } from "./attributes.ts";
import { NFNL } from "./constants.ts";
import { readChain, readRule, readSet, readTable } from "./decode.ts";
import { readIntervals } from "./decode-elements.ts";
import { encodeBatch } from "./encode.ts";
import type { ElementInterval, Operation } from "./operations.ts";

test("a message that adds something is read as that", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(operation, (one) => {
      const read = added(one);
      if (read === undefined) return;
      seen.add(one.op);
      expect({ op: one.op, ...read }).toEqual(one);
    }),
    { numRuns: 1000 },
  );
  expect([...seen].sort()).toEqual(["add chain", "add elements", "add rule", "add set", "add table"]);
});

test.each(["ipv4_addr", "ipv6_addr"] as const)("a long list of %s comes in several messages", (key) => {
  const elements = Array.from({ length: 5_000 }, (_, index): ElementInterval => {
    return { first: BigInt(index) * 16n, last: BigInt(index) * 16n + 7n };
  });
  const operation: Operation = { op: "add elements", family: "inet", table: "t", set: "s", key, elements };
  const { owners, lastSequence } = encodeBatch([operation], 7);
  const messages = messagesOf(operation);
  expect(messages.length).toBeGreaterThan(3);
  expect(messages.flatMap((message) => readIntervals([message], key))).toEqual(elements);
  expect(owners).toEqual(messages.map(() => 0));
  expect(lastSequence).toBe(7 + messages.length);
});

/** The object in an operation's message, without what only the kernel says of it; nothing for other operations. */
function added(operation: Operation): object | undefined {
  const messages = messagesOf(operation);
  const [message] = messages;
  if (message === undefined) return undefined;
  switch (operation.op) {
    case "add table": {
      const { handle: _, dormant: __, ...table } = readTable(message);
      return table;
    }
    case "add chain":
      return withoutHandle(readChain(message));
    case "add set": {
      const { flags: _, ...set } = readSet(message);
      return withoutHandle(set);
    }
    case "add rule":
      return withoutHandle(readRule(message));
    case "add elements": {
      const { family, table, set, key } = operation;
      return { family, table, set, key, elements: readIntervals(messages, key) };
    }
    default:
      return undefined;
  }
}

function withoutHandle({ handle: _, ...rest }: { readonly handle: number }): object {
  return rest;
}

/** The messages of one operation, without the batch around them. */
function messagesOf(operation: Operation) {
  const { bytes } = encodeBatch([operation], 1);
  return parseMessages(bytes).filter(({ type }) => type >> 8 === NFNL.SUBSYS_NFTABLES);
}
