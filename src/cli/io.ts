/** A command's world: this process' own streams. */

import { once } from "node:events";
import { CONFIG_BYTES, SourceError } from "../agent/config/file.ts";
import { systemClock } from "../system/clock.ts";
import type { Fact } from "../system/fact.ts";
import { type Processes, readProcesses } from "../system/processes.ts";
import { createColours, wantsColours } from "../text/colours.ts";
import { printable } from "../text/printable.ts";
import type { CommandIo } from "./command.ts";
import type { Manual } from "./manual.ts";

/**
 * The streams of this process. Output without a reader (`| head`) is dropped, and the exit code is the answer's all the
 * same. A script's text must stay unchanged; all other answers repeat foreign text, which must not steer the reader's
 * terminal.
 */
export function processIo(
  signal: AbortSignal,
  { writesScript: exact = false, exitCodes }: Pick<Manual, "writesScript" | "exitCodes">,
): CommandIo {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") process.exit(exitCodes?.failure ?? 1);
  });
  process.stderr.on("error", () => {});
  const seen = new Map<string, Fact<Processes>>();
  return {
    out: (text) => void process.stdout.write(exact ? text : printable(text)),
    err: (text) => void process.stderr.write(printable(text)),
    colours: createColours(wantsColours(process.stdout.isTTY === true, process.env)),
    signal,
    platform: process.platform,
    clock: systemClock,
    stdin: () => readAll(process.stdin, signal),
    processes: (proc) => {
      const read = seen.get(proc) ?? readProcesses(proc);
      seen.set(proc, read);
      return read;
    },
  };
}

interface Limits {
  /** Its name in an error. */
  readonly name: string;
  readonly bytes: number;
  /** The kind of content that is never larger. */
  readonly what: string;
}

const STDIN: Limits = { name: "standard input", bytes: CONFIG_BYTES, what: "configuration" };

/** Why a reader stops at the limit. */
export function tooLong({ bytes, what }: Pick<Limits, "bytes" | "what">): Error {
  return new Error(`larger than ${bytes / 1024 / 1024} MiB: not a ${what}`);
}

/** All bytes of a stream. Throws a `SourceError` if it fails or does not end early enough. */
export async function readAll(
  stream: AsyncIterable<Uint8Array> & NodeJS.EventEmitter,
  signal: AbortSignal,
  { name, bytes, what }: Limits = STDIN,
): Promise<Uint8Array> {
  const read = async () => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of stream) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > bytes) throw tooLong({ bytes, what });
    }
    return Buffer.concat(chunks, size);
  };
  try {
    // A reader at a terminal waits for ever; a signal must end that.
    return await Promise.race([read(), once(signal, "abort").then(() => Promise.reject(signal.reason))]);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new SourceError(name, error);
  }
}
