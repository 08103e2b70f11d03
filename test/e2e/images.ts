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
    const old = build(tree, "v0.0.0-e2e.1");
    const next = build(".", "v0.0.0-e2e.2");
    for (const [index, { version }] of [old, next].entries()) {
      const archive = join(directory, `${index}.tar`);
      sh(".", { VERSION: version }, "scripts/image.sh", "save", archive);
      await cluster.loadImage(archive);
      rmSync(archive);
    }
    return { old: old.image, next: next.image };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function build(tree: string, version: string): { readonly image: string; readonly version: string } {
  // The target's own variable would be an argument in every make within.
  sh(tree, { VERSION: version }, "make", "--silent", "--no-print-directory", "container");
  const { REGISTRY = "localhost" } = process.env;
  return { image: `${REGISTRY}/ip-masq-agent:${version}`, version };
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
