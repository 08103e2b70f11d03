/**
 * Publishes what dist/release has. Everything goes to its place by digest, signed, before the first name leads there; so a
 * push that fails has moved no tag, and the same push can be tried again.
 */
import { readFileSync } from "node:fs";
import { billFile, chartFile, LAYOUT, PROVENANCE, type Release, SUMS } from "./build.ts";
import { isLoopback, type Names } from "./names.ts";
import { digestOf, isAbsent } from "./registry.ts";
import { ReleaseError, run } from "./run.ts";
import type { Signer } from "./signer.ts";

export async function pushRelease(release: Release, names: Names, signer: Signer): Promise<void> {
  const { tag, digest, images } = release;
  const version = tag.slice(1);
  const chartName = `${names.chart}:${version}`;
  refuseMoved(`${names.image}:${tag}`, digestAt(`${names.image}:${tag}`), digest);
  refuseMoved(chartName, archiveAt(chartName), digestOf(readFileSync(chartFile(version))));
  copy(`oci:${LAYOUT}:${tag}`, `${names.image}@${digest}`);
  await signer.sign(names.image, [digest, ...Object.values(images)]);
  await signer.attest(names.image, digest, "slsaprovenance1", PROVENANCE);
  for (const [arch, one] of Object.entries(images))
    await signer.attest(names.image, one, "cyclonedx", billFile(arch));
  await signer.signFile(SUMS);
  // From here on names lead to it: the chart's, whose default is the image by its digest, and last the image's.
  if (archiveAt(chartName) === undefined)
    run("helm", [
      "push",
      chartFile(version),
      `oci://${names.charts}`,
      ...insecure("--plain-http", names.charts),
    ]);
  await signer.sign(names.chart, [present(chartName, digestAt(chartName))]);
  copy(`docker://${names.image}@${digest}`, `${names.image}:${tag}`);
}

/** skopeo's answer about a name in a registry; undefined if there is none. */
function inspect(name: string, ...options: readonly string[]): string | undefined {
  try {
    return run("skopeo", [
      "inspect",
      ...options,
      ...insecure("--tls-verify=false", name),
      `docker://${name}`,
    ]).trim();
  } catch (error) {
    if (!(error instanceof ReleaseError)) throw error;
    if (isAbsent(error.message)) return undefined;
    throw new ReleaseError(`it is not known whether ${name} is published already: ${error.message}`);
  }
}

function digestAt(name: string): string | undefined {
  const raw = inspect(name, "--raw");
  return raw === undefined ? undefined : digestOf(raw);
}

/** The digest of the archive that a chart's name leads to: what lies around it has the time of the push. */
function archiveAt(chart: string): string | undefined {
  const raw = inspect(chart, "--raw");
  return raw === undefined ? undefined : (JSON.parse(raw).layers?.[0]?.digest ?? "not of a chart");
}

function present(name: string, digest: string | undefined): string {
  if (digest === undefined) throw new ReleaseError(`${name} is not there after its push: push again`);
  return digest;
}

/** A published version is never changed. `ours` may be there already, from a push that failed later. */
function refuseMoved(name: string, there: string | undefined, ours: string): void {
  if (there === undefined || there === ours) return;
  throw new ReleaseError(`${name} is published already, and is another: make a new version`);
}

function copy(from: string, to: string): void {
  const flags = [
    ...["--all", "--preserve-digests", "--quiet"],
    ...insecure("--dest-tls-verify=false", to),
    ...(from.startsWith("docker:") ? insecure("--src-tls-verify=false", to) : []),
  ];
  run("skopeo", ["copy", ...flags, from, `docker://${to}`]);
}

function insecure(flag: string, registry: string): readonly string[] {
  return isLoopback(registry) ? [flag] : [];
}
