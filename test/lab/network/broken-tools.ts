/** Tools that do something else than they should, in front of the real ones. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** A directory for PATH in which a tool is this line of shell. */
export function toolThat(lab: Pick<Lab, "directory">, tool: string, action: string): string {
  const directory = join(lab.directory, `broken-${tool}-${action.replace(/\W+/g, "-").slice(0, 40)}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, tool), `#!/bin/sh\n${action}\n`, { mode: 0o755 });
  return directory;
}
