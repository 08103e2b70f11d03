import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { jsonReply, plainReply, type Routes } from "./reply.ts";
import { answer, serve } from "./server.ts";

const ROUTES: Routes = {
  "/status": () => jsonReply({ a: 1 }),
  "/healthz": async () => plainReply(503, "not yet\n"),
  "/broken": () => {
    throw new Error("no metrics");
  },
};

describe("answers, without a socket", () => {
  test.each([
    ["GET", "/status"],
    ["HEAD", "/status?x=1"],
    ["GET", "/healthz"],
    ["GET", "/broken"],
    ["GET", "/"],
    ["GET", "/toString"],
    ["POST", "/status"],
    ["", ""],
  ])("%s %s", async (method, url) => {
    expect(await answer(ROUTES, method, url)).toMatchSnapshot();
  });
});

/** Only for what hangs. */
const PATIENCE = { timeout: 60_000 };

let controller: AbortController;
let lines: string[];
beforeEach(() => {
  controller = new AbortController();
  lines = [];
});
afterEach(() => controller.abort());

/** A server on a port of the system's choice, or of ours; resolves once it has said something. */
async function start(address = "127.0.0.1:0", routes = ROUTES) {
  const said = (severity: string) => (text: string) => {
    lines.push(`${severity} ${text}`);
  };
  const world = {
    log: { info: said("I"), warning: said("W") },
    sleep: () => new Promise<void>((resolve) => setTimeout(resolve, 5)),
  };
  const before = lines.length;
  const ended = serve(address, routes, world, controller.signal);
  await vi.waitFor(() => expect(lines.length).toBeGreaterThan(before), PATIENCE);
  return { ended, port: Number(/:(\d+)$/.exec(lines.at(-1) ?? "")?.[1]) };
}

/** Errors are not what a test is about. */
function open(port: number) {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  return { socket, closed };
}

/** Everything that comes back for `text`, up to the end of the connection. */
async function send(port: number, text: string): Promise<string> {
  const { socket, closed } = open(port);
  let received = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    received += chunk;
  });
  socket.write(text);
  await closed;
  return received;
}

test("what is served, and the end", async () => {
  const { port, ended } = await start();
  const response = await fetch(`http://127.0.0.1:${port}/status`);
  expect(await response.json()).toEqual({ a: 1 });
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect((await fetch(`http://127.0.0.1:${port}/x`)).status).toBe(404);
  const head = await fetch(`http://127.0.0.1:${port}/status`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "8", ""]);
  controller.abort();
  await ended;
  await expect(fetch(`http://127.0.0.1:${port}/status`)).rejects.toThrow();
  expect(lines).toEqual([`I serving at http://127.0.0.1:${port}`]);
});

test("a body is not read, and ends the connection", async () => {
  const { port } = await start();
  const post = await send(
    port,
    "POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nabc",
  );
  expect(post).toMatch(/^HTTP\/1.1 405 Method Not Allowed\r\n/);
  expect(post).toMatch(/\r\nallow: GET, HEAD\r\n/);
  const get = await send(
    port,
    "GET /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
  );
  expect(get).toMatch(/^HTTP\/1.1 200 OK\r\n(?:.*\r\n)*connection: close\r\n/i);
});

test("garbage, and headers without end, are cut off", async () => {
  const { port } = await start();
  expect(await send(port, "\u0000\u0001\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
  expect(await send(port, `GET /status HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)).toMatch(
    /^HTTP\/1.1 4\d\d /,
  );
  expect((await fetch(`http://127.0.0.1:${port}/status`)).status).toBe(200);
});

test("more connections than a few are closed", async () => {
  const { port } = await start();
  const sockets = Array.from({ length: 136 }, () => open(port));
  let closed = 0;
  for (const one of sockets) void one.closed.then(() => closed++);
  await vi.waitFor(() => expect(closed).toBeGreaterThanOrEqual(8), PATIENCE);
  expect(closed).toBe(8);
  for (const { socket } of sockets) socket.destroy();
});

test("a port that is taken is a warning, once, and tried again until it is free", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  const { ended } = await start(`127.0.0.1:${port}`);
  const closed = once(other, "close");
  other.close();
  await closed;
  await vi.waitFor(() => expect(lines).toHaveLength(2), PATIENCE);
  expect(lines).toEqual([
    `W cannot serve at http://127.0.0.1:${port}, trying again: another process listens there (choose another --http-address)`,
    `I serving at http://127.0.0.1:${port}`,
  ]);
  controller.abort();
  await ended;
});

test("an address that this machine does not have, and one that is none", async () => {
  await start("192.0.2.1:80");
  expect(lines[0]).toMatch(
    /^W cannot serve at http:\/\/192.0.2.1:80, trying again: this machine does not have/,
  );
  const { ended } = await start("localhost");
  await ended;
  expect(lines[1]).toBe("W --http-address=localhost is not a HOST:PORT, so nothing is served");
});

test("a route that waits, and a client that does, do not outlive the end", async () => {
  const { port, ended } = await start("127.0.0.1:0", { "/slow": () => new Promise(() => {}) });
  const asked = send(port, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const { socket, closed } = open(port);
  await once(socket, "connect");
  controller.abort();
  await ended;
  expect(await asked).toBe("");
  await closed;
});

test("on a loopback address, a request for another name is misdirected, whatever it asks for", async () => {
  const { port } = await start();
  const ask = (host: string) => send(port, `GET /status HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  expect(await ask("rebound.example")).toMatch(/^HTTP\/1\.1 421 (?![\s\S]*"a":1)/);
  expect(await ask(`127.0.0.1:${port}`)).toMatch(/^HTTP\/1\.1 200 /);
});

test("elsewhere any name is good", async () => {
  const { port } = await start("0.0.0.0:0");
  expect(await send(port, "GET /status HTTP/1.1\r\nHost: node-1.example\r\n\r\n")).toMatch(
    /^HTTP\/1\.1 200 /,
  );
});
