/** A logger whose lines stay here, without headers and times: `E Error ...`. */
import { createLogger, type Logger } from "../../src/log/log.ts";
import type { LogSettings } from "../../src/log/types.ts";

/** The flags' defaults, without what differs from run to run. */
export const SETTINGS: LogSettings = {
  format: "text",
  verbosity: 0,
  modules: [],
  toStderr: true,
  alsoToStderr: false,
  stderrThreshold: 2,
  alsoToStderrThreshold: 0,
  ignoreThreshold: true,
  directory: "",
  file: "",
  maxFileBytes: Number.POSITIVE_INFINITY,
  skipHeaders: false,
  skipFileHeaders: true,
  addDirectory: false,
  oneOutput: false,
};

/** `taken()` gives the lines since it was last asked; JSON comes as it is. */
export function recordedLog(
  verbosity = 0,
  format: LogSettings["format"] = "text",
): { readonly log: Logger; readonly taken: () => string[] } {
  const lines: string[] = [];
  const log = createLogger({ ...SETTINGS, verbosity, format }, "agent/x.ts", {
    now: () => 0,
    pid: 1,
    writeStderr: (text) => lines.push(text.trimEnd().replace(/^(.).*?\] /, "$1 ")),
    openFile: () => {
      throw new Error("no files here");
    },
    link: () => {},
    place: () => ({ program: "agent", host: "node", user: "root", temporary: "/tmp", build: "" }),
  });
  return { log, taken: () => lines.splice(0) };
}
