import { expect, test, vi } from "vitest";
import {
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  parseMessages,
  putU32,
  written,
} from "../attributes.ts";
import { NFNL, NFT_MSG, NFTA, NLM_F, NLMSG } from "../constants.ts";
import { kernelFailure, renderForbidden } from "../errors.ts";
import type { Operation } from "../operations.ts";
import { generation, tables } from "../query.ts";
import type { NetlinkSocket, OpenSocket, SocketEvents } from "./addon.ts";
import { createNftables } from "./transport.ts";

const t = { family: "inet", table: "t" } as const;
const OPERATIONS: readonly Operation[] = [
  { op: "add table", ...t },
  { op: "flush chain", ...t, chain: "bad" },
  { op: "delete table", ...t },
];
const ENOENT = -2;
const EPERM = -1;
const ENOBUFS = -105;
const OVERFLOW = kernelFailure(ENOBUFS, "receiving");

/** How a kernel answers the messages of one request. */
type Behaviour = (messages: readonly Message[], events: SocketEvents) => void;

/** A kernel that answers requests one after another, and a record of them. */
function kernel(...behaviours: readonly Behaviour[]) {
  const seen = { sent: [] as Message[][], opened: 0, closed: 0, held: false };
  const open: OpenSocket = (events): NetlinkSocket => {
    seen.opened++;
    return {
      sendBufferBytes: 212_992,
      receiveBufferBytes: 212_992,
      send: (bytes) => {
        const messages = parseMessages(bytes);
        const act = behaviours[seen.sent.push(messages) - 1];
        queueMicrotask(() => act?.(messages, events));
        return 0;
      },
      hold: (held) => {
        seen.held = held;
      },
      close: () => {
        seen.closed++;
      },
    };
  };
  return { seen, nft: createNftables(open, { timeoutMs: 50 }) };
}

/** An answer: an acknowledgement's number comes first in what follows the header. */
function answer(sequence: number, type: number, { flags = 0, errno = 0 } = {}): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, { type, flags, sequence, family: 0 });
  new DataView(writer.bytes.buffer).setInt32(16, errno, true);
  closeMessage(writer, start);
  return written(writer);
}

function generationIs(sequence: number, value: number): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, {
    type: (NFNL.SUBSYS_NFTABLES << 8) | NFT_MSG.NEWGEN,
    flags: 0,
    sequence,
    family: 0,
  });
  putU32(writer, NFTA.GEN.ID, value);
  closeMessage(writer, start);
  return written(writer);
}

const ack: Behaviour = (messages, events) => {
  for (const { flags, sequence } of messages)
    if ((flags & NLM_F.ACK) !== 0) events.message(answer(sequence, NLMSG.ERROR));
};
/** Refuses the operations at these places, and then acknowledges, as the kernel does. */
const refuse =
  (errno: number, ...places: readonly number[]): Behaviour =>
  (messages, events) => {
    for (const place of places)
      events.message(answer(messages[place]?.sequence ?? 0, NLMSG.ERROR, { errno }));
    ack(messages, events);
  };
const list =
  (flags = 0): Behaviour =>
  ([message], events) => {
    const sequence = message?.sequence ?? 0;
    events.message(answer(sequence, NFNL.SUBSYS_NFTABLES << 8, { flags }));
    events.message(answer(sequence, NLMSG.DONE));
  };
const lose: Behaviour = (_, events) => events.lost(OVERFLOW);
const silence: Behaviour = () => {};

test("a batch is done when its last operation is acknowledged", async () => {
  const { nft, seen } = kernel(ack);
  expect(nft.maxBatchBytes).toBe(212_920);
  await nft.batch(OPERATIONS);
  const flags = seen.sent[0]?.map((message) => message.flags & NLM_F.ACK);
  expect(flags).toEqual([0, 0, 0, NLM_F.ACK, 0]);
  expect(seen.held).toBe(false);
});

test("an empty batch sends nothing", async () => {
  const { nft, seen } = kernel();
  await nft.batch([]);
  expect(seen.sent).toEqual([]);
});

test("an error names the first operation that is rejected", async () => {
  const { nft } = kernel(refuse(ENOENT, 2, 3), ack);
  const expected = { name: "NftablesError", code: "ENOENT", operation: OPERATIONS[1] };
  await expect(nft.batch(OPERATIONS)).rejects.toMatchObject(expected);
  await nft.batch(OPERATIONS);
});

test("the last operation's refusal is its acknowledgement", async () => {
  const refuseLast: Behaviour = (messages, events) =>
    events.message(answer(messages[3]?.sequence ?? 0, NLMSG.ERROR, { errno: ENOENT }));
  const { nft } = kernel(refuseLast);
  await expect(nft.batch(OPERATIONS)).rejects.toMatchObject({ operation: OPERATIONS[2] });
});

test("a refusal of the whole batch names no operation, and what follows it is not taken for another's", async () => {
  const { nft } = kernel(refuse(EPERM, 0), ack);
  const first = nft.batch(OPERATIONS);
  await expect(first).rejects.toThrow(/^nf_tables transaction: EPERM: /);
  await nft.batch(OPERATIONS);
});

test("a batch whose refusals would overflow the buffer is not sent", async () => {
  const { nft, seen } = kernel(ack);
  const big = Array<Operation>(170).fill({ op: "add table", ...t });
  await expect(nft.batch(big)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[NftablesError: nf_tables transaction: EMSGSIZE: it counts 217600 bytes, and 212920 are allowed: split it]`,
  );
  expect(seen.sent).toEqual([]);
  await nft.batch(big.slice(0, 166));
});

test("an error of the system call is an error of the batch", async () => {
  const open: OpenSocket = () => ({
    sendBufferBytes: 1e6,
    receiveBufferBytes: 1e6,
    send: () => ENOBUFS,
    hold: () => {},
    close: () => {},
  });
  await expect(createNftables(open).batch(OPERATIONS)).rejects.toMatchObject({ code: "ENOBUFS" });
});

test("requests wait for each other, and a failure does not stop later ones", async () => {
  const { nft, seen } = kernel(refuse(ENOENT, 1), ack, list());
  const results = await Promise.allSettled([
    nft.batch(OPERATIONS),
    nft.batch(OPERATIONS),
    nft.read(tables()),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  const sequences = seen.sent.flat().map(({ sequence }) => sequence);
  expect(sequences).toEqual([...sequences.keys()].map((index) => index + 1));
});

test("a list that was interrupted, or lost in part, is read again", async () => {
  const { nft, seen } = kernel(list(NLM_F.DUMP_INTR), lose, list());
  await expect(nft.read(tables())).resolves.toHaveLength(1);
  expect(seen).toMatchObject({ opened: 2, closed: 1 });
});

test("a list that is always interrupted fails in the end", async () => {
  const { nft, seen } = kernel(...Array<Behaviour>(20).fill(list(NLM_F.DUMP_INTR)));
  await expect(nft.read(tables())).rejects.toMatchObject({ code: "EINTR" });
  expect(seen.sent).toHaveLength(10);
});

test("a question may fail", async () => {
  const fail: Behaviour = ([message], events) =>
    events.message(answer(message?.sequence ?? 0, NLMSG.ERROR, { errno: EPERM }));
  const { nft } = kernel(fail);
  await expect(nft.generation()).rejects.toMatchObject({ code: "EPERM" });
});

test("the generation", async () => {
  const { nft } = kernel(([message], events) =>
    events.message(generationIs(message?.sequence ?? 0, 4_000_000_000)),
  );
  await expect(nft.read(generation())).resolves.toBe(4_000_000_000);
});

test("an answer that is lost is an error of the batch", async () => {
  const { nft } = kernel(lose, ack);
  await expect(nft.batch(OPERATIONS)).rejects.toMatchObject({ code: "ENOBUFS", cause: OVERFLOW });
  await nft.batch(OPERATIONS);
});

test("a rejection that came before something was lost is the error", async () => {
  const { nft } = kernel((messages, events) => {
    events.message(answer(messages[1]?.sequence ?? 0, NLMSG.ERROR, { errno: ENOENT }));
    events.lost(OVERFLOW);
  });
  await expect(nft.batch(OPERATIONS)).rejects.toMatchObject({ code: "ENOENT", operation: OPERATIONS[0] });
});

test("a silent kernel fails at the deadline, and a late answer is ignored", async () => {
  vi.useFakeTimers();
  try {
    let late: () => void = silence as () => void;
    const { nft, seen } = kernel((messages, events) => {
      late = () => ack(messages, events);
    }, ack);
    const first = nft.batch(OPERATIONS).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(50);
    expect(await first).toMatchObject({ code: "ETIMEDOUT" });
    late();
    await nft.batch(OPERATIONS);
    expect(seen).toMatchObject({ opened: 2, closed: 1 });
  } finally {
    vi.useRealTimers();
  }
});

test("a signal ends the wait of what is under way and of what is in line", async () => {
  const { nft, seen } = kernel(silence, ack);
  const controller = new AbortController();
  const waiting = [nft.batch(OPERATIONS, controller.signal), nft.batch(OPERATIONS, controller.signal)];
  setImmediate(() => controller.abort(new Error("enough")));
  for (const each of waiting) await expect(each).rejects.toThrow("enough");
  expect(seen.sent).toHaveLength(1);
  await nft.batch(OPERATIONS);
});

test("closing ends everything", async () => {
  const { nft, seen } = kernel(silence);
  const waiting = [nft.batch(OPERATIONS), nft.generation()];
  setImmediate(() => nft.close());
  for (const each of waiting) await expect(each).rejects.toMatchObject({ code: "ECANCELED" });
  await expect(nft.generation()).rejects.toMatchObject({ code: "ECANCELED" });
  expect(seen).toMatchObject({ opened: 1, closed: 1 });
});

test("a mistake in an operation is thrown before anything is sent", async () => {
  const { nft, seen } = kernel();
  await expect(nft.batch([{ op: "delete table", family: "ip", table: "" }])).rejects.toThrow(
    "not a valid name",
  );
  expect(seen.sent).toEqual([]);
});

test("a capability is named as missing only if it is", () => {
  expect(renderForbidden(false)).toContain("CAP_NET_ADMIN is missing");
  expect(renderForbidden(undefined)).toContain("CAP_NET_ADMIN is missing");
  expect(renderForbidden(true)).toMatch(/has the capability NET_ADMIN, .* seccomp profile, .*flag owner/);
});
