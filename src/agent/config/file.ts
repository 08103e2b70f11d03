/**
 * Reads the configuration: one file, or the `ip-masq*` files of a directory. A missing file means the defaults;
 * any other failure is an error, so that a temporary problem never looks like an empty list.
 */
import { closeSync, fstatSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import type { ConfigFile, ConfigText } from "../../core/config.ts";
import { openConfined } from "./container-path.ts";

/** The source of the configuration failed, not its text. */
export class SourceError extends Error {
  constructor(path: string, cause: unknown) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException;
    super(code === undefined ? `${path}: ${message}` : `${syscall ?? "read"} ${path}: ${describe(message)}`, {
      cause,
    });
    this.name = "SourceError";
  }
}

/** A ConfigMap holds 1 MiB at most; a larger file is something else. */
export const CONFIG_BYTES = 16 * 1024 * 1024;

/** The limit for a directory. */
const FILES_AT_MOST = 1_000;

const FILE_PREFIX = "ip-masq";

/** The number of times that we read files that change meanwhile. */
const MAX_ATTEMPTS = 4;

/** Reads `path`. Reads a directory only where `directoryAllowed`: the Go program does not know directories. */
export function readConfig(path: string, directoryAllowed: boolean): ConfigText {
  if (directoryAllowed && isDirectory(path)) return { kind: "directory", files: readDirectory(path) };
  const file = readFile(path);
  return { kind: "file", files: file === undefined ? [] : [file] };
}

function isDirectory(path: string): boolean {
  return withFile(path, (fd) => fstatSync(fd).isDirectory()) ?? false;
}

/**
 * The file, or undefined if there is none. The kubelet deletes a ConfigMap's old generation as soon as it has moved the
 * link: a lookup that is under way then finds no file, which must not mean the defaults. The next lookup takes the new
 * link; a link that stays dangling is a missing file, as for the Go program.
 */
function readFile(path: string): ConfigFile | undefined {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const bytes = withFile(path, (fd) => readAll(fd));
    if (bytes !== undefined) return { path, bytes };
  }
  return undefined;
}

/** Runs `use` on the open file; undefined if there is none. Non-blocking, since a path may lead to a FIFO. */
function withFile<T>(path: string, use: (fd: number) => T): T | undefined {
  let fd: number | undefined;
  try {
    fd = openConfined(path);
    return use(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new SourceError(path, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function tooLong(): Error {
  return new Error(`larger than ${CONFIG_BYTES / 1024 / 1024} MiB: not a configuration`);
}

function readAll(fd: number): Buffer {
  // A FIFO without a writer reads as empty, which would mean the defaults.
  const stats = fstatSync(fd);
  if (stats.isFIFO()) throw new Error("a FIFO is not a configuration");
  if (stats.size > CONFIG_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(Math.max(65_536, Math.min(fstatSync(fd).size, CONFIG_BYTES) - size + 1));
    const count = readSync(fd, chunk);
    // Mostly the first chunk has all of it, so there is nothing to copy.
    if (count === 0) return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
    chunks.push(chunk.subarray(0, count));
    size += count;
    if (size > CONFIG_BYTES) throw tooLong();
  }
}

/**
 * The files of a directory in name order. The kubelet swaps a ConfigMap's `..data` link as a whole: if it moved
 * while we read, the files are of two generations, so we read them again.
 */
function readDirectory(path: string): readonly ConfigFile[] {
  for (let attempt = 1; ; attempt++) {
    const generation = generationOf(path);
    const files = readMembers(path, namesIn(path));
    if (generation === generationOf(path)) return files;
    if (attempt === MAX_ATTEMPTS)
      throw new SourceError(path, new Error("changed during every attempt to read it"));
  }
}

/** All files together have the size limit of one file. */
function readMembers(path: string, names: readonly string[]): readonly ConfigFile[] {
  if (names.length > FILES_AT_MOST)
    throw new SourceError(
      path,
      new Error(`more than ${FILES_AT_MOST} ${FILE_PREFIX}* files: not a configuration`),
    );
  let size = 0;
  return names.map((name) => {
    const file = readMember(join(path, name));
    size += file.bytes.length;
    if (size > CONFIG_BYTES) throw new SourceError(path, tooLong());
    return file;
  });
}

function namesIn(path: string): readonly string[] {
  const entries = withFile(path, (fd) => readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true }));
  if (entries === undefined) throw new SourceError(path, new Error("disappeared while it was being read"));
  const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
  return files
    .map(({ name }) => name)
    .filter((name) => name.startsWith(FILE_PREFIX))
    .sort();
}

/** A listed file that is gone is an error, not a reason to drop its entries: its removal is still under way, so a later pass reads again. */
function readMember(path: string): ConfigFile {
  const file = readFile(path);
  if (file === undefined)
    throw new SourceError(path, new Error("listed, but does not exist (a dangling link?)"));
  return file;
}

function generationOf(path: string): string | undefined {
  try {
    return withFile(path, (fd) => readlinkSync(`/proc/self/fd/${fd}/..data`));
  } catch {
    // No such link: a plain directory, which has no generations.
    return undefined;
  }
}

/** `too many symbolic links encountered` of Node's `ELOOP: too many symbolic links encountered, open '/x'`. */
function describe(message: string): string {
  return message.replace(/^([A-Z0-9]+): (.*?)(?:, \w+(?: '.*')?)?$/s, "$2 ($1)");
}
