/** A chart as a release publishes it, with the image as its default, in a registry on the loopback: for the README's line of Helm. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startRegistry } from "../image/registry.ts";
import { command } from "../lab/command.ts";
import { copyForAnyCluster } from "./chart.ts";
import type { Cluster } from "./cluster.ts";

/** Follows a line `helm install NAME CHART FLAG...` with the loopback's registry in place of `$REGISTRY`. */
export async function followHelmLine(
  line: string,
  helm: NonNullable<Cluster["helm"]>,
  image: string,
): Promise<void> {
  const chart = copyForAnyCluster();
  const directory = dirname(chart);
  const registry = await startRegistry();
  try {
    nameImage(join(chart, "values.yaml"), image);
    // The cluster's Helm may be in a network of its own, from which this registry cannot be reached.
    const here = machineHelm();
    await command(here, ["package", chart, "--destination", directory]);
    await command(here, ["push", archiveIn(directory), `oci://${registry.address}/charts`, "--plain-http"]);
    rmSync(archiveIn(directory));

    const [, verb = "", name = "", from = "", ...flags] = line
      .replace("$REGISTRY", registry.address)
      .split(/\s+/);
    await command(here, ["pull", from, ...flags, "--plain-http", "--destination", directory]);
    await helm(verb, name, archiveIn(directory), ...flags);
  } finally {
    registry.close();
    rmSync(directory, { recursive: true });
  }
}

/** Why the line cannot be followed here, if it cannot. */
export function helmLineNeeds(cluster: Cluster): string | undefined {
  if (cluster.helm === undefined) return "HELM names no command line";
  if (spawnSync("docker-registry", ["--version"]).error !== undefined) return "docker-registry is missing";
  return undefined;
}

function machineHelm(): string {
  const { status, stdout, stderr } = spawnSync("sh", ["scripts/helm.sh"], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

function nameImage(values: string, image: string): void {
  const [repository = "", tag = ""] = image.split(/:(?=[^:/]*$)/);
  const text = readFileSync(values, "utf8");
  const named = text
    .replace(/^ {2}repository: ""$/m, `  repository: ${repository}`)
    .replace(/^ {2}tag: ""$/m, `  tag: ${tag}`);
  writeFileSync(values, named);
}

function archiveIn(directory: string): string {
  const found = readdirSync(directory).filter((name) => name.endsWith(".tgz"));
  if (found.length !== 1) throw new Error(`${found.length} archives in ${directory}`);
  return join(directory, found[0] ?? "");
}
