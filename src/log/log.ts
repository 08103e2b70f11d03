/**
 * The logger: klog's lines, destinations and flags, so that programs that read the Go
 * program's log read ours, or JSON. Everything that touches the world is an
 * argument, `LogWorld` (`world.ts` has the real one).
 *
 * Where a line goes (klog's `loggingT.output`):
 * - `--logtostderr` (the default): to stderr, if `--legacy_stderr_threshold_behavior`
 *   (the default) or the severity reaches `--stderrthreshold`;
 * - else to files, and to stderr as well from `--alsologtostderrthreshold` on with
 *   `--alsologtostderr`, from `--stderrthreshold` on without.
 */

import { createLogFiles, type LogFiles } from "./file.ts";
import { createLineRenderer, createStamp, type LogRecord, verbosityOf } from "./line.ts";
import type { LogFields, LogSettings, LogWorld, SeverityNumber } from "./types.ts";
import { processWorld } from "./world.ts";

const NUMBERS = { info: 0, warning: 1, error: 2, fatal: 3 } as const;

/** Fields of a line: JSON leaves out undefined ones. */
type LogFieldsOrNone = { readonly [Name in keyof LogFields]: LogFields[Name] | undefined };

/** Writes lines for one source; all loggers made from one another share their destinations. */
export interface Logger {
  /** `level` is the line's verbosity; the caller has checked `v(level)`. */
  info(message: string, level?: number): void;
  warning(message: string): void;
  /** The message is complete; JSON also has the cause's text in `err`. */
  error(message: string, cause?: unknown): void;
  /** Only writes the F line; the caller ends the process. */
  fatal(message: string, cause?: unknown): void;
  /** Whether the settings include lines of this verbosity from this source. */
  v(level: number): boolean;
  /** A logger for another source, such as `agent/reconcile.ts`. */
  named(source: string): Logger;
  /** A logger whose lines have these fields as well; an undefined value is left out. */
  with(fields: LogFieldsOrNone): Logger;
}

/**
 * A logger, for `source` at first. Nothing is opened before the first line, and
 * that line throws a LogFileError if the log cannot be written at all.
 */
export function createLogger(
  settings: LogSettings,
  source: string,
  world: LogWorld = processWorld(),
): Logger {
  const files = settings.toStderr ? undefined : createLogFiles(settings, world);
  const stamp = createStamp();
  return named(source, {});

  function named(source: string, fields: LogFields): Logger {
    const render = createLineRenderer(settings, source, world.pid, stamp);
    const verbosity = verbosityOf(source, settings.verbosity, settings.modules);
    const write = (record: LogRecord): void => {
      const now = world.now();
      deliver(settings, world, files, record.severity, render(record, now), now);
    };
    const log = (severity: SeverityNumber, message: string, cause?: unknown): void =>
      write({ severity, message, level: 0, cause, fields });
    return {
      info: (message, level = 0) => write({ severity: NUMBERS.info, message, level, fields }),
      warning: (message) => log(NUMBERS.warning, message),
      error: (message, cause) => log(NUMBERS.error, message, cause),
      fatal: (message, cause) => log(NUMBERS.fatal, message, cause),
      v: (level) => level <= verbosity,
      named: (other) => named(other, fields),
      with: (more) => named(source, { ...fields, ...more } as LogFields),
    };
  }
}

function deliver(
  settings: LogSettings,
  world: LogWorld,
  files: LogFiles | undefined,
  severity: SeverityNumber,
  line: string,
  now: number,
): void {
  const shown = wantedOnStderr(settings, severity);
  if (shown) world.writeStderr(line);
  if (files === undefined) return;
  let taken = false;
  try {
    taken = files.write(severity, line, now);
  } finally {
    // As in klog: the message must appear somewhere.
    if (!taken && !shown) world.writeStderr(line);
  }
}

/** klog's choice, see the head of this file. */
function wantedOnStderr(settings: LogSettings, severity: SeverityNumber): boolean {
  if (settings.toStderr) return settings.ignoreThreshold || severity >= settings.stderrThreshold;
  const threshold = settings.alsoToStderr ? settings.alsoToStderrThreshold : settings.stderrThreshold;
  return severity >= threshold;
}
