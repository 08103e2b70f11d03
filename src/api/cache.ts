/**
 * The last text that the API server told of, on disk: a container that is restarted within the minute that the kubelet takes must not
 * go back to the file's older text. It is for this pod only (an emptyDir): a new pod's file is fresh.
 */
import { closeSync, fstatSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigText } from "../core/config.ts";
import { contentOf, type Remembered } from "../core/configmap/newest.ts";
import { digest } from "../core/digest.ts";

/** The memory that survives a restart. */
export interface Cached extends Remembered {
  /** The version of the cluster's state that each ConfigMap was heard at, by `NAMESPACE/NAME`. */
  readonly versions: Readonly<Record<string, string>>;
}

export interface Cache {
  /** Undefined if there is none, or if it cannot be used. */
  readonly read: () => Cached | undefined;
  readonly write: (cached: Cached) => void;
}

const NAME = "config.json";

/** A volume for it need not be larger than a few of these. */
const BYTES_AT_MOST = 1024 * 1024;

/**
 * The cache in a directory, for texts from this source; without a directory it remembers nothing. All works without it, so that a
 * trouble is said once.
 */
export function createCache(directory: string, source: string, warn: (line: string) => void): Cache {
  if (directory === "") return { read: () => undefined, write: () => {} };
  const path = join(directory, NAME);
  let said = false;
  const tryTo = <T>(what: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (!said)
        warn(
          `cannot ${what} ${path}: ${(error as Error).message}; without it a restart may go back to the mounted file for a minute`,
        );
      said = true;
      return undefined;
    }
  };
  return {
    // One of another source is of an agent with a different --config-map.
    read: () => tryTo("use", () => ofSource(source, readCached(path))),
    write(cached) {
      const isWritten = tryTo("write", () => {
        const bytes = render(cached, source);
        if (bytes.length > BYTES_AT_MOST) throw new Error("the configuration is larger than 1 MiB as JSON");
        writeFileSync(`${path}.new`, bytes);
        renameSync(`${path}.new`, path);
        return true;
      });
      // An older one would be worse than none.
      if (isWritten === undefined) tryTo("remove", () => rmSync(path, { force: true }));
    },
  };
}

/** The form on disk: each byte as a character (latin1), which JSON keeps short and exact. */
interface Stored {
  readonly source: string;
  readonly kind: ConfigText["kind"];
  readonly files: readonly { readonly path: string; readonly bytes: string }[];
  readonly older: readonly string[];
  readonly versions: Cached["versions"];
}

function render({ text, older, versions }: Cached, source: string): Buffer {
  const files = text.files.map(({ path, bytes }) => ({ path, bytes: Buffer.from(bytes).toString("latin1") }));
  const stored: Stored = { source, kind: text.kind, files, older, versions };
  return Buffer.from(JSON.stringify({ digest: digestOf(stored), ...stored }));
}

/**
 * The cache that an agent keeps in a directory, for a command beside it; undefined if there is none. Throws if it cannot be
 * used. `open` opens a file of another process.
 */
export function readAgentsCache(directory: string, open: (path: string) => number): Cached | undefined {
  return readCached(join(directory, NAME), open)?.cached;
}

function ofSource(source: string, read: ReturnType<typeof readCached>): Cached | undefined {
  return read?.source === source ? read.cached : undefined;
}

function readCached(
  path: string,
  open = (file: string) => openSync(file, "r"),
): { readonly source: string; readonly cached: Cached } | undefined {
  const text = readBounded(path, open);
  if (text === undefined) return undefined;
  const { digest: expected, ...stored } = JSON.parse(text) as Stored & { readonly digest: string };
  if (expected !== digestOf(stored)) throw new Error("its digest is wrong");
  const { source } = stored;
  const files = stored.files.map(({ path, bytes }) => ({ path, bytes: Buffer.from(bytes, "latin1") }));
  const config: ConfigText = { kind: stored.kind, files, source: `${source}, as cached in ${path}` };
  return { source, cached: { ...contentOf(config), older: stored.older, versions: stored.versions } };
}

function readBounded(path: string, open: (path: string) => number): string | undefined {
  let fd: number | undefined;
  try {
    fd = open(path);
    if (fstatSync(fd).size > BYTES_AT_MOST) throw new Error("it is larger than 1 MiB");
    return readFileSync(fd, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function digestOf(stored: Stored): string {
  return digest(Buffer.from(JSON.stringify(stored)));
}
