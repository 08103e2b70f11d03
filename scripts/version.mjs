// The version: $VERSION, or the newest tag and the distance from it; without git, the package's version.
// Run as a program it prints it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

export function version() {
  if (process.env.VERSION) return process.env.VERSION;
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  try {
    const git = ["describe", "--tags", "--always", "--dirty", "--match", "v*"];
    const text = execFileSync("git", git, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return text.startsWith("v") ? text : `v${version}-${text}`;
  } catch {
    return `v${version}`;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) console.log(version());
