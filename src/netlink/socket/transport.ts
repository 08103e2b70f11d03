/**
 * nf_tables over netlink: transactions and questions, one after another in the order of the calls.
 *
 * Events (NFNLGRP_NFTABLES, group 7) belong on a socket of their own, from the same `OpenSocket`: a storm of them
 * overflows its buffer, and must not take answers with it.
 */

import { encodeBatch } from "../encode.ts";
import { NftablesError } from "../errors.ts";
import type { Operation } from "../operations.ts";
import { encodeQuery, generation, type Query } from "../query.ts";
import { loadNetlink, type OpenSocket } from "./addon.ts";
import { type Channel, createChannel } from "./channel.ts";
import { listenToBatch, listenToQuery, TRANSACTION } from "./conversation.ts";

export interface Nftables {
  /** Applies operations as one transaction: all of them or, if it throws, none. */
  readonly batch: (operations: readonly Operation[], signal?: AbortSignal) => Promise<void>;
  /** Asks one of the questions of query.ts. */
  readonly read: <T>(query: Query<T>, signal?: AbortSignal) => Promise<T>;
  /** The number of the last commit in this network namespace, by any process. */
  readonly generation: (signal?: AbortSignal) => Promise<number>;
  /** The largest transaction, for `splitBatches`; more is EMSGSIZE. */
  readonly maxBatchBytes: number;
  /** Waiting and later requests fail with ECANCELED. */
  readonly close: () => void;
}

export interface Options {
  /** How long the kernel may take for one request. */
  readonly timeoutMs?: number;
  /** The size of the socket's buffers to ask for; the kernel doubles it, within net.core.wmem_max and rmem_max. */
  readonly bufferBytes?: number;
}

const TIMEOUT_MS = 10_000;
const BUFFER_BYTES = 4 * 1024 * 1024;

/** How often a list is read again when the ruleset changes meanwhile. */
const LIST_ATTEMPTS = 10;

/** Opens a socket. Throws `NetlinkUnavailable` without the addon, `NftablesError` if the kernel has no netfilter. */
export async function openNftables(options: Options = {}): Promise<Nftables> {
  return createNftables(loadNetlink(options.bufferBytes ?? BUFFER_BYTES), options);
}

/** A connection for as long as it is used. */
export async function connected<T>(
  open: () => Promise<Nftables>,
  use: (nftables: Nftables) => Promise<T>,
): Promise<T> {
  const connection = await open();
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

/** The same over sockets from elsewhere. */
export function createNftables(open: OpenSocket, { timeoutMs = TIMEOUT_MS }: Options = {}): Nftables {
  const channel = createChannel(open, timeoutMs);
  const connection = { channel, sequence: 1, maxBatchBytes: channel.maxBatchBytes() };
  const inTurn = createQueue();
  const read: Nftables["read"] = (query, signal) => inTurn(() => ask(connection, query, signal), signal);
  return {
    batch: (operations, signal) => inTurn(() => apply(connection, operations, signal), signal),
    read,
    generation: (signal) => read(generation(), signal),
    maxBatchBytes: connection.maxBatchBytes,
    close: channel.close,
  };
}

interface Connection {
  readonly channel: Channel;
  readonly maxBatchBytes: number;
  /** The number of the next message. */
  sequence: number;
}

async function apply(
  connection: Connection,
  operations: readonly Operation[],
  signal?: AbortSignal,
): Promise<void> {
  const batch = encodeBatch(operations, connection.sequence);
  if (batch.owners.length === 0) return;
  if (batch.budget > connection.maxBatchBytes) throw tooBig(batch.budget, connection.maxBatchBytes);
  const { bytes, firstSequence: first, lastSequence: last } = batch;
  advance(connection, last + 2);
  const listener = listenToBatch(batch, operations);
  await connection.channel.exchange({ what: TRANSACTION, bytes, first, last, listener }, signal);
}

function tooBig(budget: number, maxBatchBytes: number): NftablesError {
  const why = `it counts ${budget} bytes, and ${maxBatchBytes} are allowed: split it`;
  return new NftablesError({ code: "EMSGSIZE", what: TRANSACTION, why });
}

async function ask<T>(connection: Connection, query: Query<T>, signal?: AbortSignal): Promise<T> {
  const { what } = query;
  for (let attempt = 1; attempt <= LIST_ATTEMPTS; attempt++) {
    const first = connection.sequence;
    advance(connection, first + 1);
    const request = {
      what,
      bytes: encodeQuery(query, first),
      first,
      last: first,
      listener: listenToQuery(query),
    };
    const settled = await connection.channel.exchange(request, signal);
    if (settled.state === "done") return settled.value;
  }
  throw new NftablesError({
    code: "EINTR",
    // The same text for every list: the reason is a storm of commits, not the object.
    what: "nf_tables",
    why: `others commit so fast that the ruleset changed each of the ${LIST_ATTEMPTS} times it was listed`,
  });
}

/** Numbers start again long before they overflow: no request has more than some hundreds. */
function advance(connection: Connection, next: number): void {
  connection.sequence = next < 2 ** 31 ? next : 1;
}

/** Runs tasks one after another, whether or not the one before failed. */
function createQueue(): <T>(task: () => Promise<T>, signal: AbortSignal | undefined) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task, signal) => {
    const result = last.then(() => {
      signal?.throwIfAborted();
      return task();
    });
    last = result.catch(() => {});
    return result;
  };
}
