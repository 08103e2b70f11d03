/**
 * The meaning of the answers, as a small state for each kind of request. Pure: it takes messages and returns whether it
 * has all of them.
 */
import type { Message } from "../attributes.ts";
import { NLM_F, NLMSG } from "../constants.ts";
import type { EncodedBatch } from "../encode.ts";
import { kernelFailure, NftablesError } from "../errors.ts";
import type { Operation } from "../operations.ts";
import type { Query } from "../query.ts";

/** The state of a request. */
export type Progress<T> =
  | { readonly state: "waiting" }
  | { readonly state: "done"; readonly value: T }
  | { readonly state: "failed"; readonly error: NftablesError }
  /** Ask again: the ruleset changed while it was listed, or a part of the list was lost. */
  | { readonly state: "interrupted" };

export interface Listener<T> {
  readonly hear: (message: Message) => Progress<T>;
  /** Receiving failed, and answers are missing. */
  readonly lose: (cause: unknown) => Progress<T>;
}

const WAITING = { state: "waiting" } as const;
const INTERRUPTED = { state: "interrupted" } as const;

/**
 * Listens for the end of a batch. The kernel answers for every operation that it rejects, in their order, and last for
 * the one that asked for an acknowledgement, which means nothing after a rejection. If it rejects the batch's beginning,
 * it rejects the whole: no permission, no nf_tables, or a commit that failed.
 */
export function listenToBatch(batch: EncodedBatch, operations: readonly Operation[]): Listener<void> {
  let error: NftablesError | undefined;
  const hear = (message: Message): Progress<void> => {
    if (message.type !== NLMSG.ERROR) return WAITING;
    const errno = errnoIn(message);
    const operation = operations[batch.owners[message.sequence - batch.firstSequence - 1] ?? -1];
    if (errno !== 0) error ??= kernelFailure(errno, TRANSACTION, operation);
    const isOfWhole = message.sequence === batch.firstSequence;
    if (message.sequence !== batch.lastSequence && !isOfWhole) return WAITING;
    return error === undefined ? { state: "done", value: undefined } : { state: "failed", error };
  };
  const lose = (cause: unknown): Progress<void> => ({ state: "failed", error: error ?? lost(cause) });
  return { hear, lose };
}

/** The name of a transaction in errors that concern no single operation. */
export const TRANSACTION = "nf_tables transaction";

function lost(cause: unknown): NftablesError {
  const why = "the answer was lost; read the ruleset to see whether it was changed";
  return new NftablesError({ code: "ENOBUFS", what: TRANSACTION, why, cause });
}

/** Listens for the answers to a question: one, or a list and its end. */
export function listenToQuery<T>(query: Pick<Query<T>, "what" | "isList" | "reader">): Listener<T> {
  const reader = query.reader();
  let interrupted = false;
  const finish = (): Progress<T> => (interrupted ? INTERRUPTED : { state: "done", value: reader.value() });
  const hear = (message: Message): Progress<T> => {
    if ((message.flags & NLM_F.DUMP_INTR) !== 0) interrupted = true;
    if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
      const errno = errnoIn(message);
      return errno === 0 ? finish() : { state: "failed", error: kernelFailure(errno, query.what) };
    }
    reader.add(message);
    return query.isList ? WAITING : finish();
  };
  return { hear, lose: () => INTERRUPTED };
}

/** The number in an acknowledgement, or at the end of a list: 0, or an error's, negative. */
export function errnoIn({ payload }: Message): number {
  return payload.length < 4 ? 0 : new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
}
