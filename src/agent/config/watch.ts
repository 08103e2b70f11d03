/**
 * Reports when the configuration may have changed. We watch directories, never the file: a ConfigMap volume shows it
 * through a link into a directory of one generation, and a watch on the file goes silent with the first swap.
 *
 * We watch the directory of the configuration (or, while that does not exist, the nearest one above), its parent, in which it may
 * be replaced, and the directories of the links on the way and of the file itself. Where inotify's limits are exhausted, we poll
 * the file's state instead.
 */
import { type FSWatcher, lstatSync, readdirSync, readlinkSync, statSync, watch } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

export interface ConfigWatch {
  /** Checks that we still watch the right directories, in case an event was lost. */
  readonly verify: () => void;
  readonly close: () => void;
}

export interface WatchWorld {
  readonly changed: () => void;
  /** Takes lines for the operator: one for each change of the way. */
  readonly say: (line: string) => void;
  readonly watch?: (directory: string, listener: (event: string, name: string | null) => void) => FSWatcher;
}

/** A swap of this link is a complete change (AtomicWriter of k8s.io/kubernetes/pkg/volume/util); any other event may be half of one. */
const SWAPPED = "..data";

/** We read a file that is written in place after it was quiet for the first time, and after the second one at the latest. */
const QUIET_MS = 10;
const QUIET_MAX_MS = 100;

const POLL_MS = 1_000;
/** The number of polls after which we try to watch again. */
const POLLS = 60;

/** Watches the configuration at a path, a file or a directory, until `close`. */
export function watchConfig(given: string, world: WatchWorld): ConfigWatch {
  const path = resolve(given);
  const quiet = createQuiet(world.changed);
  let closed = false;

  const watches = createWatches(world.watch ?? watch, {
    event(directory, name) {
      if (name !== null && !isRelevant(path, directory, name)) return;
      // Its own name: it was moved or removed, so the watch may be on a directory without a path.
      if (name === basename(directory)) watches.forget(directory);
      if (name === SWAPPED) world.changed();
      else quiet.touch();
      verify();
    },
    lost() {
      quiet.touch();
      setImmediate(verify);
    },
  });

  const verify = () => {
    if (closed) return;
    const wanted = directoriesOf(path);
    watches.keep(wanted);
    for (const [directory, identity] of wanted) {
      if (watches.has(directory, identity)) continue;
      try {
        watches.attend(directory, identity);
      } catch (error) {
        if (isGone(error)) continue;
        watches.keep(NONE);
        polling.begin(error as Error);
        return;
      }
      // Changes before the watch began raised no event.
      quiet.touch();
    }
    polling.end();
  };

  const polling = createPolling(path, world, quiet.touch, verify);
  verify();
  return {
    verify: () => {
      if (!polling.isOn()) verify();
    },
    close: () => {
      closed = true;
      polling.end();
      quiet.close();
      watches.keep(NONE);
    },
  };
}

/** Directories, by the identity of what is at their path. */
type Directories = ReadonlyMap<string, string>;
const NONE: Directories = new Map();

interface Watches {
  readonly has: (directory: string, identity: string) => boolean;
  /** Watches a directory, instead of what was at its path before. Throws if it cannot be watched. */
  readonly attend: (directory: string, identity: string) => void;
  readonly forget: (directory: string) => void;
  /** Forgets all others. */
  readonly keep: (wanted: Directories) => void;
}

/** `lost`: a watch has failed, such as by the end of its directory. */
function createWatches(
  open: NonNullable<WatchWorld["watch"]>,
  { event, lost }: { event: (directory: string, name: string | null) => void; lost: () => void },
): Watches {
  const watched = new Map<string, { readonly watcher: FSWatcher; readonly identity: string }>();
  const forget = (directory: string) => {
    watched.get(directory)?.watcher.close();
    watched.delete(directory);
  };
  return {
    has: (directory, identity) => watched.get(directory)?.identity === identity,
    attend(directory, identity) {
      forget(directory);
      const watcher = open(directory, (_event, name) => event(directory, name));
      watched.set(directory, { watcher, identity });
      watcher.on("error", () => {
        forget(directory);
        lost();
      });
      watcher.unref();
    },
    forget,
    keep(wanted) {
      for (const directory of watched.keys()) if (!wanted.has(directory)) forget(directory);
    },
  };
}

interface Polling {
  /** Because of this error; it says so, unless it polls already. */
  readonly begin: (error: Error) => void;
  readonly end: () => void;
  readonly isOn: () => boolean;
}

/** Checks the file's state every second, and tries to watch again every minute. */
function createPolling(
  path: string,
  { changed, say }: WatchWorld,
  mayHaveChanged: () => void,
  tryAgain: () => void,
): Polling {
  let timer: NodeJS.Timeout | undefined;
  return {
    begin(error) {
      if (timer !== undefined) return;
      const remedy = /EMFILE|ENOSPC/.test(error.message)
        ? " (raise fs.inotify.max_user_instances and max_user_watches on the node)"
        : "";
      say(
        `cannot watch the directory of ${path}: ${error.message}${remedy}: polling it every ${POLL_MS / 1000} s instead`,
      );
      // Changes until now raised no event.
      mayHaveChanged();
      let polls = 0;
      let state = stateOf(path);
      timer = setInterval(() => {
        const now = stateOf(path);
        if (now !== state) changed();
        state = now;
        if (++polls % POLLS === 0) tryAgain();
      }, POLL_MS);
      timer.unref();
    },
    end() {
      clearInterval(timer);
      timer = undefined;
    },
    isOn: () => timer !== undefined,
  };
}

/** Fires after a while without a touch, or at the latest some time after the first one. */
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

/** The directories to watch, with their identities. */
function directoriesOf(path: string): Directories {
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
 * The directories of the links on the way to the file, and of the file itself: each link may change. Not within a ConfigMap's
 * generations, which never change.
 */
function directoriesOfLinks(path: string): string[] {
  const found = new Set<string>();
  let rest = path;
  for (let links = 0; links < LINKS_AT_MOST; links++) {
    const link = firstLink(rest);
    // It may be gone by now: then its removal raises an event.
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
 * Whether an event can be about the configuration. In a directory that it shares with other files, or above it, most events
 * are not; nor are the generations of a ConfigMap, which come and go around the swap.
 */
function isRelevant(path: string, directory: string, name: string): boolean {
  // The directory's own name: it was moved or removed.
  if (directory === path || name === SWAPPED || name === basename(directory)) return true;
  const isOnTheWay = path === join(directory, name) || path.startsWith(`${join(directory, name)}/`);
  // In its real directory, the file may have a different name.
  return isOnTheWay || !path.startsWith(`${directory}/`);
}

function isDirectory(path: string): boolean {
  return tryTo(() => statSync(path).isDirectory()) ?? false;
}

function identityOf(path: string): string | undefined {
  return tryTo(() => {
    // A file system reuses the numbers of freed inodes, so the time counts as well.
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  });
}

/** A text that changes with the configuration. */
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

function tryTo<T>(task: () => T): T | undefined {
  try {
    return task();
  } catch {
    return undefined;
  }
}
