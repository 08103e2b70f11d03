/**
 * Says when the configuration may have changed. Directories are watched, never the file: a ConfigMap volume shows it
 * through a link into a directory of one generation, and a watch on the file goes silent with the first swap.
 *
 * Watched are the directory of the configuration (or, while there is none, the nearest one above), the one above it,
 * in which it may be replaced, and those of the links on the way and of the file itself. Where inotify's limits are exhausted, the
 * file's state is polled instead.
 */
import { type FSWatcher, lstatSync, readdirSync, readlinkSync, statSync, watch } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

export interface ConfigWatch {
  /** Looks whether the directories that are watched are still the right ones; for what happened unseen. */
  readonly verify: () => void;
  readonly close: () => void;
}

export interface WatchWorld {
  readonly changed: () => void;
  /** Takes what an operator should know: once for each change of the way. */
  readonly say: (line: string) => void;
  readonly watch?: (directory: string, listener: (event: string, name: string | null) => void) => FSWatcher;
}

/** A swap of this link is a whole change (AtomicWriter of k8s.io/kubernetes/pkg/volume/util); all else may be half done. */
const SWAPPED = "..data";

/** A file that is written in place is read when it has been left alone for so long, and at the latest after the second. */
const QUIET_MS = 10;
const QUIET_MAX_MS = 100;

const POLL_MS = 1_000;
/** After so many polls, watching is tried again. */
const POLLS = 60;

interface Watched {
  readonly watcher: FSWatcher;
  /** Which directory stood at the path. */
  readonly identity: string;
}

/** Watches the configuration at a path, a file or a directory, until it is closed. */
export function watchConfig(given: string, world: WatchWorld): ConfigWatch {
  const path = resolve(given);
  const watched = new Map<string, Watched>();
  const quiet = createQuiet(world.changed);
  let polling: NodeJS.Timeout | undefined;
  let closed = false;

  const forget = (directory: string) => {
    watched.get(directory)?.watcher.close();
    watched.delete(directory);
  };

  const onEvent = (directory: string, name: string | null) => {
    if (name !== null && !isRelevant(path, directory, name)) return;
    // Its own name: it was moved or removed, and what is watched may be a directory that nobody can reach any more.
    if (name === basename(directory)) forget(directory);
    if (name === SWAPPED) world.changed();
    else quiet.touch();
    verify();
  };

  const attend = (directory: string, identity: string) => {
    const watcher = (world.watch ?? watch)(directory, (_event, name) => onEvent(directory, name));
    watched.set(directory, { watcher, identity });
    // Such as the directory's end; what is there instead is found out anew.
    watcher.on("error", () => {
      forget(directory);
      quiet.touch();
      setImmediate(verify);
    });
    watcher.unref();
  };

  const verify = () => {
    if (closed) return;
    const wanted = directoriesOf(path);
    for (const directory of watched.keys()) if (!wanted.has(directory)) forget(directory);
    for (const [directory, identity] of wanted) {
      if (watched.get(directory)?.identity === identity) continue;
      forget(directory);
      try {
        attend(directory, identity);
      } catch (error) {
        if (isGone(error)) continue;
        poll(error as Error);
        return;
      }
      // What happened before the watch stood was not seen.
      quiet.touch();
    }
    clearInterval(polling);
    polling = undefined;
  };

  /** Looks at the file's state every second, and tries to watch again every minute. */
  const poll = (error: Error) => {
    for (const directory of watched.keys()) forget(directory);
    if (polling !== undefined) return;
    const remedy = /EMFILE|ENOSPC/.test(error.message)
      ? " (raise fs.inotify.max_user_instances and max_user_watches on the node)"
      : "";
    world.say(
      `cannot watch the directory of ${path}: ${error.message}${remedy}: looking at it every ${POLL_MS / 1000} s instead`,
    );
    // What happened until now was not seen.
    quiet.touch();
    let polls = 0;
    let state = stateOf(path);
    polling = setInterval(() => {
      const now = stateOf(path);
      if (now !== state) world.changed();
      state = now;
      if (++polls % POLLS === 0) verify();
    }, POLL_MS);
    polling.unref();
  };

  verify();
  return {
    verify: () => {
      if (polling === undefined) verify();
    },
    close: () => {
      closed = true;
      clearInterval(polling);
      quiet.close();
      for (const directory of watched.keys()) forget(directory);
    },
  };
}

/** Fires when nothing has been touched for a while, or for too long. */
function createQuiet(fire: () => void): { readonly touch: () => void; readonly close: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let since = 0;
  return {
    touch() {
      const now = performance.now();
      if (timer === undefined) since = now;
      clearTimeout(timer);
      const left = Math.max(0, Math.min(QUIET_MS, since + QUIET_MAX_MS - now));
      timer = setTimeout(() => {
        timer = undefined;
        fire();
      }, left);
    },
    close: () => clearTimeout(timer),
  };
}

/** The directories to watch, and which they are. */
function directoriesOf(path: string): Map<string, string> {
  const directory = nearest(isDirectory(path) ? path : dirname(path));
  const found = new Map<string, string>();
  for (const one of [directory, dirname(directory), ...directoriesOfLinks(path)]) {
    const identity = identityOf(one);
    if (identity !== undefined) found.set(one, identity);
  }
  return found;
}

/** The directory, or the nearest one above it that exists. */
function nearest(directory: string): string {
  for (let at = directory; ; at = dirname(at)) if (isDirectory(at) || at === dirname(at)) return at;
}

/** As many links as Linux follows (path_resolution(7)). */
const LINKS_AT_MOST = 40;

/**
 * Where the links on the way to the file lie, and the file itself: each may be turned elsewhere. Not within a ConfigMap's
 * generations, which nobody changes.
 */
function directoriesOfLinks(path: string): string[] {
  const found = new Set<string>();
  let rest = path;
  for (let links = 0; links < LINKS_AT_MOST; links++) {
    const link = firstLink(rest);
    // It may be gone by now: whoever removes it is still at work, and will be heard.
    const target = link === undefined ? undefined : tryTo(() => readlinkSync(link));
    if (link === undefined || target === undefined) break;
    found.add(dirname(link));
    rest = resolve(dirname(link), target, relative(link, rest));
  }
  if (isOutside(rest)) found.add(dirname(rest));
  return [...found];
}

function isOutside(path: string): boolean {
  return !path.split("/").some((name) => name.startsWith(".."));
}

/** The first part of a path that is a link. */
function firstLink(path: string): string | undefined {
  const names = path.split("/").slice(1);
  return names
    .map((_, i) => `/${names.slice(0, i + 1).join("/")}`)
    .find((part) => tryTo(() => lstatSync(part).isSymbolicLink()) === true);
}

/**
 * Whether an event can be about the configuration. In a directory that it shares with others, or above it, most of what
 * happens is not; nor are the generations of a ConfigMap, which come and go around the swap.
 */
function isRelevant(path: string, directory: string, name: string): boolean {
  // The directory's own name: it was moved or removed.
  if (directory === path || name === SWAPPED || name === basename(directory)) return true;
  const isOnTheWay = path === join(directory, name) || path.startsWith(`${join(directory, name)}/`);
  // Where the file really lies, it may have another name.
  return isOnTheWay || !path.startsWith(`${directory}/`);
}

function isDirectory(path: string): boolean {
  return tryTo(() => statSync(path).isDirectory()) ?? false;
}

function identityOf(path: string): string | undefined {
  return tryTo(() => {
    // A file system hands out a freed inode's number again, so the time counts, too.
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  });
}

/** What would be different if the configuration were. */
function stateOf(path: string): string {
  const describe = (one: string) => {
    try {
      const { ino, size, mtimeNs, ctimeNs } = statSync(one, { bigint: true });
      return [one, ino, size, mtimeNs, ctimeNs].join(" ");
    } catch (error) {
      return `${one} ${(error as NodeJS.ErrnoException).code}`;
    }
  };
  const names = tryTo(() => (isDirectory(path) ? readdirSync(path) : [])) ?? [];
  return [path, ...names.map((name) => join(path, name))].map(describe).join("\n");
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function tryTo<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
