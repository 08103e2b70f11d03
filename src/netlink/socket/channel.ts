/**
 * One socket and one request on it at a time, with a deadline. The kernel works a batch off while it is being sent,
 * so the answer is there when sending returns; what can take long is waiting for another's transaction.
 *
 * A socket that didn't answer in time, or whose caller has lost interest, is closed, since what it still has to say
 * could be taken for the answer to something else; the next request opens another.
 */

import { type Message, parseMessages } from "../attributes.ts";
import { kernelFailure, NftablesError } from "../errors.ts";
import type { NetlinkSocket, OpenSocket } from "./addon.ts";
import type { Listener, Progress } from "./conversation.ts";

export interface Request<T> {
  /** For messages of errors. */
  readonly what: string;
  readonly bytes: Uint8Array;
  /** The sequence numbers of its messages. */
  readonly first: number;
  readonly last: number;
  readonly listener: Listener<T>;
}

/**
 * What netlink_sendmsg() of the kernel's net/netlink/af_netlink.c keeps of the send buffer for itself, and the two messages of 20
 * bytes that begin and end a batch.
 */
const SEND_BUFFER_RESERVE = 32 + 2 * 20;

/**
 * As much is sent in one transaction, even where net.core.wmem_max allows more. The kernel works it off within the system call and
 * prepares a notification for each element, which takes 40 times the memory. Replacing 100,000 elements, wall clock in all and of
 * the longest transaction: 128 KiB 900 and 30 ms, 256 KiB 650 and 40, 512 KiB 560 and 50, 1 MiB 490 and 80, 4 MB 480 and 290.
 */
const TRANSACTION_BYTES = 512 * 1024;

/** What a request came to; failure is thrown. */
export type Settled<T> = Extract<Progress<T>, { state: "done" | "interrupted" }>;

export interface Channel {
  readonly exchange: <T>(request: Request<T>, signal?: AbortSignal) => Promise<Settled<T>>;
  /** What one batch may have, for its answers too (see budget.ts). */
  readonly maxBatchBytes: () => number;
  readonly close: () => void;
}

/** What the socket's events are told to, while a request waits for its answer. */
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

/** A channel whose socket is opened when it is needed. */
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

/** Sends the request and listens until its listener is content, or the deadline passes. */
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
        // An answer that can't be read is a mistake of ours, but the asker's to hear of, not the event loop's.
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
  const why = `no answer within ${timeoutMs} ms; whether a change was made has to be read back`;
  return new NftablesError({ code: "ETIMEDOUT", what, why });
}

function closedError(): NftablesError {
  return new NftablesError({ code: "ECANCELED", what: "netlink socket", why: "it was closed" });
}
