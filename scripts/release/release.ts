/**
 * A release, step by step; the workflow calls the same make targets as people do.
 *   check   what keeps this tree from being released
 *   build   everything that is published, in dist/release
 *   push    images, chart and signatures to the registry; names last
 *   npm     the npm package, to npm's registry
 *   page    the page of the release on GitHub, with its files
 *   dry     all of it but npm, page and the keyless signature, with a registry on the loopback
 *   pack    the npm package alone, in build/
 */
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ASSETS, baseImage, buildRelease, NOTES, npmFile, type Release, readLayout } from "./build.ts";
import { helmProblem, problemsOf, tagOf } from "./check.ts";
import { serveRegistry, throwAwaySigner } from "./dry.ts";
import { isLoopback, type Names } from "./names.ts";
import { packNpm } from "./npm-package.ts";
import { pushRelease } from "./push.ts";
import { refuseNoRegistry } from "./registry.ts";
import { isInstalled, ReleaseError, run } from "./run.ts";
import { cosignSigner, type Signer } from "./signer.ts";
import { readNames, readPackage, readTree } from "./tree.ts";

/** Where each tool is from, for those who lack it. */
const TOOLS: Readonly<Record<string, string>> = {
  buildah: "Debian's package buildah",
  skopeo: "Debian's package skopeo",
  helm: "https://helm.sh",
  cosign: "https://docs.sigstore.dev/cosign",
  "docker-registry": "Debian's package docker-registry",
  gh: "https://cli.github.com",
};

const BUILDS = ["buildah", "skopeo", "helm"];

function toolProblems(names: readonly string[]): readonly string[] {
  const missing = names
    .filter((name) => !isInstalled(name))
    .map((name) => `${name} is missing: install ${TOOLS[name]}`);
  const helm =
    names.includes("helm") && isInstalled("helm")
      ? helmProblem(run("helm", ["version", "--short"]))
      : undefined;
  return helm === undefined ? missing : [...missing, helm];
}

/** Refuses with every problem at once, before anything is done. Returns the tag. */
function checked(tools: readonly string[], names: Names, dry = false): string {
  const tree = readTree();
  const problems = [...problemsOf(tree, names, dry), ...toolProblems(tools)];
  if (problems.length > 0) throw new ReleaseError(problems.join("\n"));
  return tagOf(tree, dry) ?? "";
}

function built(tag: string): Release {
  try {
    return { tag, ...readLayout() };
  } catch {
    throw new ReleaseError("dist/release has no images: run make release-build first");
  }
}

async function push(release: Release, names: Names, signer: Signer): Promise<void> {
  await refuseNoRegistry(names.registry);
  await pushRelease(release, names, signer);
  console.log(`pushed ${names.image}:${release.tag} as ${release.digest}`);
}

/** The digest that the base image has now, so that both platforms are built on the same. */
function resolveBase(): string {
  const { BASE_DIGEST = "" } = process.env;
  if (BASE_DIGEST !== "") return BASE_DIGEST;
  return `@${run("skopeo", ["inspect", "--format", "{{.Digest}}", `docker://${baseImage()}`]).trim()}`;
}

/** Helm where it is not installed: npm has one. */
function provideHelm(): void {
  if (isInstalled("helm")) return;
  const { PATH } = process.env;
  const directory = resolve(dirname(run("scripts/helm.sh", []).trim()));
  Object.assign(process.env, { PATH: `${directory}:${PATH}` });
}

async function dry(): Promise<void> {
  const { RELEASE_REGISTRY: registry = "127.0.0.1:5000/network", BASE_DIGEST = "" } = process.env;
  if (!isLoopback(registry))
    throw new ReleaseError(`${registry} is not on the loopback, where a rehearsal stays`);
  const names = readNames({ ...process.env, RELEASE_REGISTRY: registry });
  provideHelm();
  const tag = checked([...BUILDS, "docker-registry"], names, true);
  const release = buildRelease(tag, names, BASE_DIGEST);
  const served = await serveRegistry(registry.split("/")[0] ?? "");
  try {
    await push(release, names, throwAwaySigner());
  } finally {
    served.close();
  }
  console.log(`a rehearsal: what ${tag} publishes is in dist/release`);
}

/** npm signs where the package comes from by the workflow's identity. */
function publishNpm(tag: string): void {
  const version = tag.slice(1);
  if (isOnNpm(version)) {
    console.log(`ip-masq-agent ${version} is on npm already`);
    return;
  }
  const kind = version.includes("-") ? "next" : "latest";
  run("npm", ["publish", npmFile(version), "--provenance", "--access", "public", "--tag", kind]);
}

function isOnNpm(version: string): boolean {
  try {
    return run("npm", ["view", `ip-masq-agent@${version}`, "version"]).trim() === version;
  } catch (error) {
    if (/npm (?:error|ERR!) code E404$/.test(String(error))) return false;
    throw error;
  }
}

function publishPage(tag: string): void {
  const files = readdirSync(ASSETS).map((name) => join(ASSETS, name));
  const kind = tag.includes("-") ? ["--prerelease"] : [];
  run("gh", [
    "release",
    "create",
    tag,
    "--verify-tag",
    "--title",
    tag,
    "--notes-file",
    NOTES,
    ...kind,
    ...files,
  ]);
}

const STEPS: Readonly<Record<string, (names: Names) => unknown>> = {
  check: (names) => console.log(`${checked([], names)} can be released`),
  build: (names) => {
    const tag = checked(BUILDS, names);
    buildRelease(tag, names, resolveBase());
  },
  push: (names) => push(built(checked(["skopeo", "helm", "cosign"], names)), names, cosignSigner()),
  npm: (names) => publishNpm(built(checked([], names)).tag),
  page: (names) => publishPage(built(checked(["gh"], names)).tag),
  dry,
  pack: () => console.log(packNpm("build", readPackage().version)),
};

async function main(): Promise<void> {
  const [name = ""] = process.argv.slice(2);
  const step = STEPS[name];
  if (step === undefined) throw new ReleaseError(`usage: release.ts ${Object.keys(STEPS).join("|")}`);
  await step(readNames());
}

main().catch((error: unknown) => {
  if (!(error instanceof ReleaseError)) throw error;
  for (const line of error.message.split("\n")) console.error(`release: ${line}`);
  process.exit(1);
});
