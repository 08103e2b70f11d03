/** Asks a running agent for its status. */
import { get } from "node:http";
import { type HttpAddress, hostPort, parseHttpAddress, reachable } from "../observe/address.ts";
import type { Status } from "../observe/status.ts";
import { parseStatus } from "../observe/status-shape.ts";
import { type Clock, systemClock } from "../system/clock.ts";
import { whyNotBelieved } from "../system/listener.ts";
import { agentFlags } from "./options.ts";

/** The time that the agent has to answer; it only reads counters for it. */
const PATIENCE_MS = 5_000;
const BODY_BYTES = 1024 * 1024;

/** The agent's status, or why it is not known. */
export type StatusAnswer =
  | { readonly ok: true; readonly status: Status }
  | { readonly ok: false; readonly why: string };

/** Requests the status of the agent at an address; `patienceMs` bounds the wait. Rejects only when `signal` is aborted. */
export async function askStatus(
  address: HttpAddress,
  signal: AbortSignal,
  clock: Clock = systemClock,
  patienceMs = PATIENCE_MS,
): Promise<StatusAnswer> {
  const url = `http://${hostPort(reachable(address))}/status`;
  const answer = await ask(url, signal, clock, patienceMs);
  const status = answer.ok ? parseStatus(answer.body) : undefined;
  if (status !== undefined) return { ok: true, status };
  const why = answer.ok ? "the answer is not from an ip-masq-agent: is --http-address right?" : answer.why;
  return { ok: false, why: `${url}: ${why}` };
}

/** The address, or the fault of the flag: a URL cannot have every address that a server can listen at. */
export function askable(text: string): HttpAddress | string {
  if (text === "") return "--http-address is empty, so nothing is served";
  const address = parseHttpAddress(text);
  if (address === undefined)
    return `--http-address=${text} is not a HOST:PORT, such as ${agentFlags["http-address"].initial}`;
  if (address.port === 0)
    return "--http-address has port 0, and only its log says which one the system chose";
  if (address.host.includes("%")) return `--http-address has a zone (${address.host}), which no URL can have`;
  return address;
}

type HttpAnswer = { readonly ok: true; readonly body: string } | { readonly ok: false; readonly why: string };

/** One GET, bounded in time and size. */
async function ask(url: string, signal: AbortSignal, clock: Clock, patienceMs: number): Promise<HttpAnswer> {
  const answered = new AbortController();
  const deadline = new AbortController();
  void clock.sleep(patienceMs, answered.signal).then(() => deadline.abort());
  try {
    return await fetchBody(url, { signal, deadline: deadline.signal, patienceMs });
  } finally {
    answered.abort();
  }
}

interface Bounds {
  readonly signal: AbortSignal;
  readonly deadline: AbortSignal;
  /** For people. */
  readonly patienceMs: number;
}

function fetchBody(url: string, { signal, deadline, patienceMs }: Bounds): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(error);
      else
        resolve({
          ok: false,
          why: deadline.aborted ? `no answer within ${patienceMs / 1000} s` : describe(error),
        });
    };
    const request = get(url, { signal: AbortSignal.any([signal, deadline]), agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", fail);
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > BODY_BYTES) response.destroy(new Error("the answer is too long for a status"));
      });
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve({ ok: true, body });
        else resolve({ ok: false, why: `HTTP status ${response.statusCode}: is --http-address right?` });
      });
    });
    request.on("socket", (socket) =>
      socket.once("connect", () => {
        const why = whyNotBelieved("/proc", socket);
        if (why !== undefined) request.destroy(new Error(why));
      }),
    );
    request.on("error", fail);
  });
}

function describe({ code, message }: NodeJS.ErrnoException): string {
  if (code === "ECONNREFUSED")
    return "nothing listens there: is the agent running, in this network namespace, and with this --http-address?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "this host name cannot be resolved";
  if (code?.startsWith("HPE_") === true)
    return "the server there does not speak HTTP: is --http-address right?";
  return message || code || "the connection failed";
}
