/**
 * Says when the configuration may have changed. Directories are watched, never the file: a ConfigMap volume shows it
 * through a link into a directory of one generation, and a watch on the file goes silent with the first swap.
 *
 * Watched are the directory of the configuration (or, while there is none, the nearest one above), the one above it,
 * in which it may be replaced, and the one in which the file really lies. Where inotify's limits are exhausted, the
 * file's state is polled instead.
 */
import { type FSWatcher, readdirSync, realpathSync, statSync, watch } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

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
export function watchConfig(relative: string, world: WatchWorld): ConfigWatch {
  const path = resolve(relative);
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
  for (const one of [directory, dirname(directory), realDirectory(path)]) {
    const identity = one === undefined ? undefined : identityOf(one);
    if (one !== undefined && identity !== undefined) found.set(one, identity);
  }
  return found;
}

/** The directory, or the nearest one above it that exists. */
function nearest(directory: string): string {
  for (let at = directory; ; at = dirname(at)) if (isDirectory(at) || at === dirname(at)) return at;
}

/** Where a link leads; not into a ConfigMap's generations, which nobody changes. */
function realDirectory(path: string): string | undefined {
  try {
    const real = dirname(realpathSync(path));
    return basename(real).startsWith("..") ? undefined : real;
  } catch {
    return undefined;
  }
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
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  });
}

/** What would be different if the configuration were. */
function stateOf(path: string): string {
  const describe = (one: string) => {
    const { ino, size, mtimeNs, ctimeNs } = statSync(one, { bigint: true });
    return [one, ino, size, mtimeNs, ctimeNs].join(" ");
  };
  try {
    const names = isDirectory(path) ? readdirSync(path).map((name) => join(path, name)) : [];
    return [path, ...names].map(describe).join("\n");
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
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
