/**
 * The flags of k8s.io/klog/v2 (`klog.InitFlags`) with its own validation, and
 * the settings they make. Their help is klog's, so that people find what they
 * know. `--log_backtrace_at` is checked and otherwise without effect: it names a
 * line of the source, and a bundle has none.
 */

import { boolType, type FlagType, type Parsed, stringType, uintType } from "../go/flag-types.ts";
import { type FlagValues, flag } from "../go/flags.ts";
import { parseGoInt } from "../go/integer.ts";
import { goQuote } from "../go/quote.ts";
import { type LogSettings, type ModuleLevel, SEVERITIES } from "./types.ts";

const MODULE_SYNTAX = "syntax error: expect comma-separated list of filename=N";
const TRACE_SYNTAX = "syntax error: expect file.go:234";

/** klog's `Level`: any 32-bit number. */
const levelType: FlagType<number> = { name: "value", zero: "0", parse: int32, print: String };

/** klog's severities: a name in any case, or a number, even one that has no name. */
const severityType: FlagType<number> = {
  name: "value",
  zero: "0",
  parse(text) {
    const named = SEVERITIES.indexOf(text.toUpperCase());
    return named < 0 ? int32(text) : { ok: true, value: named };
  },
  print: String,
};

/** klog's `moduleSpec`: `file=2,gfs*=3`; printed without what has no effect. */
const moduleType: FlagType<readonly ModuleLevel[]> = {
  name: "value",
  zero: "",
  parse(text) {
    const modules: ModuleLevel[] = [];
    for (const item of text.split(",").filter((item) => item !== "")) {
      const parsed = moduleLevel(item);
      if (!parsed.ok) return parsed;
      if (parsed.value.level > 0) modules.push(parsed.value);
    }
    return { ok: true, value: modules };
  },
  print: (modules) => modules.map(({ pattern, level }) => `${pattern}=${level}`).join(),
};

function moduleLevel(item: string): Parsed<ModuleLevel> {
  const [pattern = "", number = "", ...more] = item.split("=");
  const level = parseGoInt(number, 10, 32);
  if (pattern === "" || more.length > 0 || !level.ok) return { ok: false, message: MODULE_SYNTAX };
  if (level.value < 0n) return { ok: false, message: "negative value for vmodule level" };
  return { ok: true, value: { pattern, level: Number(level.value) } };
}

/** klog's `traceLocation`, as it prints; unset is `:0`. */
const traceType: FlagType<string> = {
  name: "value",
  zero: ":0",
  parse(text) {
    if (text === "") return { ok: true, value: ":0" };
    const [file = "", number = "", ...more] = text.split(":");
    const line = parseGoInt(number, 10, 64);
    if (more.length > 0 || !file.includes(".") || !line.ok) return { ok: false, message: TRACE_SYNTAX };
    if (line.value <= 0n) return { ok: false, message: "negative or zero value for level" };
    return { ok: true, value: `${file}:${line.value}` };
  },
  print: String,
};

/** strconv.ParseInt(text, 10, 32) with its error as it prints. */
function int32(text: string): Parsed<number> {
  const parsed = parseGoInt(text, 10, 32);
  if (parsed.ok) return { ok: true, value: Number(parsed.value) };
  return { ok: false, message: `strconv.ParseInt: parsing ${goQuote(text)}: ${parsed.fault}` };
}

const FILES_ONLY = "(no effect when -logtostderr=true)";

/** klog's flags. */
export const klogFlags = {
  add_dir_header: flag(boolType, false, "If true, adds the file directory to the header of the log messages"),
  alsologtostderr: flag(boolType, false, `log to standard error as well as files ${FILES_ONLY}`),
  alsologtostderrthreshold: flag(
    severityType,
    0,
    `logs at or above this threshold go to stderr when -alsologtostderr=true ${FILES_ONLY}`,
  ),
  legacy_stderr_threshold_behavior: flag(
    boolType,
    true,
    "If true, stderrthreshold is ignored when logtostderr=true (legacy behavior). If false, stderrthreshold is honored even when logtostderr=true",
  ),
  log_backtrace_at: flag(
    traceType,
    ":0",
    "when logging hits line file:N, emit a stack trace (accepted, without effect)",
  ),
  log_dir: flag(stringType, "", `If non-empty, write log files in this directory ${FILES_ONLY}`),
  log_file: flag(stringType, "", `If non-empty, use this log file ${FILES_ONLY}`),
  log_file_max_size: flag(
    uintType,
    1800n,
    `Defines the maximum size a log file can grow to ${FILES_ONLY}. Unit is megabytes. If the value is 0, the maximum file size is unlimited.`,
  ),
  logtostderr: flag(boolType, true, "log to standard error instead of files"),
  one_output: flag(
    boolType,
    false,
    "If true, only write logs to their native severity level (vs also writing to each lower severity level; no effect when -logtostderr=true)",
  ),
  skip_headers: flag(boolType, false, "If true, avoid header prefixes in the log messages"),
  skip_log_headers: flag(boolType, false, `If true, avoid headers when opening log files ${FILES_ONLY}`),
  stderrthreshold: flag(
    severityType,
    2,
    "logs at or above this threshold go to stderr when writing to files and stderr (no effect when -logtostderr=true or -alsologtostderr=true unless -legacy_stderr_threshold_behavior=false)",
  ),
  v: flag(levelType, 0, "number for the log level verbosity"),
  vmodule: flag(moduleType, [], "comma-separated list of pattern=N settings for file-filtered logging"),
};

/** klog's MaxSize, which applies without `--log_file`. */
const DIRECTORY_FILE_MB = 1800;
const BYTES_PER_MB = 1024 * 1024;

/** The settings for the logger. */
export function logSettings(values: FlagValues<typeof klogFlags>, format: "text" | "json"): LogSettings {
  return {
    format,
    verbosity: values.v,
    modules: values.vmodule,
    toStderr: values.logtostderr,
    alsoToStderr: values.alsologtostderr,
    stderrThreshold: values.stderrthreshold,
    alsoToStderrThreshold: values.alsologtostderrthreshold,
    ignoreThreshold: values.legacy_stderr_threshold_behavior,
    directory: values.log_dir,
    file: values.log_file,
    maxFileBytes: maxFileBytes(values.log_file, values.log_file_max_size),
    skipHeaders: values.skip_headers,
    skipFileHeaders: values.skip_log_headers,
    addDirectory: values.add_dir_header,
    oneOutput: values.one_output,
  };
}

function maxFileBytes(file: string, megabytes: bigint): number {
  if (file === "") return DIRECTORY_FILE_MB * BYTES_PER_MB;
  return megabytes === 0n ? Number.POSITIVE_INFINITY : Number(megabytes) * BYTES_PER_MB;
}
