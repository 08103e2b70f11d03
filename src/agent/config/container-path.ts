/**
 * Opens a path in the file system of another process, /proc/PID/root/PATH or /proc/PID/cwd/PATH. The kernel would resolve the links
 * there in our own file system: anyone who may write in a container could make us read any file of the node. So we follow each
 * link ourselves, from the process' own root, which `..` does not leave either. A ConfigMap volume needs that: its files are links.
 *
 * We open each name relative to its directory, with O_PATH and without following it: so no process can exchange it between check
 * and use, and we never open a device or FIFO.
 */
import { closeSync, constants, fstatSync, openSync, readlinkSync, statfsSync } from "node:fs";

/** `O_PATH` of asm-generic/fcntl.h, which Node does not name; x64 and arm64 have the same. */
const O_PATH = 0o10000000;
const PROC_SUPER_MAGIC = 0x9fa0;
/** The kernel's own limit. */
const LINKS_AT_MOST = 40;

/** A path of another process: its directory in proc, the rest, and the directory that the rest starts from. */
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

/** Opens a file or directory to read it; throws the errors of the system. Opens paths that lead to no other process as they are. */
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

/** Also true for a process that has ended: its files are gone, which is different from a missing file. */
function isProc(process: string): boolean {
  try {
    return statfsSync(process).type === PROC_SUPER_MAGIC;
  } catch {
    return /(?:^|\/)proc\/\d+$/.test(process);
  }
}

/** Opens the target of the path with O_PATH. */
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

/** A missing root means that the process has ended; a missing file would mean the defaults. */
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
