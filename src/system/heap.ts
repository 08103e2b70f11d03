/** The memory that the agent may trade for speed that it does not need. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Growth of the heap after which a collection is worth its tens of milliseconds. */
const GROWTH_BYTES = 16 * 1024 * 1024;

/**
 * Keeps V8's young generation at its first size, and lets old space grow by halves before it is collected. Both work
 * after start, since V8 reads the flags whenever it decides on a size (v8/src/heap). Left alone, the young generation
 * grows to 16 MiB semi-spaces under load (more on Node 24) and stays there: reading a list of 100,000 CIDRs peaked at
 * 131 instead of 96 MB, for a fifth less time.
 */
export function growSlowly(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--heap-growing-percent=50");
}

/** The same for an agent, which runs on for months. */
export function keepHeapSmall(): void {
  growSlowly();
  // Node 24's other compiler gains little where this one is available, and not every version has it.
  setFlagsFromString("--no-maglev");
  setFlagsFromString("--no-opt");
}

/** The bytes of configuration, some 4,000 entries, that are worth the optimizing compiler. */
const LONG_BYTES = 64 * 1024;

/**
 * Lets V8 optimize hot code, for a caller that is about to read so much text. It stays switched off as long as no list
 * is long: sooner or later every loop becomes hot, that of a scrape among the first, and the compiler's own pages and
 * its code then take 10 MB for good. With 100,000 entries it halves the time, and the list takes more memory than that
 * anyhow.
 */
export function prepareFor(bytes: number): void {
  // V8 reads the flag whenever a function has become hot (Isolate::use_optimizer).
  if (bytes >= LONG_BYTES) setFlagsFromString("--opt");
}

/** After the start, once everything is loaded. */
const SETTLED_MS = 3_000;

/**
 * Call the result after each pass: it collects garbage if the heap has grown much since the last time. An agent that
 * has read a long list would otherwise idle with two of them in memory, and start on the next one from there. It also
 * returns to the system the 2 to 3 MB that compiling the program has left free in the C library's heap.
 */
export function createHeapRelief(trim: () => void): () => void {
  let settled = getHeapStatistics().used_heap_size;
  setTimeout(trim, SETTLED_MS).unref();
  return () => {
    if (getHeapStatistics().used_heap_size < settled + GROWTH_BYTES) return;
    collectGarbage();
    trim();
    settled = getHeapStatistics().used_heap_size;
  };
}

let isDue = false;

/**
 * Collects garbage once, some seconds from now, for a caller that has just loaded or ended something large: TLS and its first
 * handshake leave 2 MB on Node 24, which an idle agent would keep for hours.
 */
export function collectSoon(): void {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    collectGarbage();
  }, SETTLED_MS).unref();
}

let collect: (() => void) | undefined;

/** Takes some tens of milliseconds. */
export function collectGarbage(): void {
  collect ??= exposedCollector();
  collect();
}

/** Only contexts made after the flag is set have the global of the collector. */
function exposedCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}
