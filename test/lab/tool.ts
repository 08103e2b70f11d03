/** Which tools this machine has. */
import { findTool } from "./network/lab.ts";

/** Whether a tool is in PATH. */
export function isInstalled(tool: string): boolean {
  try {
    return findTool(tool) !== "";
  } catch {
    return false;
  }
}

/** What builds kustomize's overlays: the command line in front of the directory; undefined if there is none. */
export function kustomizeTool(): readonly string[] | undefined {
  return [
    ["kubectl", "kustomize"],
    ["kustomize", "build"],
  ].find(([tool = ""]) => isInstalled(tool));
}
