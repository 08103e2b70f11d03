import { expect, test } from "vitest";
import { type Entry, entryMessage } from "../../test/lab/conntrack.ts";
import {
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  parseMessages,
  readAttributes,
  written,
} from "../netlink/attributes.ts";
import { NLM_F, NLMSG } from "../netlink/constants.ts";
import type { OpenSocket } from "../netlink/socket/addon.ts";
import { createDeletion } from "./conntrack.ts";
import { CT_MSG, CTA } from "./constants.ts";

const GET = 0x100 | CT_MSG.GET;

function answer(type: number, sequence: number, errno = 0): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, { type, flags: 0, sequence, family: 0 });
  new DataView(writer.bytes.buffer).setInt32(start + 16, errno, true);
  closeMessage(writer, start);
  return written(writer);
}

/** A kernel with these entries, which deletes as `errnos` say, by the order of the requests. */
function kernel(entries: readonly Entry[], errnos: Readonly<Record<number, number>> = {}) {
  const deleted: Message[] = [];
  const open: OpenSocket = (events) => ({
    sendBufferBytes: 212_992,
    receiveBufferBytes: 212_992,
    hold: () => {},
    close: () => {},
    send: (bytes) => {
      const asked = parseMessages(bytes.slice());
      queueMicrotask(() => {
        for (const one of asked) {
          if (one.type === GET) {
            for (const entry of entries) events.message(entryMessage(entry, one.sequence));
            events.message(answer(NLMSG.DONE, one.sequence));
            continue;
          }
          const errno = errnos[deleted.length] ?? 0;
          deleted.push(one);
          if (errno !== 0 || (one.flags & NLM_F.ACK) !== 0)
            events.message(answer(NLMSG.ERROR, one.sequence, errno));
        }
      });
      return 0;
    },
  });
  return { deleted, remove: createDeletion(open) };
}

const flows = (count: number): Entry[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ source: "10.244.1.2", sourcePort: 1_000 + i, remote: "8.8.8.8", port: 53 },
    ...{ node: "10.244.1.2", nodePort: 1_000 + i, status: i % 2 === 0 ? 0x8 : 0xa },
  }));
const UNANSWERED = { status: { value: 0, mask: 0x2 } };

test("what matches and is chosen is deleted, by the kernel's own bytes", async () => {
  const { deleted, remove } = kernel(flows(1_000));
  const isChosen = ({ original }: { original: { sourcePort: number } }) => original.sourcePort < 1_900;
  expect(await remove(UNANSWERED, isChosen, { most: 10_000 })).toEqual({
    counts: { IPv4: 450, IPv6: 0 },
    isWhole: true,
  });
  expect(deleted).toHaveLength(450);
  const [first] = parseMessages(entryMessage(flows(1)[0] as Entry, 1));
  expect(deleted[0]).toMatchObject({ type: 0x102, family: 2 });
  expect([...readAttributes(deleted[0]?.attributes)]).toEqual([
    [CTA.TUPLE_ORIG, readAttributes(first?.attributes).get(CTA.TUPLE_ORIG)],
  ]);
});

test("no more than the bound, and the rest is told of", async () => {
  const { deleted, remove } = kernel(flows(1_000));
  expect(await remove(UNANSWERED, () => true, { most: 300 })).toEqual({
    counts: { IPv4: 300, IPv6: 0 },
    isWhole: false,
  });
  expect(deleted).toHaveLength(300);
});

test("nothing chosen, nothing sent", async () => {
  const { deleted, remove } = kernel(flows(10));
  expect(await remove(UNANSWERED, () => false, { most: 300 })).toEqual({
    counts: { IPv4: 0, IPv6: 0 },
    isWhole: true,
  });
  expect(deleted).toEqual([]);
});

test.each([
  ["in the midst", { 3: -2, 4: -16 }, 5, 3],
  ["at the end", { 4: -2 }, 5, 4],
])(
  "an entry that is gone, or that hardware forwards, is no failure: %s",
  async (_where, errnos, of, count) => {
    const { remove } = kernel(flows(of * 2), errnos);
    expect(await remove(UNANSWERED, () => true, { most: 300 })).toEqual({
      counts: { IPv4: count, IPv6: 0 },
      isWhole: true,
    });
  },
);

test.each([
  [-1, /^deleting connections: EPERM/],
  [-95, /modprobe nf_conntrack_netlink/],
])("any other answer is a failure: %d", async (errno, words) => {
  const { remove } = kernel(flows(10), { 1: errno });
  await expect(remove(UNANSWERED, () => true, { most: 300 })).rejects.toThrow(words);
});
