/** Parts of a report: each has bounds of time and size, and where it fails, the reason is in its place. */

import type { Clock } from "../system/clock.ts";
import { type Fact, isKnown } from "../system/fact.ts";

/** The placeholder for a part that could not be read. */
export interface Unknown {
  readonly unknown: string;
  readonly why: string;
}

export interface PartWorld {
  readonly clock: Clock;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/** How long a part may take. All are read at the same time. */
export const PART_MS = 30_000;
/** How long the JSON of a part may be. */
export const PART_CHARACTERS = 1024 * 1024;
/** The number of list items that we keep, and smaller numbers for parts that are still too long. */
const ITEMS = [5_000, 1_000, 200, 40, 8];
/** The number of characters of a text that we keep. */
const TEXT_CHARACTERS = 64 * 1024;

/** The result of `read`, or why it is not known. Rejects only when the command ends. */
export async function readPart<T>(
  what: string,
  read: (signal: AbortSignal) => Promise<T> | T,
  { clock, signal }: PartWorld,
): Promise<unknown> {
  const late = new AbortController();
  const done = new AbortController();
  const timeout = clock.sleep(PART_MS, AbortSignal.any([done.signal, signal])).then((): Unknown => {
    late.abort();
    return { unknown: what, why: `no answer within ${PART_MS / 1000} s` };
  });
  try {
    const work = async () => bounded(what, await read(AbortSignal.any([signal, late.signal])));
    return await Promise.race([work().catch((error: unknown) => failed(what, error)), timeout]);
  } finally {
    done.abort();
    signal.throwIfAborted();
  }
}

/** The value of a fact, or why it is not known. */
export function factValue<T>(fact: Fact<T>): T | null | Unknown {
  if (isKnown(fact)) return fact.value ?? null;
  return { unknown: fact.unknown, why: fact.why };
}

/** A report must show our own bugs: such an error gives its place, and does not affect the other parts. */
function failed(what: string, error: unknown): Unknown {
  if (!(error instanceof Error)) return { unknown: what, why: String(error) };
  const isExpected = error.name !== "Error" && !/^(?:Type|Range|Reference|Syntax)Error$/.test(error.name);
  const [, ...frames] = (error.stack ?? "").split("\n").map((line) => line.trim());
  return {
    unknown: what,
    why: isExpected ? error.message : [`${error.name}: ${error.message}`, ...frames.slice(0, 5)].join(" "),
  };
}

/** A value that JSON can hold, shortened; a count replaces the parts left out. */
function bounded(what: string, value: unknown): unknown {
  for (const items of ITEMS) {
    const text = JSON.stringify(value, (_key, one: unknown) => shorten(one, items)) ?? "null";
    if (text.length <= PART_CHARACTERS) return JSON.parse(text);
  }
  return { unknown: what, why: `it has more than ${PART_CHARACTERS / 1024 / 1024} MiB` } satisfies Unknown;
}

function shorten(value: unknown, items: number): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string" && value.length > TEXT_CHARACTERS)
    return `${value.slice(0, TEXT_CHARACTERS)}... (${value.length - TEXT_CHARACTERS} more characters)`;
  if (!Array.isArray(value)) return value;
  // A part of a part may have been cut before.
  const before = leftOutOf(value.at(-1));
  const list = before > 0 ? value.slice(0, -1) : value;
  if (list.length <= items) return value;
  return [...list.slice(0, items), { leftOut: list.length - items + before }];
}

function leftOutOf(item: unknown): number {
  const count = (item as { readonly leftOut?: unknown } | null | undefined)?.leftOut;
  return typeof count === "number" ? count : 0;
}
