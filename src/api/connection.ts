/**
 * Requests to the API server over HTTP/1.1 and TLS, one connection for a session. Straight to the address that the kubelet gives:
 * HTTPS_PROXY is meant for the way out of the cluster. The CA and the token are read for each request, since both are rotated.
 */

import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request as createRequest } from "node:https";
import { messageOfStatus } from "../core/configmap/object.ts";
import { Refused } from "./refused.ts";

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

/** An object to write; `type` is the body's. */
export interface ApiWrite extends ApiRequest {
  readonly method: "PATCH" | "POST";
  readonly type: string;
  readonly body: string;
}

/** A connection for reading; its requests come one after the other. */
export interface ReadConnection {
  /** The body of the answer. Throws `Refused`, or the error of the connection. */
  readonly get: (request: ApiRequest) => Promise<string>;
  /** The lines of a watch, once it has begun; throws as `get` does, also later. It takes `forMs` at most. */
  readonly watch: (request: ApiRequest, forMs: number) => Promise<AsyncIterable<string>>;
  /** Ends it, with what is under way. */
  readonly close: () => void;
}

/** A connection that can write, too. */
export interface Connection extends ReadConnection {
  /** Writes an object; as `get`. */
  readonly send: (request: ApiWrite) => Promise<string>;
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
    send: (request) => ask(server, agent, request, readBody),
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
  asked: ApiRequest | ApiWrite,
  use: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  const { host, port, credentials } = server;
  const { path, withinMs } = asked;
  const { method, type, body } = { method: "GET", type: undefined, body: undefined, ...asked };
  const token = readFileSync(`${credentials}/token`, "utf8").trim();
  const headers = {
    accept: "application/json",
    authorization: `Bearer ${token}`,
    "user-agent": "ip-masq-agent",
    ...(type && { "content-type": type }),
  };
  const request = createRequest({ host, port, method, path, agent, headers });
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
      request.end(body);
    });
    if (response.statusCode !== 200 && response.statusCode !== 201)
      throw refusal(response, await readBody(response));
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
    throw new Error(
      `an ${what} of more than ${ANSWER_CHARACTERS / 1024 / 1024} MiB: not an object of the API server`,
    );
}
