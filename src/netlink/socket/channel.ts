/**
 * One socket and one request on it at a time, with a deadline. The kernel executes a batch while it is sent,
 * so the answer is there when sending returns; only waiting for another process's transaction can take long.
 *
 * A socket that did not answer in time, or whose caller has given up, is closed, since its late answer could be
 * taken for the answer to another request; the next request opens another socket.
 */

import { type Message, parseMessages } from "../attributes.ts";
import { kernelFailure, NftablesError } from "../errors.ts";
import type { NetlinkSocket, OpenSocket } from "./addon.ts";
import type { Listener, Progress } from "./conversation.ts";

export interface Request<T> {
  /** For error messages. */
  readonly what: string;
  readonly bytes: Uint8Array;
  /** The sequence numbers of its messages. */
  readonly first: number;
  readonly last: number;
  readonly listener: Listener<T>;
}

/**
 * The part of the send buffer that netlink_sendmsg() of the kernel's net/netlink/af_netlink.c keeps for itself, and the two messages of 20
 * bytes that begin and end a batch.
 */
const SEND_BUFFER_RESERVE = 32 + 2 * 20;

/**
 * The largest transaction, even where net.core.wmem_max allows more. The kernel executes it within the system call and
 * prepares a notification for each element, which takes 40 times the memory. Replacing 100,000 elements, wall clock in all and of
 * the longest transaction: 128 KiB 900 and 30 ms, 256 KiB 650 and 40, 512 KiB 560 and 50, 1 MiB 490 and 80, 4 MB 480 and 290.
 */
const TRANSACTION_BYTES = 512 * 1024;

/** A request's result; failure is thrown. */
export type Settled<T> = Extract<Progress<T>, { state: "done" | "interrupted" }>;

export interface Channel {
  readonly exchange: <T>(request: Request<T>, signal?: AbortSignal) => Promise<Settled<T>>;
  /** How large one batch may be, with its answers (see budget.ts). */
  readonly maxBatchBytes: () => number;
  readonly close: () => void;
}

/** Gets the socket's events while a request waits for its answer. */
interface Pending {
  readonly hear: (message: Message) => void;
  readonly lose: (cause: unknown) => void;
  readonly fail: (error: unknown) => void;
}

interface State {
  socket: NetlinkSocket | undefined;
  pending: Pending | undefined;
  closed: boolean;
}

/** A channel that opens its socket at the first request. */
export function createChannel(open: OpenSocket, timeoutMs: number): Channel {
  const state: State = { socket: undefined, pending: undefined, closed: false };
  const connect = () => {
    if (state.closed) throw closedError();
    state.socket ??= open(eventsFor(state));
    return state.socket;
  };
  return {
    exchange: async (request, signal) => converse(state, connect(), { request, signal, timeoutMs }),
    maxBatchBytes: () => {
      const { sendBufferBytes, receiveBufferBytes } = connect();
      return Math.min(sendBufferBytes - SEND_BUFFER_RESERVE, receiveBufferBytes, TRANSACTION_BYTES);
    },
    close: () => {
      state.closed = true;
      drop(state);
      state.pending?.fail(closedError());
    },
  };
}

function eventsFor(state: State): Parameters<OpenSocket>[0] {
  return {
    message: (bytes) => {
      for (const message of parseMessages(bytes)) state.pending?.hear(message);
    },
    lost: (cause) => {
      drop(state);
      state.pending?.lose(cause);
    },
  };
}

function drop(state: State): void {
  state.socket?.close();
  state.socket = undefined;
}

interface Attempt<T> {
  readonly request: Request<T>;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** Sends the request and listens until its listener has the answer, or the deadline passes. */
function converse<T>(state: State, socket: NetlinkSocket, attempt: Attempt<T>): Promise<Settled<T>> {
  const { request, signal, timeoutMs } = attempt;
  const { listener, first, last } = request;
  const { promise, resolve, reject } = deferred<Settled<T>>();
  const advance = (progress: Progress<T>) => {
    if (progress.state === "failed") reject(progress.error);
    else if (progress.state !== "waiting") resolve(progress);
    if (progress.state !== "waiting") state.pending = undefined;
  };
  const abandon = (error: unknown) => {
    drop(state);
    reject(error);
  };
  state.pending = {
    hear: (message) => {
      if (message.sequence < first || message.sequence > last) return;
      try {
        advance(listener.hear(message));
      } catch (error) {
        // An answer that we cannot parse is our bug: reject the caller's promise instead of throwing in the event loop.
        reject(error);
      }
    },
    lose: (cause) => advance(listener.lose(cause)),
    fail: reject,
  };
  const abort = () => abandon(signal?.reason);
  const timer = setTimeout(() => abandon(timeoutError(request.what, timeoutMs)), timeoutMs);
  signal?.addEventListener("abort", abort, { once: true });
  socket.hold(true);
  const errno = socket.send(request.bytes);
  if (errno !== 0) reject(kernelFailure(errno, request.what));
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    state.pending = undefined;
    state.socket?.hold(false);
  });
}

/** A promise to be settled from outside: Promise.withResolvers of Node 22. */
function deferred<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

function timeoutError(what: string, timeoutMs: number): NftablesError {
  const why = `no answer within ${timeoutMs} ms; read the ruleset to see whether it was changed`;
  return new NftablesError({ code: "ETIMEDOUT", what, why });
}

function closedError(): NftablesError {
  return new NftablesError({ code: "ECANCELED", what: "netlink socket", why: "it was closed" });
}
