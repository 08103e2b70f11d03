import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { networkInterfaces } from "node:os";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type Gate, type GateLimits, gate } from "./gate.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LIMITS: GateLimits = { connections: 2, graceMs: 60_000, lifetimeMs: 60_000, headBytes: 20_000 };

/** Only for what hangs. */
const PATIENCE = { timeout: 60_000 };

let open: Gate | undefined;
afterEach(() => open?.close());

/** A server that answers everything with `ok`, and what it was asked. */
async function start(
  limits: Partial<GateLimits>,
  reply = (response: ServerResponse): unknown => response.setHeader("connection", "close").end("ok"),
) {
  const asked: string[] = [];
  const http = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    reply(response);
  });
  open = gate(http, { ...LIMITS, ...limits });
  open.server.listen(0, "127.0.0.1");
  await once(open.server, "listening");
  return { port: (open.server.address() as AddressInfo).port, asked };
}

function client(port: number, text = "", localAddress = "127.0.0.1") {
  const socket = connect({ port, host: "127.0.0.1", localAddress }).on("error", () => {});
  let received = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    received += chunk;
  });
  socket.write(text);
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(received)));
  return { socket, closed, isOpen: () => !socket.destroyed };
}

test("one request of many, however they are cut, and then the end", async () => {
  const { port, asked } = await start({});
  expect(await client(port, GET.repeat(50)).closed).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*ok$/);
  const { socket, closed } = client(port, GET.slice(0, 20));
  await once(socket, "connect");
  // Each byte in a packet of its own, the last ones of the head too.
  socket.setNoDelay(true);
  for (const char of GET.slice(20)) await new Promise<unknown>((resolve) => socket.write(char, resolve));
  socket.write(GET);
  expect(await closed).toMatch(/ok$/);
  expect(asked).toEqual(["GET /", "GET /"]);
});

test("a body is not read, whatever comes", async () => {
  const { port, asked } = await start({});
  const head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n";
  // Unread data makes the system reset the connection, so the answer may be lost, but not the end.
  await client(port, head + "y".repeat(5_000_000)).closed;
  expect(asked).toEqual(["POST /x"]);
});

test("a head without an end is an error as soon as it is too long", async () => {
  const { port, asked } = await start({});
  expect(await client(port, `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}`).closed).toMatch(/^HTTP\/1\.1 431 /);
  expect(asked).toEqual([]);
});

test("a connection that has not asked makes room for a newcomer, oldest first", async () => {
  const { port } = await start({});
  const first = client(port);
  await once(first.socket, "connect");
  const second = client(port);
  await once(second.socket, "connect");
  expect(await client(port, GET).closed).toMatch(/ok$/);
  await first.closed;
  expect(second.isOpen()).toBe(true);
});

describe("connections that are being answered", () => {
  /** As many as the limit allows, whose answers do not come. */
  async function startBusy(graceMs: number) {
    const { port, asked } = await start({ graceMs }, () => {});
    const clients = [client(port, GET), client(port, GET)];
    await vi.waitFor(() => expect(asked).toHaveLength(2), PATIENCE);
    return { port, clients };
  }

  test("stay for a while, and the newcomer goes", async () => {
    const { port, clients } = await startBusy(60_000);
    expect(await client(port, GET).closed).toBe("");
    expect(clients.map(({ isOpen }) => isOpen())).toEqual([true, true]);
  });

  test("then make room, oldest first", async () => {
    const { port, clients } = await startBusy(0);
    const newcomer = client(port, GET);
    await clients[0]?.closed;
    expect([clients[1]?.isOpen(), newcomer.isOpen()]).toEqual([true, true]);
  });
});

const [OTHER] = Object.values(networkInterfaces()).flatMap((all = []) =>
  all.filter(({ internal, family }) => !internal && family === "IPv4"),
);

test.skipIf(OTHER === undefined)("a loopback address is not reached from another", async () => {
  const { port } = await start({});
  expect(await client(port, GET, OTHER?.address).closed).toBe("");
  expect(await client(port, GET).closed).toMatch(/ok$/);
});

test("a connection ends after its time, also one that keeps sending", async () => {
  const { port } = await start({ lifetimeMs: 100 });
  const { socket, closed } = client(port, "GET / HTTP/1.1\r\nX: ");
  const timer = setInterval(() => socket.write("x"), 5);
  await closed;
  clearInterval(timer);
});

test("closing ends what is open", async () => {
  const { port } = await start({});
  const { socket, closed } = client(port);
  await once(socket, "connect");
  await vi.waitFor(async () => {
    const count = await new Promise((resolve) => open?.server.getConnections((_error, n) => resolve(n)));
    expect(count).toBe(1);
  }, PATIENCE);
  open?.close();
  await closed;
});
