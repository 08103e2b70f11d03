/** Changes of configurations under a stream of flows, on any backend. */
import { expect } from "vitest";
import { type PacketSettings, ROWS } from "../packets.ts";
import { certainFlows } from "../packets-settings.ts";
import type { Lab } from "./lab.ts";
import { openPackets, type StreamResult } from "./packets-lab.ts";

/** How many changes and flows there are at least. */
interface AtLeast {
  readonly changes: number;
  readonly flows: number;
}

const {
  PACKETS_CONFIGS = "8",
  PACKETS_SEED = String(Date.now() % 2 ** 31),
  PACKETS_FLOWS = "1000",
  PACKETS_CHANGES = "6",
} = process.env;

/** How long the tests of each backend are, and the seed of what is random. */
export const PACKETS: { readonly configs: number; readonly seed: number; readonly atLeast: AtLeast } = {
  configs: Number(PACKETS_CONFIGS),
  seed: Number(PACKETS_SEED),
  atLeast: { flows: Number(PACKETS_FLOWS), changes: Number(PACKETS_CHANGES) },
};

/** Changes between configurations under a stream of the flows that all of them treat alike. */
export async function changeUnderTraffic(
  lab: Lab,
  all: readonly PacketSettings[],
  put: (settings: PacketSettings) => Promise<unknown>,
  atLeast: AtLeast,
  flows = certainFlows(all, ROWS),
): Promise<StreamResult & { readonly changes: number }> {
  const packets = await openPackets(lab);
  // Without both kinds the stream would prove half of it.
  expect(new Set(flows.map(({ row, addresses }) => addresses.includes(row.packet.source))).size).toBe(2);
  await put(all[0] ?? {});
  const total = { sent: 0, received: 0, wrong: 0, samples: [] as string[], changes: 0 };
  while (total.changes < atLeast.changes || total.received < atLeast.flows) {
    const stop = await packets.stream(flows);
    for (let i = 0; i < 4 * all.length; i++) {
      total.changes++;
      await put(all[total.changes % all.length] ?? {});
    }
    const { sent, received, wrong, samples } = await stop();
    total.sent += sent;
    total.received += received;
    total.wrong += wrong;
    total.samples.push(...samples);
  }
  return total;
}

/** Says what came of it, and that no flow was wrong. */
export function expectNoneWrong(what: string, total: Awaited<ReturnType<typeof changeUnderTraffic>>): void {
  const { changes, sent, received, wrong, samples } = total;
  console.log(`${what}: ${changes} changes, ${received} of ${sent} flows arrived, ${wrong} wrong`);
  expect(samples).toEqual([]);
  expect(received).toBeGreaterThan(sent * 0.9);
}
