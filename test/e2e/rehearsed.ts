/**
 * Two rehearsed releases as a cluster's node sees published ones: registries and files on its loopback. Nothing is published
 * yet, so the version before is this tree under another number.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHART } from "../chart/chart.ts";
import { type Copy, copyTree } from "../package/tree.ts";
import { changeChart } from "./chart.ts";
import type { Cluster } from "./cluster.ts";

/** Words of the documents, and the words that are run instead; every other word is run unchanged. */
export type Table = readonly (readonly [from: string, to: string])[];

export interface Published {
  /** A checkout of its tag. */
  readonly checkout: string;
  /** Registry and path, as in the README's `REGISTRY`. */
  readonly registry: string;
  /** Where its files are downloaded from, as the README's `URL`. */
  readonly url: string;
  readonly table: Table;
  readonly close: () => Promise<void>;
}

const { version: CURRENT } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

/** Rehearses a release of this version, with its registry at `port`, and serves it to the node, with files at `port + 1`. */
export async function publish(
  cluster: Cluster,
  onNode: readonly string[],
  version: string,
  port: number,
): Promise<Published> {
  const registry = `127.0.0.1:${port}/network`;
  const copy = rehearse(version, registry);
  const { directory } = copy;
  const serving = serve(directory, port, onNode);
  const url = `http://127.0.0.1:${port + 1}`;
  await reached(cluster, `http://127.0.0.1:${port}/v2/`);
  await reached(cluster, `${url}/install.yaml`);
  return {
    ...{ checkout: directory, registry, url },
    table: [
      ["ghcr.io/OWNER", registry],
      [`https://github.com/OWNER/ip-masq-agent/releases/download/v${CURRENT}`, url],
      // These registries have no certificates.
      ["helm install ", "helm install --plain-http "],
    ],
    close: async () => {
      await cluster.onNode("pkill", "-KILL", "-f", `${directory}/dist`).catch(() => "");
      for (const child of serving) child.kill("SIGKILL");
      copy.close();
    },
  };
}

/** A checkout of this tree under a version's tag, with what its release would publish in dist/release. */
function rehearse(version: string, registry: string): Copy {
  const copy = copyTree();
  const must = (...argv: readonly string[]) => {
    const { code, err } = copy.run(argv, { RELEASE_REGISTRY: registry });
    if (code !== 0) throw new Error(`${argv.join(" ")}: ${err}`);
  };
  const named = copy.run([
    "git",
    "ls-files",
    "package.json",
    "CHANGELOG.md",
    "ip-masq-agent.yaml",
    "deploy",
  ]).out;
  for (const path of named
    .trim()
    .split("\n")
    .map((path) => join(copy.directory, path)))
    writeFileSync(path, readFileSync(path, "utf8").replaceAll(CURRENT, version));
  // The cluster may be older than what the chart takes.
  changeChart(join(copy.directory, CHART), /^kubeVersion: .*\n/m, "");
  must("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", `v${version}`);
  must("git", "tag", `v${version}`);
  must("make", "release-dry");
  return copy;
}

/** The registry on the node and, for `make push`, on this machine, both of one storage; the files on the node. */
function serve(directory: string, port: number, onNode: readonly string[]): readonly ChildProcess[] {
  const registry = ["docker-registry", "serve", join(directory, "dist/release/registry.json")];
  const files = ["python3", "-m", "http.server", "--bind", "127.0.0.1", String(port + 1)];
  const commands = [
    registry,
    [...onNode, ...registry],
    [...onNode, ...files, "--directory", join(directory, "dist/release/assets")],
  ];
  return commands.map(([file = "", ...args]) => spawn(file, args, { stdio: "ignore" }));
}

async function reached(cluster: Cluster, url: string): Promise<void> {
  const ask =
    "fetch(process.argv[1]).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))";
  const script = 'for i in $(seq 100); do node -e "$0" "$1" && exit 0; sleep 0.2; done; exit 1';
  await cluster.onNode("sh", "-c", script, ask, url);
}
