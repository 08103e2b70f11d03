/** The images that are installed, and upgraded to: made by the same make target as a release's. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

/** Full names, as a manifest has them. */
export interface Images {
  readonly old: string;
  readonly next: string;
}

/**
 * Builds this tree as the version to come and, as the version to come from, `E2E_FROM`, a commit, or else this tree under
 * another version; both are loaded into the cluster.
 */
export async function provideImages(cluster: Cluster): Promise<Images> {
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-agent-e2e-"));
  try {
    const { E2E_FROM: from = "" } = process.env;
    const tree = from === "" ? "." : checkOut(from, join(directory, "tree"));
    const archive = join(directory, "image.tar");
    return {
      old: await provide(cluster, tree, "v0.0.0-e2e.1", archive),
      next: await provide(cluster, ".", "v0.0.0-e2e.2", archive),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Builds a tree as this version, and loads it by way of an archive; returns its full name. */
async function provide(cluster: Cluster, tree: string, version: string, archive: string): Promise<string> {
  const env = { VERSION: version };
  sh(tree, env, "make", "--silent", "--no-print-directory", "container");
  sh(".", env, "scripts/image.sh", "save", archive);
  await cluster.loadImage(archive);
  rmSync(archive);
  const { REGISTRY = "localhost" } = process.env;
  return `${REGISTRY}/ip-masq-agent:${version}`;
}

/** The files of a commit, with its history, which the version and the labels are read from. */
function checkOut(commit: string, directory: string): string {
  sh(".", {}, "git", "clone", "--quiet", "--shared", ".", directory);
  sh(directory, {}, "git", "checkout", "--quiet", commit);
  return directory;
}

function sh(cwd: string, env: NodeJS.ProcessEnv, file: string, ...args: readonly string[]): void {
  execFileSync(file, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
}
