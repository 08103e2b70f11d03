/** The images that are installed, and upgraded to: made by the same make target as a release's. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../lab/command.ts";
import type { Cluster } from "./cluster.ts";

/** Full names, as a manifest has them. */
export interface Images {
  readonly old: string;
  readonly next: string;
  /** Until then only `old` is there. */
  readonly nextIsThere: Promise<void>;
}

/**
 * Builds this tree as the version to come and, as the version to come from, `E2E_FROM`, a commit, or else this tree under
 * another version; both are loaded into the cluster, the one to come while the test goes on.
 */
export async function provideImages(cluster: Cluster): Promise<Images> {
  const { E2E_FROM: from = "" } = process.env;
  await withDirectory(async (directory) => {
    const tree = from === "" ? "." : await checkOut(from, join(directory, "tree"));
    await provide(cluster, tree, OLD, directory);
  });
  const nextIsThere = provideImage(cluster).then(() => {});
  // It is awaited later, or never if a test before has failed.
  nextIsThere.catch(() => {});
  return { old: nameOf(OLD), next: nameOf(NEXT), nextIsThere };
}

/** Only this tree; returns the image's full name. */
export async function provideImage(cluster: Cluster): Promise<string> {
  await withDirectory((directory) => provide(cluster, ".", NEXT, directory));
  return nameOf(NEXT);
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-agent-e2e-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const OLD = "v0.0.0-e2e.1";
const NEXT = "v0.0.0-e2e.2";

function nameOf(version: string): string {
  const { REGISTRY = "localhost" } = process.env;
  return `${REGISTRY}/ip-masq-agent:${version}`;
}

/** Builds a tree as this version, and loads it by way of an archive. */
async function provide(cluster: Cluster, tree: string, version: string, directory: string): Promise<void> {
  const env = { ...process.env, VERSION: version };
  const archive = join(directory, "image.tar");
  await command("make", ["--silent", "--no-print-directory", "-C", tree, "container"], { env });
  await command("scripts/image.sh", ["save", archive], { env });
  await cluster.loadImage(archive);
}

/** The files of a commit, with its history, which the version and the labels are read from. */
async function checkOut(commit: string, directory: string): Promise<string> {
  await command("git", ["clone", "--quiet", "--shared", ".", directory]);
  await command("git", ["-C", directory, "checkout", "--quiet", commit]);
  return directory;
}
