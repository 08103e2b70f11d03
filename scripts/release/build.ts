/** Makes everything that is published, in dist/release; pushes nothing. */
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { publishedMetadata, publishedReadme } from "./chart.ts";
import { withArchive, withDefaultImage, withImage } from "./manifests.ts";
import { assetUrl, type Names } from "./names.ts";
import { changesOf, renderNotes } from "./notes.ts";
import { packNpm } from "./npm-package.ts";
import { provenanceOf } from "./provenance.ts";
import { digestOf } from "./registry.ts";
import { run } from "./run.ts";
import { debianComponents, imageBill } from "./sbom.ts";
import { CHART } from "./tree.ts";

export const ARCHITECTURES = ["amd64", "arm64"] as const;
export const DIRECTORY = "dist/release";
/** The OCI layout with the images. */
export const LAYOUT = join(DIRECTORY, "image");
/** The files that people download from the page of the release. */
export const ASSETS = join(DIRECTORY, "assets");
export const PROVENANCE = join(DIRECTORY, "provenance.json");
export const NOTES = join(DIRECTORY, "notes.md");
export const SUMS = join(ASSETS, "SHA256SUMS");

/** The parts of a release that are pushed. */
export interface Release {
  readonly tag: string;
  /** Of the list of images. */
  readonly digest: string;
  /** Of each image in the list. */
  readonly images: Readonly<Record<string, string>>;
}

export function chartFile(version: string): string {
  return join(ASSETS, `ip-masq-agent-chart-${version}.tgz`);
}

export function npmFile(version: string): string {
  return join(ASSETS, `ip-masq-agent-npm-${version}.tgz`);
}

export function billFile(arch: string): string {
  return join(ASSETS, `ip-masq-agent-${arch}.cdx.json`);
}

/** `base` is the digest of the base image, as in `@sha256:...`; empty: what its name means on this machine. */
export function buildRelease(tag: string, names: Names, base: string): Release {
  rmSync(DIRECTORY, { recursive: true, force: true });
  mkdirSync(ASSETS, { recursive: true });
  const version = tag.slice(1);
  const env = { VERSION: tag, BASE_DIGEST: base };
  run(process.execPath, ["build.mjs"], { env: { ...env, PLATFORMS: "linux-x64 linux-arm64" } });
  run("scripts/image.sh", ["build", ...ARCHITECTURES], { env });
  run("scripts/image.sh", ["layout", LAYOUT, ...ARCHITECTURES], { env });
  const release = { tag, ...readLayout() };
  renameSync(packNpm(ASSETS, version), npmFile(version));
  packChart(tag, names, release.digest);
  writeManifests(tag, names, release.digest);
  writePlugin(tag, names);
  writeBills(release, names);
  writeOrigin(tag, names, base);
  writeNotes(tag, names, release.digest);
  writeSums();
  return release;
}

/** The release that `buildRelease` has left in dist/release. */
export function readLayout(): Pick<Release, "digest" | "images"> {
  const [list] = manifestsIn(join(LAYOUT, "index.json")) as { digest: string }[];
  const digest = list?.digest ?? "";
  type Entry = { digest: string; platform: { architecture: string } };
  const entries = manifestsIn(blobFile(digest)) as Entry[];
  return {
    digest,
    images: Object.fromEntries(entries.map(({ digest, platform }) => [platform.architecture, digest])),
  };
}

function manifestsIn(file: string): unknown {
  const { manifests } = readJson(file);
  return manifests;
}

function readJson(file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(file, "utf8"));
}

function blobFile(digest: string): string {
  return join(LAYOUT, "blobs", digest.replace(":", "/"));
}

/** The chart with the image as its default, so that it installs as it is. */
function packChart(tag: string, names: Names, digest: string): void {
  const version = tag.slice(1);
  const copy = "build/chart/ip-masq-agent";
  rmSync(copy, { recursive: true, force: true });
  cpSync(CHART, copy, { recursive: true });
  const change = (name: string, made: (text: string) => string) =>
    writeFileSync(join(copy, name), made(readFileSync(join(copy, name), "utf8")));
  const changes = changesOf(readFileSync("CHANGELOG.md", "utf8"), version)?.text ?? "";
  const image = `${names.image}@${digest}`;
  change("values.yaml", (text) => withDefaultImage(text, names.image, digest));
  change("README.md", (text) => publishedReadme(text, names.home, tag));
  change("Chart.yaml", (text) => publishedMetadata(text, { names, tag, image, changes }));
  run("helm", ["package", copy, "--destination", ASSETS, "--version", version, "--app-version", version]);
  renameSync(join(ASSETS, `ip-masq-agent-${version}.tgz`), chartFile(version));
}

/** The ConfigMap is not among them: applied again, it would take the place of the user's. */
function writeManifests(tag: string, names: Names, digest: string): void {
  const sources = { "install.yaml": "ip-masq-agent.yaml", "cleanup.yaml": "deploy/cleanup.yaml" };
  for (const [name, source] of Object.entries(sources)) {
    const head = `# ip-masq-agent ${tag}: kubectl apply -f ${assetUrl(names, tag, name)}`;
    const text = withImage(readFileSync(source, "utf8"), `${names.image}@${digest}`, head);
    writeFileSync(join(ASSETS, name), text);
  }
}

/** The plugin of kubectl, as krew installs it. */
function writePlugin(tag: string, names: Names): void {
  const name = "kubectl-ip_masq.tar.gz";
  const file = join(ASSETS, name);
  const same = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
  run("tar", [
    ...same,
    "-czf",
    file,
    "-C",
    resolve("deploy/kubectl"),
    "kubectl-ip_masq",
    "-C",
    resolve("."),
    "LICENSE",
  ]);
  const krew = readFileSync("deploy/kubectl/krew.yaml", "utf8");
  const sha256 = digestOf(readFileSync(file)).replace("sha256:", "");
  writeFileSync(
    join(ASSETS, "krew.yaml"),
    withArchive(krew, tag.slice(1), assetUrl(names, tag, name), sha256),
  );
}

function writeBills({ tag, images }: Release, { image }: Names): void {
  run("make", ["--no-print-directory", "sbom"]);
  const npm = readJson("dist/ip-masq-agent.cdx.json");
  for (const [arch, digest] of Object.entries(images)) {
    const bill = imageBill(npm, debianComponents(packageRecords(digest)), {
      name: image,
      digest,
      version: tag,
    });
    writeFileSync(billFile(arch), `${JSON.stringify(bill, undefined, 2)}\n`);
  }
}

/** dpkg's records in the layers of an image. */
function packageRecords(digest: string): string {
  const { layers } = readJson(blobFile(digest)) as { layers: { digest: string }[] };
  return layers
    .map(({ digest }) => {
      const blob = blobFile(digest);
      const names = run("tar", ["-tf", blob])
        .split("\n")
        .filter((name) => /var\/lib\/dpkg\/status\.d\/[^/]+$/.test(name));
      return names.length === 0 ? "" : names.map((name) => run("tar", ["-xOf", blob, name])).join("\n\n");
    })
    .join("\n\n");
}

function writeOrigin(tag: string, { home }: Names, digest: string): void {
  const { GITHUB_RUN_ID: runId, GITHUB_RUN_ATTEMPT: runAttempt } = process.env;
  const commit = run("git", ["rev-parse", "HEAD"]).trim();
  const origin = provenanceOf({ home, tag, commit, base: { name: baseImage(), digest }, runId, runAttempt });
  writeFileSync(PROVENANCE, `${JSON.stringify(origin, undefined, 2)}\n`);
}

/** The image that the Dockerfile builds on. */
export function baseImage(): string {
  return /^ARG BASE=(\S+)$/m.exec(readFileSync("Dockerfile", "utf8"))?.[1] ?? "";
}

function writeNotes(tag: string, names: Names, digest: string): void {
  const changes = changesOf(readFileSync("CHANGELOG.md", "utf8"), tag.slice(1))?.text ?? "";
  const image = `${names.image}@${digest}`;
  const { home, chart } = names;
  writeFileSync(
    NOTES,
    renderNotes(changes, { tag, home, image, chart, installUrl: assetUrl(names, tag, "install.yaml") }),
  );
}

/** In the form of sha256sum. */
function writeSums(): void {
  const lines = readdirSync(ASSETS)
    .toSorted()
    .map((name) => `${digestOf(readFileSync(join(ASSETS, name))).replace("sha256:", "")}  ${name}\n`);
  writeFileSync(SUMS, lines.join(""));
}
