/**
 * The format of a log line: klog's text (klog's `FormatHeader`) or the JSON
 * of Kubernetes' component-base (zapr), and the sources that `--vmodule` selects.
 * Pure but for a cache.
 *
 * klog puts `file.go:123` in its header. Here a logger has a source, and its
 * line number is always 0: finding the true one would cost a stack trace for
 * every line, and in the bundle it would be a line of the bundle. klog itself
 * prints 0 for "not a real line number", and every parser of its header reads it.
 */

import { basename } from "node:path";
import { printable, printableLine } from "../text/printable.ts";
import {
  type LogFields,
  type LogSettings,
  type ModuleLevel,
  SEVERITIES,
  type SeverityNumber,
} from "./types.ts";

const LETTERS = "IWEF";
const ERROR = 2;

/** One message to be logged. */
export interface LogRecord {
  readonly severity: SeverityNumber;
  readonly message: string;
  /** Of info lines; only JSON shows it. */
  readonly level: number;
  readonly cause?: unknown;
  /** Only JSON shows them. */
  readonly fields?: LogFields;
}

/** Turns a record into its line, the newline included. */
export type LineRenderer = (record: LogRecord, now: number) => string;

/** `mmdd hh:mm:ss` of local time, remembered for as long as the second lasts. */
export function createStamp(): (now: number) => string {
  let second = Number.NaN;
  let text = "";
  return (now) => {
    if (Math.floor(now / 1000) !== second) {
      second = Math.floor(now / 1000);
      const date = new Date(now);
      text = `${two(date.getMonth() + 1)}${two(date.getDate())} ${clockTime(date)}`;
    }
    return text;
  };
}

/** `hh:mm:ss` of local time. */
export function clockTime(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Two digits. */
export function two(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}

/** The renderer of one source, such as `agent/reconcile.ts`. */
export function createLineRenderer(
  settings: LogSettings,
  source: string,
  pid: number,
  stamp: (now: number) => string,
): LineRenderer {
  if (settings.format === "json") return (record, now) => renderJson(record, `${source}:0`, now);
  if (settings.skipHeaders) return ({ message }) => ended(message);
  const place = settings.addDirectory ? source : basename(source);
  const tail = ` ${String(pid).padStart(7)} ${place}:0] `;
  return ({ severity, message }, now) =>
    LETTERS[severity] + stamp(now) + microseconds(now) + tail + ended(message);
}

function microseconds(now: number): string {
  const fraction = Math.min(999_999, Math.round((now % 1000) * 1000));
  return `.${String(fraction).padStart(6, "0")}`;
}

/** One line, ended with a newline. klog writes a message as it is; ours contain text from outside, which could forge lines. */
function ended(message: string): string {
  const line = printableLine(message);
  return line.endsWith("\n") ? line : `${line}\n`;
}

/** Errors have `err` and no `v`, as zapr writes them. It has no other levels, so the severity has a field of its own. */
function renderJson(record: LogRecord, caller: string, now: number): string {
  const { message, level, cause, fields } = record;
  const msg = message.endsWith("\n") ? message.slice(0, -1) : message;
  const severity = SEVERITIES[record.severity];
  const line =
    record.severity < ERROR
      ? { ts: now, severity, caller, v: level, msg }
      : { ts: now, severity, caller, msg, err: cause === undefined ? msg : causeText(cause) };
  return `${printable(JSON.stringify({ ...line, ...fields }))}\n`;
}

function causeText(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** The highest level enabled for a source: `--v`, or the first pattern of `--vmodule` that names it. */
export function verbosityOf(source: string, verbosity: number, modules: readonly ModuleLevel[]): number {
  const name = basename(source).replace(/\.[^.]*$/, "");
  const named = modules.find(({ pattern }) => matchesModule(pattern, name));
  return Math.max(verbosity, named?.level ?? 0);
}

function matchesModule(pattern: string, name: string): boolean {
  if (!/[\\*?[\]]/.test(pattern)) return pattern === name;
  const parts = pattern.matchAll(/\\(?<quoted>.)|\[(?<not>\^?)(?<set>(?:\\.|[^\]\\])+)\]|./gs);
  try {
    return new RegExp(`^${Array.from(parts, globPart).join("")}$`, "s").test(name);
  } catch {
    return false; // filepath.Match: a bad pattern matches nothing
  }
}

/** A piece of Go's filepath.Match syntax as a regular expression. */
function globPart([part, quoted, not, set]: RegExpExecArray): string {
  if (quoted !== undefined) return literal(quoted);
  if (set !== undefined) return `[${not}${set.replaceAll("[", "\\[")}]`;
  if (part === "*") return "[^/]*";
  if (part === "?") return "[^/]";
  return part === "[" ? "(?!)" : literal(part);
}

function literal(char: string): string {
  return /\w/.test(char) ? char : `\\${char}`;
}
