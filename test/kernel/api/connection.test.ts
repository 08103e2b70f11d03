/** Connections to a stand-in for the API server, over TLS: whatever it or a proxy answers is a sentence, in bounded time and memory. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, describe, expect } from "vitest";
import { type ApiServer, type Connection, connect } from "../../../src/api/connection.ts";
import { OTHER_CA, refuse, type StandIn, startApiServer } from "../../lab/api-server.ts";

const PATH = "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Da&resourceVersion=";

interface Place {
  readonly standIn: StandIn;
  readonly server: ApiServer;
  readonly connection: Connection;
}

const test = base.extend<{ place: Place }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads what a fixture needs from here
  place: async ({}, use) => {
    const standIn = await startApiServer();
    standIn.edit("a", { config: "x" });
    const server = serverOf(standIn);
    const connection = connect(server);
    await use({ standIn, server, connection });
    connection.close();
    await standIn.close();
  },
});

function serverOf({ port, credentials }: Pick<StandIn, "port" | "credentials">): ApiServer {
  return { host: "127.0.0.1", port: String(port), credentials };
}

const get = (connection: Connection, withinMs = 20_000) => connection.get({ path: PATH, withinMs });

/** The lines of a watch, until it ends; the last one is how. */
async function watched(connection: Connection, forMs = 20_000): Promise<string[]> {
  const lines: string[] = [];
  try {
    for await (const line of await connection.watch({ path: `${PATH}&watch=1`, withinMs: 20_000 }, forMs))
      lines.push(line.length > 100 ? `${line.length} characters` : line);
    return [...lines, "ended"];
  } catch (error) {
    return [...lines, (error as Error).message];
  }
}

/** Answers the next request so. */
function answering(standIn: StandIn, answer: (response: ServerResponse) => void): void {
  standIn.answer = (_request, response) => {
    answer(response);
    return true;
  };
}

describe("requests", () => {
  test("a list and a watch share a connection, and the token is read for each", async ({ place }) => {
    const { standIn, server, connection } = place;
    expect(JSON.parse(await get(connection)).items[0].data).toEqual({ config: "x" });
    writeFileSync(join(server.credentials, "token"), "rotated\n");
    await expect(get(connection)).rejects.toMatchObject({
      status: 401,
      message: "401 Unauthorized: Unauthorized",
    });
    writeFileSync(join(server.credentials, "token"), "secret");
    expect(await get(connection)).toContain("ConfigMapList");
    expect(standIn.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer secret",
      "Bearer rotated",
      "Bearer secret",
    ]);
  });

  test("a proxy in the environment is not asked", async ({ place: { server } }) => {
    const proxy = "http://127.0.0.1:1";
    const variables = { HTTPS_PROXY: proxy, https_proxy: proxy, NODE_USE_ENV_PROXY: "1" };
    Object.assign(process.env, variables);
    try {
      const connection = connect(server);
      expect(await get(connection)).toContain("ConfigMapList");
      connection.close();
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
  });

  test.each<[string, number, object, string]>([
    ["403", 403, {}, "403 Forbidden: why"],
    ["429 with a pause", 429, { "retry-after": "7" }, "429 Too Many Requests: why"],
    [
      "a pause as a date, which is not a pause",
      503,
      { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" },
      "503 Service Unavailable: why",
    ],
  ])("%s", async (_name, status, headers, message) => {
    const standIn = await startApiServer();
    answering(standIn, (response) => refuse(response, status, "why", headers));
    const connection = connect(serverOf(standIn));
    const afterMs = status === 429 ? 7_000 : 0;
    await expect(get(connection)).rejects.toMatchObject({ name: "Refused", status, message, afterMs });
    connection.close();
    await standIn.close();
  });

  test("a proxy's page with a status of its own", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) =>
      response.writeHead(502, { "content-type": "text/html" }).end("<html>\nBad gateway"),
    );
    await expect(get(connection)).rejects.toThrow("502 Bad Gateway: <html> Bad gateway");
    answering(standIn, (response) => response.writeHead(302, { location: "https://login" }).end());
    await expect(get(connection)).rejects.toThrow("302 Found: it is empty");
  });

  test("silence, and an answer that does not end, are given up", async ({
    place: { standIn, connection },
  }) => {
    answering(standIn, () => {});
    await expect(get(connection, 50)).rejects.toThrow("no answer within 0.05 s");
    answering(standIn, (response) => response.writeHead(200).write("{"));
    await expect(get(connection, 50)).rejects.toThrow("no answer within 0.05 s");
    standIn.answer = () => false;
    expect(await get(connection)).toContain("ConfigMapList");
  });

  test("more than 16 MiB", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.end("x".repeat(17 * 1024 * 1024)));
    await expect(get(connection)).rejects.toThrow(
      "an answer of more than 16 MiB: not an object of the API server",
    );
  });
});

describe("connections", () => {
  const elsewhere = async (place: Place, change: (directory: string) => void) => {
    const directory = mkdtempSync(join(tmpdir(), "credentials-"));
    change(directory);
    try {
      const connection = connect({ ...place.server, credentials: directory });
      return await get(connection).finally(() => connection.close());
    } finally {
      rmSync(directory, { recursive: true });
    }
  };

  test("a server that the CA has not signed", async ({ place }) => {
    const other = elsewhere(place, (directory) => {
      writeFileSync(join(directory, "ca.crt"), OTHER_CA);
      writeFileSync(join(directory, "token"), "secret");
    });
    await expect(other).rejects.toThrow(/certificate/);
    expect(place.standIn.seen).toEqual([]);
  });

  test("no CA, and no token", async ({ place }) => {
    await expect(elsewhere(place, () => {})).rejects.toThrow(/ENOENT.*ca\.crt/);
    const noToken = elsewhere(place, (directory) => writeFileSync(join(directory, "ca.crt"), OTHER_CA));
    await expect(noToken).rejects.toThrow(/ENOENT.*token/);
  });

  test.each<[string, (server: Server) => void, RegExp, withinMs?: number]>([
    ["nobody listens", (server) => server.close(), /ECONNREFUSED/],
    [
      "it does not speak TLS",
      (server) => server.on("connection", (socket) => socket.end("SSH-2.0-x\r\n")),
      /EPROTO|wrong version|packet length/,
    ],
    ["it accepts and is silent", () => {}, /^no answer within 0\.2 s$/, 200],
    [
      "it accepts and closes",
      (server) => server.on("connection", (socket) => socket.destroy()),
      /ECONNRESET|socket/,
    ],
  ])("%s", async (_name, behave, message, withinMs) => {
    const standIn = await startApiServer();
    const server = createServer((socket) => socket.on("error", () => {}));
    const port = await new Promise<number>((done) =>
      server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port)),
    );
    behave(server);
    const connection = connect(serverOf({ ...standIn, port }));
    await expect(get(connection, withinMs)).rejects.toThrow(message);
    connection.close();
    server.close();
    await standIn.close();
  });
});

describe("watches", () => {
  test("lines, however they are cut into pieces", async ({ place: { standIn, connection } }) => {
    const bytes = Buffer.from('{"a":"\u00e9\u{1f600}"}\n{"b":1}\n');
    answering(standIn, (response) => {
      response.flushHeaders();
      let at = 0;
      const next = () => {
        if (at === bytes.length) response.end();
        else response.write(bytes.subarray(at, ++at), () => setImmediate(next));
      };
      next();
    });
    expect(await watched(connection)).toEqual(['{"a":"\u00e9\u{1f600}"}', '{"b":1}', "ended"]);
  });

  test("half a line at the end", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.end('{"a":1}\n{"b"'));
    expect(await watched(connection)).toEqual(['{"a":1}', "the watch ended within an event"]);
  });

  test("an event of more than 16 MiB", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.write(`{}\n${"x".repeat(17 * 1024 * 1024)}`));
    expect(await watched(connection)).toEqual([
      "{}",
      "an event of more than 16 MiB: not an object of the API server",
    ]);
  });

  test("one that is dropped", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.write("{}\n", () => standIn.drop()));
    expect(await watched(connection)).toEqual(["{}", "the connection broke"]);
  });

  test("one that does not end in its time", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.write("{}\n"));
    expect(await watched(connection, 100)).toEqual(["{}", "the watch did not end in its time"]);
  });

  test("one that is closed from here", async ({ place: { standIn, connection } }) => {
    answering(standIn, (response) => response.flushHeaders());
    const lines = await connection.watch({ path: `${PATH}&watch=1`, withinMs: 20_000 }, 20_000);
    connection.close();
    await expect(lines[Symbol.asyncIterator]().next()).rejects.toThrow("the connection broke");
  });
});
