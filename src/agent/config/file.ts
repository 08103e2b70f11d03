/**
 * Reads the configuration: one file, or the `ip-masq*` files of a directory. Nothing there means the defaults;
 * anything else that cannot be read is an error, so that a passing trouble never looks like an empty list.
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

/** A ConfigMap holds 1 MiB at most; beyond this a path leads to something that is no configuration. */
export const CONFIG_BYTES = 16 * 1024 * 1024;

/** As many files of a directory are read. */
const FILES_AT_MOST = 1_000;

const FILE_PREFIX = "ip-masq";

/** How often something is read that changes meanwhile. */
const MAX_ATTEMPTS = 4;

/** What stands at `path`. A directory is read only where `directoryAllowed`, as the Go program knows none. */
export function readConfig(path: string, directoryAllowed: boolean): ConfigText {
  if (directoryAllowed && isDirectory(path)) return { kind: "directory", files: readDirectory(path) };
  const file = readFile(path);
  return { kind: "file", files: file === undefined ? [] : [file] };
}

function isDirectory(path: string): boolean {
  return withFile(path, (fd) => fstatSync(fd).isDirectory()) ?? false;
}

/**
 * The file, or undefined if there is none. The kubelet deletes a ConfigMap's old generation as soon as the link has
 * moved on: a walk that was under way then ends nowhere, and the defaults must not come of that. The next walk
 * takes the new link; a link that leads nowhere for good is no file, as the Go program sees it.
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
  return new Error(`more than ${CONFIG_BYTES / 1024 / 1024} MiB are no configuration`);
}

function readAll(fd: number): Buffer {
  // A FIFO without a writer reads as empty, which would mean the defaults.
  const stats = fstatSync(fd);
  if (stats.isFIFO()) throw new Error("a FIFO is no configuration");
  if (stats.size > CONFIG_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(Math.max(65_536, Math.min(fstatSync(fd).size, CONFIG_BYTES) - size + 1));
    const count = readSync(fd, chunk);
    // Mostly all of it came at once, and need not be copied.
    if (count === 0) return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
    chunks.push(chunk.subarray(0, count));
    size += count;
    if (size > CONFIG_BYTES) throw tooLong();
  }
}

/**
 * The files of a directory in name order. The kubelet swaps a ConfigMap's `..data` link as a whole: if it moved
 * while we read, the files are of two generations, and are read again.
 */
function readDirectory(path: string): readonly ConfigFile[] {
  for (let attempt = 1; ; attempt++) {
    const generation = generationOf(path);
    const files = readMembers(path, namesIn(path));
    if (generation === generationOf(path)) return files;
    if (attempt === MAX_ATTEMPTS) throw new SourceError(path, new Error("changed each time it was read"));
  }
}

/** Together they may be as long as one file. */
function readMembers(path: string, names: readonly string[]): readonly ConfigFile[] {
  if (names.length > FILES_AT_MOST)
    throw new SourceError(
      path,
      new Error(`more than ${FILES_AT_MOST} ${FILE_PREFIX}* files are no configuration`),
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
  if (entries === undefined) throw new SourceError(path, new Error("has gone while it was read"));
  const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
  return files
    .map(({ name }) => name)
    .filter((name) => name.startsWith(FILE_PREFIX))
    .sort();
}

/** A listed file that is gone is no reason to do without its entries: whoever removes it is still at work, so ask again later. */
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
