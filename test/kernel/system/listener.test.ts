import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { expect, test } from "vitest";
import { listenerUids, parseListeners } from "../../../src/system/listener.ts";

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

test("sockets that listen, with their users; connections are none", () => {
  const tcp = `${HEAD}   0: 0100007F:2827 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 27 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2827 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 28 1 0000000000000000 20 4 30 10 -1\n`;
  expect(parseListeners(tcp)).toEqual([{ address: "127.0.0.1", port: 10279, uid: 65534 }]);
  const row = (address: string) =>
    `   7: ${address}:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0\n`;
  const tcp6 = [
    "00000000000000000000000000000000",
    "00000000000000000000000001000000",
    "0000000000000000FFFF00000100007F",
  ];
  expect(parseListeners(`${HEAD}${tcp6.map(row).join("")}`).map(({ address }) => address)).toEqual([
    "::",
    "::1",
    "127.0.0.1",
  ]);
  expect(parseListeners("")).toEqual([]);
});

/** A server at a port that no other process has at another address. */
async function listenAlone(host: string): Promise<{ readonly server: Server; readonly port: number }> {
  for (;;) {
    const server = createServer().listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const all = ["tcp", "tcp6"].flatMap((file) => parseListeners(readFileSync(`/proc/net/${file}`, "utf8")));
    if (all.filter((one) => one.port === port).length === 1) return { server, port };
    server.close();
  }
}

/** Whether a connection to each address reaches a process that listens at `host`. */
async function reach(host: string): Promise<readonly boolean[]> {
  const { server, port } = await listenAlone(host);
  const found = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map((address) =>
    listenerUids("/proc", address, port),
  );
  server.close();
  for (const uids of found) expect([[], [process.geteuid?.()]]).toContainEqual(uids);
  return found.map((uids) => uids?.length === 1);
}

test("where the kernel lists nothing, nothing is known", () => {
  expect(listenerUids("/nonexistent", "127.0.0.1", 1)).toBeUndefined();
});

test.each([
  ["127.0.0.1", [true, false, true]],
  ["::1", [false, true, false]],
  ["0.0.0.0", [true, false, true]],
  ["::", [true, true, true]],
])("our own socket at %s, by the address that leads to it", async (host, expected) => {
  expect(await reach(host)).toEqual(expected);
});
