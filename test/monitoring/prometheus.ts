/** Whether Prometheus and its promtool are there, and promtool as a checker of files. */
import { describe } from "vitest";
import { attempt, type CommandResult } from "../lab/command.ts";
import { isInstalled } from "../lab/tool.ts";

/** Whether both are installed. */
export const FOUND = ["promtool", "prometheus"].every(isInstalled);
if (!FOUND)
  console.warn(
    "NOT TESTED: alerts and dashboard, since promtool is missing (Debian: apt-get install prometheus)",
  );

/** Tests that need promtool; without it they are skipped, loudly. */
export const describePrometheus = describe.skipIf(!FOUND);

/** Runs promtool on this machine. */
export function promtool(args: readonly string[], stdin = ""): Promise<CommandResult> {
  return attempt("promtool", args, { stdin });
}
