/**
 * Sends random and half-right netlink messages through the addon, and closes sockets at random moments, in a network namespace of
 * its own. Whatever comes back is read as transport.ts reads it. The test beside it runs this with the C code under sanitizers.
 *
 * usage: COUNT SEED
 */

import { parseMessages, readAttributes } from "../../src/netlink/attributes.ts";
import { commitFilter } from "../../src/netlink/event-filter.ts";
import { createCommitReader } from "../../src/netlink/events.ts";
import { loadEvents, loadNetlink, type NetlinkSocket } from "../../src/netlink/socket/addon.ts";
import { openNftables } from "../../src/netlink/socket/transport.ts";

/** Mulberry32: the same seed, the same run, but for what the kernel does. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const [count = 20_000, seed = 1] = process.argv.slice(2).map(Number);
const random = generator(seed);
const counts = { sent: 0, refused: 0, heard: 0, lost: 0, commits: 0, closed: 0 };

/** A header that says what the kernel understands, before anything at all. */
function message(): Uint8Array {
  const length = 20 + random(4) * random(60);
  const bytes = new Uint8Array(length).map(() => random(256));
  if (random(10) === 0) return bytes.subarray(0, random(length + 1));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, random(20) === 0 ? random(2 ** 32) : length, true);
  // NFT_MSG_* of nf_tables; a few are nfnetlink's own batches.
  view.setUint16(4, random(12) === 0 ? 0x10 + random(2) : 0x0a00 + random(30), true);
  view.setUint16(6, 1 + ([0, 4, 0x300, 0x304][random(4)] ?? 0), true);
  view.setUint8(16, [0, 1, 2, 7, 10][random(5)] ?? 0);
  view.setUint8(17, 0);
  view.setUint16(18, 10);
  if (length >= 28) {
    view.setUint16(20, 4 + random(length - 20), true);
    view.setUint16(22, random(12), true);
  }
  return bytes;
}

function read(bytes: Uint8Array): void {
  counts.heard++;
  for (const { payload } of parseMessages(bytes))
    if (payload.length >= 4) readAttributes(payload.subarray(4));
}

function open(bufferBytes: number): NetlinkSocket {
  const socket = loadNetlink(bufferBytes)({
    message: (bytes) => {
      read(bytes);
      // In the middle of its messages.
      if (random(50) === 0) close(socket);
    },
    lost: () => counts.lost++,
  });
  return socket;
}

function close(socket: NetlinkSocket): void {
  counts.closed++;
  socket.close();
  if (random(3) === 0) socket.close();
}

async function main(): Promise<void> {
  const reader = createCommitReader();
  const listen = () =>
    loadEvents()(commitFilter({ family: "inet", table: "t" }), [7], {
      message: (bytes) => {
        if (reader(bytes) !== undefined) counts.commits++;
      },
      lost: () => counts.lost++,
    });
  let listening = listen();
  const table = { family: "inet", table: "t" } as const;
  const nftables = await openNftables();
  const sockets = [open(1), open(4 * 1024 * 1024)];
  for (let i = 0; i < count; i++) {
    const at = random(sockets.length);
    const socket = sockets[at] as NetlinkSocket;
    if (socket.send(message()) === 0) counts.sent++;
    else {
      counts.refused++;
      // Closed in its callback, or here.
      if (random(4) === 0) {
        close(socket);
        sockets[at] = open(2 ** random(23));
      }
    }
    socket.hold(random(2) === 0);
    if (random(50) === 0) await new Promise((resolve) => setImmediate(resolve));
    if (random(100) === 0)
      await nftables
        .batch([{ op: random(2) === 0 ? "add table" : "delete table", ...table }])
        .catch(() => {});
    if (random(1_000) === 0) {
      listening.close();
      listening = listen();
    }
  }
  for (const socket of sockets) close(socket);
  nftables.close();
  listening.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  console.log(JSON.stringify(counts));
}

void main();
