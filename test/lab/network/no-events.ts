/** An agent whose kernel has no memory for the filter of events. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

const NO_EVENTS = `"use strict";
const { dlopen } = process;
process.dlopen = (module, ...rest) => {
  dlopen.call(process, module, ...rest);
  module.exports.join = () => -12;
};
`;

/** The environment that makes it so. */
export function withoutEvents({ directory }: Pick<Lab, "directory">): NodeJS.ProcessEnv {
  const preload = join(directory, "no-events.cjs");
  writeFileSync(preload, NO_EVENTS);
  return { NODE_OPTIONS: `--require=${preload}` };
}
