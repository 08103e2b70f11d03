/**
 * A stand-in for the API server: lists and watches of ConfigMaps, Leases and Events that are written, over TLS, with versions, tokens and 504 as the real one has them.
 * Whatever else a server or a proxy may answer, a test says itself.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** For 127.0.0.1 and ::1, and its own CA; it protects nothing. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBnzCCAUagAwIBAgIUXH87uu4shwAtgf3kGRRTvM3pEHIwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIc3RhbmQtaW4wIBcNMjYxMTI2MjA0MjQwWhgPMjEyNjExMDIy
MDQyNDBaMBMxETAPBgNVBAMMCHN0YW5kLWluMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE73eoyI/MhtzJWzqKVTBl9ZzFpqnkoH11DDIgvVBFMhqzyrlNUzygiQfN
ZE+/MBs03risc+eeQ0xB5F9Al0XtfKN2MHQwHQYDVR0OBBYEFKJkG0Sdk87avaeh
D7tb788sCuQJMB8GA1UdIwQYMBaAFKJkG0Sdk87avaehD7tb788sCuQJMA8GA1Ud
EwEB/wQFMAMBAf8wIQYDVR0RBBowGIcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAATAK
BggqhkjOPQQDAgNHADBEAiAeTh6ilIlLIPL0H1tRLcZcChq5FBS++IOooysfxv6p
5gIgYwoyXGvQZ3GJiE8HyFCPFeggTq8kxKl32W/I7aal9ug=
-----END CERTIFICATE-----`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7pN70flYpuYpwLz8
RwTSfhxANd5CqXX85t9Nzs6uGsShRANCAATvd6jIj8yG3MlbOopVMGX1nMWmqeSg
fXUMMiC9UEUyGrPKuU1TPKCJB81kT78wGzTeuKxz555DTEHkX0CXRe18
-----END PRIVATE KEY-----`;
/** One that has not signed the server's. */
export const OTHER_CA = `-----BEGIN CERTIFICATE-----
MIIBoDCCAUagAwIBAgIUVg8+XPqTivblb0w9/aAD3IMkgQUwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIc3RhbmQtaW4wIBcNMjYxMTI2MjA0MjQwWhgPMjEyNjExMDIy
MDQyNDBaMBMxETAPBgNVBAMMCHN0YW5kLWluMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEmiEnUnqlUlIBe0ppEhaUsHJVyn0eYjYtW4/vvHbgh9tG4EdpGhrDexeF
7hFheYdh6LixzQfENiiB83W8+l+ZW6N2MHQwHQYDVR0OBBYEFEguqCvXhuR3nbT5
jzHTDDGJ3gbrMB8GA1UdIwQYMBaAFEguqCvXhuR3nbT5jzHTDDGJ3gbrMA8GA1Ud
EwEB/wQFMAMBAf8wIQYDVR0RBBowGIcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAATAK
BggqhkjOPQQDAgNIADBFAiAZON8pLpPpcLKINI4Der4WZ4KLJFlfg18W4lUAz9Cc
iwIhAP9pDl+CB9quHYMigcLSoAHF+vazKdeAG3ga9Gm8BRK4
-----END CERTIFICATE-----`;

/** A ConfigMap's data. */
type Data = Readonly<Record<string, string>>;

/** A request as the server sees it: `LIST` or `WATCH`, and its resourceVersion; or a write with its body. */
export interface SeenRequest {
  readonly kind: "LIST" | "WATCH" | "PATCH" | "POST";
  readonly version: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

export interface StandIn {
  readonly port: number;
  /** As a pod has it: `token`, `ca.crt`, `namespace`. */
  readonly credentials: string;
  readonly seen: readonly SeenRequest[];
  /** Writes a ConfigMap of the namespace kube-system, or deletes it; tells the watches of it. */
  readonly edit: (name: string, data: Data | undefined, more?: object) => void;
  /** Goes back to an older version of the whole state, as a restored backup does; no watch hears of it. */
  readonly restore: (version: number, name: string, data: Data) => void;
  /** The Leases and Events of kube-system that were written, by name; a test may take one out, as time does. */
  readonly written: Map<string, Written>;
  /** Called with each of them. */
  wrote: (object: Written) => void;
  /** Answers by itself, if it returns true. */
  answer: (request: SeenRequest, response: ServerResponse) => boolean;
  /** Ends all watches as by their time; `drop` ends all connections. */
  readonly endWatches: () => void;
  readonly drop: () => void;
  readonly watches: () => number;
  readonly close: () => Promise<void>;
}

/** An object as a client wrote it. */
export interface Written {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

interface Stored {
  readonly data: Data;
  readonly version: number;
  readonly more: object;
}

/** Starts it on the loopback, without a ConfigMap, at a version of its state. */
export async function startApiServer(port = 0, begin = 1_000): Promise<StandIn> {
  const credentials = mkdtempSync(join(tmpdir(), "service-account-"));
  for (const [name, text] of [
    ["token", "secret"],
    ["ca.crt", CERTIFICATE],
    ["namespace", "kube-system"],
  ] as const)
    writeFileSync(join(credentials, name), `${text}\n`);
  const stored = new Map<string, Stored>();
  const watches = new Map<ServerResponse, string>();
  const sockets = new Set<Socket>();
  const seen: SeenRequest[] = [];
  const written = new Map<string, Written>();
  let version = begin;

  const objectOf = (name: string, { data, version: own, more }: Stored) => ({
    kind: "ConfigMap",
    apiVersion: "v1",
    metadata: { name, namespace: "kube-system", uid: "u", resourceVersion: String(own) },
    data,
    ...more,
  });
  const event = (type: string, name: string, one: Stored) =>
    `${JSON.stringify({ type, object: objectOf(name, one) })}\n`;

  const list = (name: string, request: SeenRequest, response: ServerResponse) => {
    if (Number(request.version) > version)
      return refuse(response, 504, `Too large resource version: ${request.version}, current: ${version}`);
    const found = stored.get(name);
    const items = found === undefined ? [] : [objectOf(name, found)];
    const metadata = { resourceVersion: String(version) };
    response.end(JSON.stringify({ kind: "ConfigMapList", apiVersion: "v1", metadata, items }));
  };
  const watch = (name: string, request: SeenRequest, response: ServerResponse) => {
    response.flushHeaders();
    watches.set(response, name);
    response.on("close", () => watches.delete(response));
    const found = stored.get(name);
    // From the future: silence.
    if (Number(request.version) <= version && found !== undefined && found.version > Number(request.version))
      response.write(event("MODIFIED", name, found));
  };

  /** Server-side apply of a Lease, and an Event, which is made once. */
  const write = ({ kind, path, query, body, headers }: SeenRequest, response: ServerResponse) => {
    const object = JSON.parse(body) as Written;
    const { name } = object.metadata;
    const [, ofLease] =
      /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/kube-system\/leases\/(.+)$/.exec(path) ?? [];
    const isApply =
      headers["content-type"] === "application/apply-patch+yaml" && query.get("fieldManager") !== null;
    const isLease = kind === "PATCH" && ofLease === name && isApply && object.kind === "Lease";
    const isEvent =
      kind === "POST" && path === "/api/v1/namespaces/kube-system/events" && object.kind === "Event";
    if (!isLease && !isEvent) return refuse(response, 403, "forbidden");
    if (isEvent && written.has(name)) return refuse(response, 409, `events "${name}" already exists`);
    response.writeHead(written.has(name) ? 200 : 201);
    written.set(name, object);
    standIn.wrote(object);
    response.end(JSON.stringify(object));
  };

  const standIn: Omit<StandIn, "port"> = {
    credentials,
    seen,
    written,
    wrote: () => {},
    edit(name, data, more = {}) {
      version++;
      const before = stored.get(name);
      const next = { data: data ?? before?.data ?? {}, version, more };
      if (data === undefined) stored.delete(name);
      else stored.set(name, next);
      const type = data === undefined ? "DELETED" : before === undefined ? "ADDED" : "MODIFIED";
      for (const [response, of] of watches) if (of === name) response.write(event(type, name, next));
    },
    restore(older, name, data) {
      version = older;
      stored.set(name, { data, version: older, more: {} });
    },
    answer: () => false,
    endWatches() {
      for (const response of watches.keys()) response.end();
    },
    drop() {
      for (const socket of sockets) socket.destroy();
    },
    watches: () => watches.size,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
      rmSync(credentials, { recursive: true, force: true });
    },
  };
  const server = createServer({ key: KEY, cert: CERTIFICATE }, async (incoming, response) => {
    const { pathname: path, searchParams: query } = new URL(incoming.url ?? "", "https://stand-in");
    const name = /^metadata\.name=(.+)$/.exec(query.get("fieldSelector") ?? "")?.[1] ?? "";
    const { method, headers } = incoming;
    const reads = query.get("watch") === "1" ? "WATCH" : "LIST";
    const kind = method === "PATCH" || method === "POST" ? method : reads;
    const body = kind === reads ? "" : await text(incoming);
    const request: SeenRequest = {
      kind,
      version: query.get("resourceVersion") ?? "",
      path,
      query,
      body,
      headers,
    };
    seen.push(request);
    if (standIn.answer(request, response)) return;
    response.setHeader("content-type", "application/json");
    if (headers.authorization !== "Bearer secret") refuse(response, 401, "Unauthorized");
    else if (kind !== reads) write(request, response);
    else if (path !== "/api/v1/namespaces/kube-system/configmaps" || name === "")
      refuse(response, 403, "forbidden");
    else if (kind === "WATCH") watch(name, request, response);
    else list(name, request, response);
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  return Object.assign(standIn, { port: (server.address() as AddressInfo).port });
}

/** A Status, as the API server refuses. */
export function refuse(response: ServerResponse, code: number, message: string, headers: object = {}): void {
  response.writeHead(code, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", message, code }));
}
