/**
 * klog's log files (klog_file.go): one per severity in `--log_dir`, or a single
 * `--log_file`. Opened at the first line, as in klog, and written
 * without a buffer: the lines are few, and none is lost by a crash.
 */

import { join } from "node:path";
import { clockTime, two } from "./line.ts";
import type { LogFile, LogSettings, LogWorld, SeverityNumber } from "./types.ts";

const TAGS = ["INFO", "WARNING", "ERROR", "FATAL"] as const;

/** The log cannot be written at all; klog ends the program with exit code 2. */
export class LogFileError extends Error {
  override readonly name = "LogFileError";
}

/** The files of a logger. */
export interface LogFiles {
  /** False if writing the line to a file failed. Throws LogFileError if one cannot be created at first. */
  write(severity: SeverityNumber, line: string, now: number): boolean;
}

interface OpenFile {
  file: LogFile;
  bytes: number;
}

/** The files that the settings name; nothing is opened yet. */
export function createLogFiles(settings: LogSettings, world: LogWorld): LogFiles {
  const open: (OpenFile | undefined)[] = [];
  return {
    write(severity, line, now) {
      const highest = settings.file === "" ? severity : 0;
      // As klog: from the line's severity down to the first that exists.
      for (let at = highest; at >= 0 && open[at] === undefined; at--) {
        open[at] = create(settings, world, at, now, "append");
      }
      const lowest = settings.oneOutput ? highest : 0;
      let taken = true;
      for (let at = highest; at >= lowest; at--) taken = append(open[at], at, line, now) && taken;
      return taken;
    },
  };

  /**
   * A line that does not fit starts a new file. klog exits when a write fails; a full
   * disk is not a reason to end an agent, so here the line goes to stderr instead.
   */
  function append(entry: OpenFile | undefined, at: number, line: string, now: number): boolean {
    if (entry === undefined) return false;
    const bytes = Buffer.byteLength(line);
    try {
      if (entry.bytes + bytes >= settings.maxFileBytes) rotate(entry, at, now);
      entry.file.write(line);
      entry.bytes += bytes;
      return true;
    } catch {
      return false;
    }
  }

  function rotate(entry: OpenFile, at: number, now: number): void {
    const old = entry.file;
    // The new one first: if it cannot be opened, the old one remains.
    Object.assign(entry, create(settings, world, at, now, "truncate"));
    old.close();
  }
}

/** klog's `create` and `rotateFile`: the file, its symbolic link, its header. */
function create(
  settings: LogSettings,
  world: LogWorld,
  at: number,
  now: number,
  mode: "append" | "truncate",
): OpenFile {
  const file =
    settings.file === "" ? inDirectory(settings, world, at, now, mode) : single(settings, world, mode);
  const header = settings.skipFileHeaders || settings.format === "json" ? "" : renderFileHeader(world, now);
  try {
    if (header !== "") file.write(header);
  } catch {
    // A full disk: the lines' own writes fail next, and handle it.
  }
  return { file, bytes: file.size + Buffer.byteLength(header) };
}

function single(settings: LogSettings, world: LogWorld, mode: "append" | "truncate"): LogFile {
  try {
    return world.openFile(settings.file, mode);
  } catch (error) {
    throw new LogFileError(`log: unable to create log: ${openFailure(settings.file, error)}`, {
      cause: error,
    });
  }
}

/** `--log_dir`, or else the temporary directory, also if files cannot be created there. */
function inDirectory(
  settings: LogSettings,
  world: LogWorld,
  at: number,
  now: number,
  mode: "append" | "truncate",
): LogFile {
  const { program, host, user, temporary } = world.place();
  const tag = TAGS[at];
  const name = `${program}.${host}.${user}.log.${tag}.${compactTime(now)}.${world.pid}`;
  let failure = new LogFileError("log: no log dirs");
  for (const directory of settings.directory === "" ? [temporary] : [settings.directory, temporary]) {
    try {
      const file = world.openFile(join(directory, name), mode);
      world.link(name, join(directory, `${program}.${tag}`));
      return file;
    } catch (error) {
      const reason = openFailure(join(directory, name), error);
      failure = new LogFileError(`log: cannot create log: ${reason}`, { cause: error });
    }
  }
  throw failure;
}

/** `yyyymmdd-hhmmss` of local time. */
function compactTime(now: number): string {
  const date = new Date(now);
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `${day}-${clockTime(date).replaceAll(":", "")}`;
}

function renderFileHeader(world: LogWorld, now: number): string {
  const date = new Date(now);
  const day = `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())}`;
  const { host, build } = world.place();
  return `Log file created at: ${day} ${clockTime(date)}
Running on machine: ${host}
Binary: Built with ${build}
Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg
`;
}

/** Go's `open PATH: reason`, out of Node's `CODE: reason, open 'PATH'`. */
function openFailure(path: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const reason = /^E[A-Z]+: (.*?), /.exec(message)?.[1] ?? message;
  return `open ${path}: ${reason === "illegal operation on a directory" ? "is a directory" : reason}`;
}
