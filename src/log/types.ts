/** Types that the parts of the logger share. */

/** The values of the logging flags. */
export interface LogSettings {
  readonly format: "text" | "json";
  /** `--v`. */
  readonly verbosity: number;
  /** `--vmodule`. */
  readonly modules: readonly ModuleLevel[];
  readonly toStderr: boolean;
  readonly alsoToStderr: boolean;
  /** Numbers of severities, but any number is allowed. */
  readonly stderrThreshold: number;
  readonly alsoToStderrThreshold: number;
  /** `--legacy_stderr_threshold_behavior`. */
  readonly ignoreThreshold: boolean;
  /** `--log_dir`; empty: the temporary directory. */
  readonly directory: string;
  /** `--log_file`; wins over the directory. */
  readonly file: string;
  readonly maxFileBytes: number;
  readonly skipHeaders: boolean;
  readonly skipFileHeaders: boolean;
  readonly addDirectory: boolean;
  readonly oneOutput: boolean;
}

/** One item of `--vmodule`: a file name or glob, without extension, and its level. */
export interface ModuleLevel {
  readonly pattern: string;
  readonly level: number;
}

/** A line's subject, for programs that read JSON lines: each is a field there. Lines of text have none. */
export interface LogFields {
  /** The families that are programmed together, as `status` names them: `IPv4`, `IPv6`, `IPv4 and IPv6`. */
  readonly family?: string;
  readonly backend?: string;
  /** Of a difference `missing`, `extra` or `changed`; of a failure its kind, as `sync_failures_total` counts it. */
  readonly kind?: string;
  /** The process that has changed rules, and its id on the host. */
  readonly process?: string;
  readonly pid?: number;
  /** The digest of the configuration that the line is about. */
  readonly config?: string;
}

/** klog's names of severities, by number. */
export const SEVERITIES = ["INFO", "WARNING", "ERROR", "FATAL"];

/** Their numbers, as thresholds count them. */
export type SeverityNumber = 0 | 1 | 2 | 3;

/** A file that takes lines. */
export interface LogFile {
  /** Bytes that it held when it was opened. */
  readonly size: number;
  write(text: string): void;
  close(): void;
}

/** The effects that the logger needs. */
export interface LogWorld {
  /** Milliseconds since 1970; a fraction is printed as microseconds. */
  now(): number;
  readonly pid: number;
  /** Never throws: the agent works on without a reader of stderr. */
  writeStderr(text: string): void;
  /** Throws Node's errors. */
  openFile(path: string, mode: "append" | "truncate"): LogFile;
  /** Makes or replaces a symbolic link; ignores failures. */
  link(target: string, path: string): void;
  /** Called only when a file is opened. */
  place(): LogPlace;
}

/** The origin in log files' names and headers. */
export interface LogPlace {
  readonly program: string;
  readonly host: string;
  readonly user: string;
  readonly temporary: string;
  readonly build: string;
}
