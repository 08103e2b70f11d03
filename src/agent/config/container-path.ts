/**
 * Opens a path among the files of another process, /proc/PID/root/PATH or /proc/PID/cwd/PATH. The kernel would follow the links
 * there among our own files: whoever may write in a container could have us read any file of the node. So each is followed by hand,
 * from the process' own root, which `..` does not leave either. A ConfigMap volume needs that: its files are links.
 *
 * Each name is opened by the directory before it, without following it, as what it is (O_PATH): nobody can exchange it between
 * a look and a use, and a device or FIFO is not opened at all.
 */
import { closeSync, constants, fstatSync, openSync, readlinkSync, statfsSync } from "node:fs";

/** `O_PATH` of asm-generic/fcntl.h, which Node does not name; x64 and arm64 have the same. */
const O_PATH = 0o10000000;
const PROC_SUPER_MAGIC = 0x9fa0;
/** As many as the kernel follows. */
const LINKS_AT_MOST = 40;

/** A path by another process: its directory in proc, the rest, and from where that counts. */
interface ForeignPath {
  readonly process: string;
  readonly from: string;
  readonly rest: string;
}

/** The path's parts, if it leads through another process' root or directory. */
function parseForeign(path: string): ForeignPath | undefined {
  const [, process, from, rest] = /^(\/(?:[^/]+\/)*\d+)\/(root|cwd)(\/.*)$/.exec(path) ?? [];
  if (process === undefined || from === undefined || rest === undefined) return undefined;
  return { process, from, rest };
}

/** Opens a file or directory to read it; throws what the system would. Paths that lead to no other process are opened as they are. */
export function openConfined(path: string): number {
  const foreign = parseForeign(path);
  if (foreign === undefined || !isProc(foreign.process))
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const found = walk(foreign, path);
  try {
    const stat = fstatSync(found);
    if (!stat.isFile() && !stat.isDirectory()) throw new Error("is neither a file nor a directory");
    return openSync(`/proc/self/fd/${found}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    closeSync(found);
  }
}

/** A process that has ended has no file, rather than none of that name. */
function isProc(process: string): boolean {
  try {
    return statfsSync(process).type === PROC_SUPER_MAGIC;
  } catch {
    return /(?:^|\/)proc\/\d+$/.test(process);
  }
}

/** What the path leads to, as O_PATH has it. */
function walk({ process, from, rest }: ForeignPath, path: string): number {
  const directories = [openRoot(process)];
  const top = () => directories.at(-1) as number;
  try {
    const names = namesOf(from === "cwd" ? `${directoryOf(process)}/${rest}` : rest);
    for (let links = 0; names.length > 0; ) {
      const name = names.shift() as string;
      if (name === "..") {
        if (directories.length > 1) closeSync(directories.pop() as number);
        continue;
      }
      directories.push(openSync(`/proc/self/fd/${top()}/${name}`, O_PATH | constants.O_NOFOLLOW));
      if (!fstatSync(top()).isSymbolicLink()) continue;
      closeSync(directories.pop() as number);
      if (++links > LINKS_AT_MOST) throw systemError("ELOOP", "too many symbolic links encountered", path);
      const target = readlinkSync(`/proc/self/fd/${top()}/${name}`);
      if (target.startsWith("/")) for (const fd of directories.splice(1)) closeSync(fd);
      names.unshift(...namesOf(target));
    }
    return directories.pop() as number;
  } finally {
    for (const fd of directories) closeSync(fd);
  }
}

/** Nothing there is no missing file, which would mean the defaults: the process has ended. */
function openRoot(process: string): number {
  try {
    return openSync(`${process}/root`, O_PATH | constants.O_DIRECTORY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error("the process has ended");
  }
}

/** The process' directory below its root. */
function directoryOf(process: string): string {
  const root = readlinkSync(`${process}/root`);
  const directory = readlinkSync(`${process}/cwd`);
  return root !== "/" && `${directory}/`.startsWith(`${root}/`) ? directory.slice(root.length) : directory;
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function systemError(code: string, message: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${message}, open '${path}'`), { code, syscall: "open", path });
}
