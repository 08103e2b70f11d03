import { describe, expect, test } from "vitest";
import { type Entry, entryMessage } from "../../test/lab/conntrack.ts";
import {
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  parseMessages,
  putU32,
  readAttributes,
  written,
} from "../netlink/attributes.ts";
import { NLM_F, NLMSG } from "../netlink/constants.ts";
import { kernelFailure } from "../netlink/errors.ts";
import type { OpenSocket, SocketEvents } from "../netlink/socket/addon.ts";
import { packAddress, printEndpoint } from "./address.ts";
import type { Condition } from "./condition.ts";
import { createConntrack } from "./conntrack.ts";
import { CTA, CTA_FILTER, CTA_STATS } from "./constants.ts";
import type { Flow } from "./flow.ts";

const packed = (text: string) => packAddress(text) ?? "";
const NODE = "192.0.2.1";
const of = (i: number, more: Partial<Entry> = {}): Entry => ({
  source: "10.244.1.2",
  sourcePort: 10_000 + i,
  remote: "8.8.8.8",
  port: 443,
  node: NODE,
  nodePort: 20_000 + i,
  ...more,
});

/** A kernel that answers one question, and what was seen of it. */
function kernel(answer: (events: SocketEvents, asked: Message) => void) {
  const seen = { asked: [] as Message[], open: 0 };
  const open: OpenSocket = (events) => {
    seen.open++;
    return {
      sendBufferBytes: 212_992,
      receiveBufferBytes: 212_992,
      send: (bytes) => {
        const [asked] = parseMessages(bytes);
        if (asked === undefined) throw new Error("nothing was asked");
        seen.asked.push(asked);
        queueMicrotask(() => answer(events, asked));
        return 0;
      },
      hold: () => {},
      close: () => void seen.open--,
    };
  };
  return { seen, conntrack: createConntrack(open) };
}

/** The end of a list, or an error. */
function ending(type: number, errno = 0): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, { type, flags: 0, sequence: 1, family: 0 });
  new DataView(writer.bytes.buffer).setInt32(start + 16, errno, true);
  closeMessage(writer, start);
  return written(writer);
}

/** A kernel that does not filter: it answers with everything, whatever it is asked. */
const everything = (...entries: readonly Entry[]) =>
  kernel((events) => {
    for (const entry of entries) events.message(entryMessage(entry, 1));
    events.message(ending(NLMSG.DONE));
  });

async function listed(
  conntrack: ReturnType<typeof kernel>["conntrack"],
  condition: Condition,
  most?: number,
) {
  const flows: string[] = [];
  const visit = ({ original, reply }: Flow) =>
    void flows.push(
      `${printEndpoint(original.source, original.sourcePort)} ${printEndpoint(reply.source, reply.sourcePort)}`,
    );
  return { ...(await conntrack.list(condition, visit, most === undefined ? {} : { most })), flows };
}

describe("a list", () => {
  test("has every entry, of both families and with their state", async () => {
    const { conntrack, seen } = everything(
      of(1, { protocol: "tcp", state: "TIME_WAIT", secondsLeft: 77, status: 0x1e }),
      of(2, {
        source: "fd00::2",
        remote: "2001:db8::8",
        node: "2001:db8::1",
        asked: "fd00:96::a",
        askedPort: 80,
      }),
    );
    const flows: Flow[] = [];
    expect(await conntrack.list({}, (flow) => void flows.push(flow))).toEqual({
      read: 2,
      isWhole: true,
      isFiltered: true,
    });
    expect(flows[0]).toMatchObject({
      state: 7,
      secondsLeft: 77,
      status: 0x1e,
      reply: { destinationPort: 20_001 },
    });
    expect(flows[1]?.original.destination).toBe(packed("fd00:96::a"));
    expect(flows[1]?.original.destinationPort).toBe(80);
    expect(flows[1]?.reply).toEqual({
      source: packed("2001:db8::8"),
      destination: packed("2001:db8::1"),
      protocol: 17,
      sourcePort: 443,
      destinationPort: 20_002,
    });
    expect(seen.open).toBe(0);
  });

  test.each<[string, Condition, number]>([
    ["a remote", { reply: { source: packed("8.8.8.8"), protocol: 17, sourcePort: 443 } }, 2],
    ["who holds a port", { reply: { destination: packed(NODE), protocol: 17, destinationPort: 20_001 } }, 1],
    ["a status", { status: { value: 0x10, mask: 0x10 } }, 1],
    ["ports without a protocol", { reply: { sourcePort: 443 } }, 3],
    ["an IPv6 remote", { reply: { source: packed("2001:db8::8"), protocol: 17, sourcePort: 53 } }, 1],
  ])("of a kernel that does not filter has only what was asked for: %s", async (_what, condition, count) => {
    const { conntrack } = everything(
      of(1),
      of(2, { status: 0x1e }),
      of(3, { remote: "9.9.9.9" }),
      of(4, { port: 80, remote: "1.1.1.1" }),
      of(5, { source: "fd00::2", remote: "2001:db8::8", port: 53, node: "2001:db8::1" }),
    );
    const { flows, isFiltered, read } = await listed(conntrack, condition);
    expect([flows.length, read]).toEqual([count, 5]);
    // Nothing was asked of the kernel where it would not know the answer.
    expect(isFiltered).toBe(condition.reply !== undefined && condition.reply.protocol === undefined);
  });

  test("of IPv6 is never asked for by address, which the kernel answers with all the rest", async () => {
    const { conntrack, seen } = everything();
    const reply = {
      source: packed("2001:db8::8"),
      destination: packed("2001:db8::1"),
      protocol: 6,
      sourcePort: 443,
    };
    await listed(conntrack, { reply });
    await listed(conntrack, { reply: { ...reply, source: packed("8.8.8.8"), destination: packed(NODE) } });
    const flags = seen.asked.map(({ attributes }) => {
      const filter = readAttributes(readAttributes(attributes).get(CTA.FILTER));
      return [...(filter.get(CTA_FILTER.REPLY_FLAGS) ?? [])];
    });
    expect(flags).toEqual([
      [0x18, 0, 0, 0],
      [0x1b, 0, 0, 0],
    ]);
    expect(seen.asked.map(({ family, flags }) => [family, flags])).toEqual([
      [10, NLM_F.REQUEST | NLM_F.DUMP],
      [2, NLM_F.REQUEST | NLM_F.DUMP],
    ]);
  });

  test("of SCTP tells no lie about a kernel that compares ports of TCP and UDP only", async () => {
    const { conntrack } = everything(of(1, { protocol: "sctp" }), of(2, { protocol: "sctp" }));
    const reply = { destination: packed(NODE), protocol: 132, destinationPort: 20_002 };
    expect(await listed(conntrack, { reply })).toMatchObject({
      isFiltered: true,
      flows: [expect.any(String)],
    });
  });

  test("ends after as many as are wanted, and the rest is not waited for", async () => {
    const { conntrack, seen } = kernel((events) => {
      for (let i = 0; i < 50; i++) events.message(entryMessage(of(i), 1));
    });
    const { flows, ...ended } = await listed(conntrack, {}, 20);
    expect(flows).toHaveLength(20);
    expect(ended).toEqual({ read: 20, isWhole: false, isFiltered: true });
    expect(seen.open).toBe(0);
  });

  test("that takes too long is what came in time", async () => {
    const { conntrack } = kernel((events) => events.message(entryMessage(of(1), 1)));
    const flows: Flow[] = [];
    expect(await conntrack.list({}, (flow) => void flows.push(flow), { timeoutMs: 20 })).toMatchObject({
      read: 1,
      isWhole: false,
    });
    expect(flows).toHaveLength(1);
  });

  test.each([
    [-1, /EPERM: .*CAP_NET_ADMIN|EPERM: this process has/],
    [-22, /^connection tracking: EINVAL: .*modprobe nf_conntrack_netlink/],
    [-95, /ENOTSUP: .*modprobe nf_conntrack_netlink/],
  ])("fails with words: %d", async (errno, words) => {
    const { conntrack, seen } = kernel((events) => events.message(ending(NLMSG.ERROR, errno)));
    await expect(listed(conntrack, {})).rejects.toThrow(words);
    expect(seen.open).toBe(0);
  });

  test("whose answers are lost is a failure, not a shorter list", async () => {
    const { conntrack } = kernel((events) => events.lost(kernelFailure(-105, "receiving")));
    await expect(listed(conntrack, {})).rejects.toThrow(/ENOBUFS/);
  });

  test("of damaged messages has nothing of them", async () => {
    const whole = entryMessage(of(1), 1);
    for (let length = 20; length < whole.length; length += 4) {
      const { conntrack } = kernel((events) => {
        const cut = whole.slice(0, length);
        new DataView(cut.buffer).setUint32(0, length, true);
        events.message(cut);
        events.message(ending(NLMSG.DONE));
      });
      const { flows } = await listed(conntrack, {
        reply: { destination: packed(NODE), destinationPort: 20_001 },
      });
      expect(flows.length).toBeLessThanOrEqual(1);
    }
  });
});

describe("one connection", () => {
  const reply = {
    source: packed("8.8.8.8"),
    destination: packed(NODE),
    protocol: 17,
    sourcePort: 443,
    destinationPort: 20_001,
  };

  test("is found by its reply", async () => {
    const { conntrack } = kernel((events) => events.message(entryMessage(of(1), 1)));
    expect((await conntrack.find(reply))?.original.sourcePort).toBe(10_001);
  });

  test("is none if the kernel knows none; anything else is a failure", async () => {
    const failing = (errno: number) =>
      kernel((events) => events.message(ending(NLMSG.ERROR, errno))).conntrack;
    expect(await failing(-2).find(reply)).toBeUndefined();
    await expect(failing(-1).find(reply)).rejects.toThrow(/EPERM/);
  });
});

test("the counters of all processors are added up", async () => {
  const { conntrack } = kernel((events) => {
    for (const cpu of [1, 10]) {
      const writer = createWriter();
      const start = openMessage(writer, { type: 0x100, flags: 2, sequence: 1, family: 0 });
      const { INVALID, INSERT_FAILED, DROP, EARLY_DROP } = CTA_STATS;
      for (const [i, type] of [INVALID, INSERT_FAILED, DROP, EARLY_DROP].entries())
        putU32(writer, type, cpu * (i + 1));
      closeMessage(writer, start);
      events.message(written(writer));
    }
    events.message(ending(NLMSG.DONE));
  });
  expect(await conntrack.counters()).toEqual({ invalid: 11, insertFailed: 22, drop: 33, earlyDrop: 44 });
});
