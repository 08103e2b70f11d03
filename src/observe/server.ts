/**
 * A small HTTP server for metrics, probes and status. Whoever can reach the node can reach it, so everything about a
 * connection is bounded, no body is ever read, and nothing that goes wrong here ends the agent.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { hostPort, parseHttpAddress } from "./http-address.ts";

export interface Reply {
  /** The HTTP status. */
  readonly code: number;
  readonly type: string;
  readonly body: string;
}

/** What is served under each path. */
export type Routes = Readonly<Record<string, () => Reply | Promise<Reply>>>;

export interface ServerWorld {
  readonly log: { readonly info: (text: string) => void; readonly warning: (text: string) => void };
  /** Resolves after `ms`, or as soon as the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Between attempts to listen where something else does. */
const RETRY_MS = 5_000;
/** For a client to send its request, or to take the answer. */
const PATIENCE_MS = 5_000;
const CONNECTIONS_AT_MOST = 32;
const HEADER_BYTES = 8 * 1024;

/**
 * Serves at `HOST:PORT` until the signal is aborted. An address that cannot be used is a warning, said when its cause
 * changes, and tried again; one that is no address is a warning, and the end.
 */
export async function serve(
  address: string,
  routes: Routes,
  { log, sleep }: ServerWorld,
  signal: AbortSignal,
): Promise<void> {
  const place = parseHttpAddress(address);
  if (place === undefined) {
    log.warning(`--http-address=${address} is no HOST:PORT, so nothing is served`);
    return;
  }
  let said: string | undefined;
  while (!signal.aborted) {
    const failure = await listenUntilEnd(place, routes, log, signal);
    if (failure === undefined) return;
    if (failure !== said) log.warning(`cannot serve at http://${hostPort(place)}, trying again: ${failure}`);
    said = failure;
    await sleep(RETRY_MS, signal);
  }
}

/** Resolves to undefined at the end, or to why it could not listen. */
function listenUntilEnd(
  place: { readonly host: string; readonly port: number },
  routes: Routes,
  log: ServerWorld["log"],
  signal: AbortSignal,
): Promise<string | undefined> {
  const server = boundedServer(routes);
  return new Promise((resolve) => {
    const end = () => {
      server.close();
      server.closeAllConnections();
      resolve(undefined);
    };
    signal.addEventListener("abort", end, { once: true });
    server.on("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", end);
      server.close();
      resolve(describe(error));
    });
    server.listen(place, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : place.port;
      log.info(`serving at http://${hostPort({ ...place, port })}`);
    });
    if (signal.aborted) end();
  });
}

function describe({ code, message }: NodeJS.ErrnoException): string {
  if (code === "EADDRINUSE") return "another process listens there (choose another --http-address)";
  if (code === "EADDRNOTAVAIL") return "this machine does not have that address";
  if (code === "EACCES") return "this port needs more privileges";
  return message;
}

function boundedServer(routes: Routes): Server {
  const options = {
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: PATIENCE_MS,
    requestTimeout: PATIENCE_MS,
    keepAliveTimeout: PATIENCE_MS,
    connectionsCheckingInterval: PATIENCE_MS / 5,
  };
  const server = createServer(options, (request, response) => void respond(routes, request, response));
  server.maxConnections = CONNECTIONS_AT_MOST;
  server.maxRequestsPerSocket = 100;
  server.setTimeout(2 * PATIENCE_MS, (socket) => socket.destroy());
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
  return server;
}

async function respond(routes: Routes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = "", url = "" } = request;
  // A body would have to be read before the next request: there is none on this connection.
  const hasBody =
    "transfer-encoding" in request.headers || (request.headers["content-length"] ?? "0") !== "0";
  if (hasBody) response.setHeader("connection", "close");
  const { code, type, body } = await answer(routes, method, url);
  response.writeHead(code, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(code === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(method === "HEAD" ? "" : body, () => {
    if (hasBody) request.destroy();
  });
}

/** What a request is answered, with no socket in it. */
export async function answer(routes: Routes, method: string, url: string): Promise<Reply> {
  if (method !== "GET" && method !== "HEAD") return plainReply(405, "only GET and HEAD\n");
  const path = url.split("?", 1)[0] ?? "";
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return plainReply(404, `there is ${Object.keys(routes).sort().join(", ")}\n`);
  try {
    return await route();
  } catch (error) {
    return plainReply(500, `${error instanceof Error ? error.message : error}\n`);
  }
}

/** A reply of plain text. */
export function plainReply(code: number, body: string): Reply {
  return { code, type: "text/plain; charset=utf-8", body };
}

/** A reply of JSON. */
export function jsonReply(value: unknown): Reply {
  return { code: 200, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
