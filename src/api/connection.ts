/**
 * Requests to the API server over HTTP/1.1 and TLS, one connection for a session. Straight to the address that the kubelet gives:
 * HTTPS_PROXY is meant for the way out of the cluster. The CA and the token are read for each request, since both are rotated.
 */

import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request as createRequest } from "node:https";
import { messageOfStatus } from "../core/configmap/object.ts";

/** An API server, and the directory with the service account's `token` and `ca.crt`. */
export interface ApiServer {
  readonly host: string;
  readonly port: string;
  readonly credentials: string;
}

/** A GET of a path with its query. */
export interface ApiRequest {
  readonly path: string;
  /** The milliseconds until the answer is complete, or until a watch begins. */
  readonly withinMs: number;
}

/** A connection; its requests come one after the other. */
export interface Connection {
  /** The body of the answer. Throws `Refused`, or the error of the connection. */
  readonly get: (request: ApiRequest) => Promise<string>;
  /** The lines of a watch, once it has begun; throws as `get` does, also later. It takes `forMs` at most. */
  readonly watch: (request: ApiRequest, forMs: number) => Promise<AsyncIterable<string>>;
  /** Ends it, with what is under way. */
  readonly close: () => void;
}

/** The server has answered, but not with what was asked for. */
export class Refused extends Error {
  readonly status: number;
  /** The pause that the server asks for; 0: none. */
  readonly afterMs: number;

  constructor(status: number, message: string, afterMs = 0) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.afterMs = afterMs;
  }
}

/** After so long a silence the kernel asks whether the other side is still there; after ten questions, one a second, it gives up. */
const KEEPALIVE_MS = 30_000;

/** A ConfigMap holds 1 MiB; escapes in JSON, managed fields and annotations come on top of that. */
const ANSWER_CHARACTERS = 16 * 1024 * 1024;

/** A connection that opens with its first request. Throws the system's error where it cannot read the CA. */
export function connect(server: ApiServer): Connection {
  const ca = readFileSync(`${server.credentials}/ca.crt`);
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: KEEPALIVE_MS, maxSockets: 1, ca });
  return {
    get: (request) => ask(server, agent, request, readBody),
    watch: (request, forMs) =>
      ask(server, agent, request, async (response) => {
        const guard = setTimeout(
          () => response.destroy(new Error("the watch did not end in its time")),
          forMs,
        );
        return linesOf(response, () => clearTimeout(guard));
      }),
    close: () => agent.destroy(),
  };
}

async function ask<T>(
  server: ApiServer,
  agent: Agent,
  { path, withinMs }: ApiRequest,
  use: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  const { host, port, credentials } = server;
  const token = readFileSync(`${credentials}/token`, "utf8").trim();
  const headers = {
    accept: "application/json",
    authorization: `Bearer ${token}`,
    "user-agent": "ip-masq-agent",
  };
  const request = createRequest({ host, port, path, agent, headers });
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    request.destroy();
  }, withinMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on("socket", (socket) => socket.setKeepAlive(true, KEEPALIVE_MS));
      request.on("response", resolve);
      request.on("error", reject);
      request.end();
    });
    if (response.statusCode !== 200) throw refusal(response, await readBody(response));
    return await use(response);
  } catch (error) {
    throw isLate ? new Error(`no answer within ${withinMs / 1000} s`, { cause: error }) : error;
  } finally {
    clearTimeout(deadline);
  }
}

function refusal({ statusCode = 0, statusMessage, headers }: IncomingMessage, body: string): Refused {
  const seconds = Number(headers["retry-after"]);
  const afterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 0;
  return new Refused(statusCode, `${statusCode} ${statusMessage}: ${messageOfStatus(body)}`, afterMs);
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: string[] = [];
  let length = 0;
  for await (const chunk of textOf(response)) {
    length += chunk.length;
    checkLength(length, "answer");
    chunks.push(chunk);
  }
  return chunks.join("");
}

async function* linesOf(response: IncomingMessage, over: () => void): AsyncGenerator<string> {
  let begun: string[] = [];
  let length = 0;
  try {
    for await (const chunk of textOf(response)) {
      const [first = "", ...others] = chunk.split("\n");
      begun.push(first);
      length += first.length;
      for (const next of others) {
        yield begun.join("");
        begun = [next];
        length = next.length;
      }
      checkLength(length, "event");
    }
  } catch (error) {
    // Node's own word is "aborted".
    throw (error as NodeJS.ErrnoException).code === "ECONNRESET"
      ? new Error("the connection broke", { cause: error })
      : error;
  } finally {
    over();
  }
  if (length > 0) throw new Error("the watch ended within an event");
}

/** Also puts characters together that two chunks share. */
function textOf(response: IncomingMessage): AsyncIterable<string> {
  response.setEncoding("utf8");
  return response as AsyncIterable<string>;
}

function checkLength(length: number, what: string): void {
  if (length > ANSWER_CHARACTERS)
    throw new Error(`an ${what} of more than ${ANSWER_CHARACTERS / 1024 / 1024} MiB: not a ConfigMap`);
}
