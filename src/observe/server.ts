/**
 * A small HTTP server for metrics, probes and status. Anyone who can reach the node can reach it, so everything about a
 * connection is bounded, it never reads a body, and no failure here ends the agent.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { printable } from "../text/printable.ts";
import { type HttpAddress, hostPort, isLoopback, isOwnName, parseHttpAddress } from "./address.ts";
import { type Gate, type GateLimits, gate } from "./gate.ts";
import { plainReply, type Reply, type Routes } from "./reply.ts";
import { shareReplies } from "./share-replies.ts";

export interface ServerWorld {
  readonly log: { readonly info: (text: string) => void; readonly warning: (text: string) => void };
  /** Resolves after `ms`, or as soon as the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The time between attempts to listen where another process does. */
const RETRY_MS = 5_000;
const HEADER_BYTES = 8 * 1024;
const LIMITS: GateLimits = {
  connections: 128,
  graceMs: 250,
  lifetimeMs: 10_000,
  headBytes: 2 * HEADER_BYTES,
};
/** The kernel accepts all that wait in one go, while the loop waits; Node's own number is 511. */
const BACKLOG = 256;
/** A browser keeps to our content type, runs nothing, loads nothing, and embeds it in no other page. */
const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/**
 * Serves at `HOST:PORT` until the signal is aborted. An address that cannot be used is a warning, repeated when its
 * cause changes, and tried again; an invalid address is a warning, and the end.
 */
export async function serve(
  address: string,
  routes: Routes,
  { log, sleep }: ServerWorld,
  signal: AbortSignal,
): Promise<void> {
  const place = parseHttpAddress(address);
  if (place === undefined) {
    log.warning(`--http-address=${address} is not a HOST:PORT, so nothing is served`);
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

/** Resolves to undefined at the end, or to the reason why it could not listen. */
function listenUntilEnd(
  place: HttpAddress,
  routes: Routes,
  log: ServerWorld["log"],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { server, close } = boundedServer(shareReplies(routes), isLoopback(place.host));
  return new Promise((resolve) => {
    const end = () => {
      close();
      resolve(undefined);
    };
    signal.addEventListener("abort", end, { once: true });
    server.on("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", end);
      close();
      resolve(describe(error));
    });
    // Without a host Node takes every IPv6 address, or every IPv4 address where there is no IPv6.
    const host = place.host === "::" ? {} : { host: place.host };
    server.listen({ ...host, port: place.port, backlog: BACKLOG }, () => {
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

function boundedServer(routes: Routes, isLocalOnly: boolean): Gate {
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const { host } = request.headers;
    const isMisdirected = isLocalOnly && host !== undefined && !isOwnName(host);
    void respond(request, response, isMisdirected ? MISDIRECTED : answerTo(routes, request));
  };
  const http = createServer({ maxHeaderSize: HEADER_BYTES }, listener);
  // Otherwise Node invites the client to send its body.
  http.on("checkContinue", listener);
  http.on("clientError", (_error, stream) => {
    if (stream.writable) stream.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else stream.destroy();
  });
  return gate(http, LIMITS);
}

/** RFC 9110, 15.5.20. Only a server on a loopback address checks the header: elsewhere, names of the machine are good. */
const MISDIRECTED = plainReply(421, "name this machine by an address, or as localhost\n");

function answerTo(routes: Routes, { method = "", url = "" }: IncomingMessage): Promise<Reply> {
  return answer(routes, method, url);
}

async function respond(
  { method }: IncomingMessage,
  response: ServerResponse,
  reply: Reply | Promise<Reply>,
): Promise<void> {
  const { code, type, body: text } = await reply;
  // With curl this ends up on a terminal, names of other users' processes included.
  const body = printable(text);
  response.writeHead(code, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    connection: "close",
    ...SECURITY_HEADERS,
    ...(code === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(method === "HEAD" ? "" : body);
}

/** The reply to a request, without a socket. */
export async function answer(routes: Routes, method: string, url: string): Promise<Reply> {
  if (method !== "GET" && method !== "HEAD") return plainReply(405, "only GET and HEAD\n");
  const path = url.split("?", 1)[0] ?? "";
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined)
    return plainReply(404, `not found; the paths are ${Object.keys(routes).sort().join(", ")}\n`);
  try {
    return await route();
  } catch (error) {
    return plainReply(500, `${error instanceof Error ? error.message : error}\n`);
  }
}
