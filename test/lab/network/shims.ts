/** Stand-ins for the iptables tools that note each call before the real tool, or something else, takes over. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, type Lab } from "./lab.ts";

export interface Shims {
  /** For the agent's environment: the stand-ins come before everything else in PATH. */
  readonly env: { readonly PATH: string };
  /** The calls so far, as `iptables-nft -w 5 -S ...`. */
  readonly calls: () => readonly string[];
  /** From now on every tool does this instead; a line of shell. */
  readonly replace: (action: string) => void;
}

const TOOLS = ["iptables", "ip6tables"].flatMap((base) =>
  ["", "-nft", "-legacy"].flatMap((variant) => [`${base}${variant}`, `${base}${variant}-restore`]),
);

/** Stand-ins that call the real tools. */
export function createShims(lab: Lab): Shims {
  const directory = join(lab.directory, "shims");
  const log = join(lab.directory, "calls");
  mkdirSync(directory);
  for (const tool of TOOLS) writeShim(directory, tool, log, `exec ${findTool(tool)} "$@"`);
  const { PATH = "" } = process.env;
  return {
    env: { PATH: `${directory}:${PATH}` },
    calls: () => (existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : []),
    replace: (action) => {
      for (const tool of TOOLS) writeShim(directory, tool, log, action);
    },
  };
}

/** A script that is being run cannot be written, and must not be seen half written: it is swapped in. */
function writeShim(directory: string, tool: string, log: string, action: string): void {
  const path = join(directory, tool);
  writeFileSync(`${path}.new`, `#!/bin/sh\necho "${tool} $*" >> ${log}\n${action}\n`, { mode: 0o755 });
  renameSync(`${path}.new`, path);
}
