/**
 * A rehearsed release (`make release-dry`): everything that it signed is verified, by openssl, and installed from its registry.
 * It takes minutes, so it waits to be asked: `make image-test`, `make prove`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { preAuthentication } from "../../scripts/release/key-signer.ts";
import { isInstalled } from "../../scripts/release/run.ts";
import { missingTools, sh } from "../image/container.ts";
import { freePort, lookInto } from "../image/registry.ts";
import { at, type Plain, parseManifest, readManifest } from "../lab/manifest.ts";
import { eventually } from "../lab/network/lab.ts";
import { type Pulled, pulledFrom } from "./pulled.ts";
import { type Copy, copyTree } from "./tree.ts";

/** The compiler for the other platform. */
const CROSS = process.arch === "arm64" ? "x86_64-linux-gnu-gcc" : "aarch64-linux-gnu-gcc";
const { IMAGE_TEST } = process.env;
const asked = IMAGE_TEST === "1";
const missing = asked ? missingTools(["openssl", CROSS]) : [];
if (missing.length > 0) console.warn(`SKIPPED: no release is rehearsed without ${missing.join(", ")}`);
const able = test.skipIf(!asked || missing.length > 0);
const LONG = { timeout: 300_000 };

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
let work = "";
let copy: Copy;
let host = "";
let registry: ChildProcess | undefined;
let published: Pulled;
let digest = "";
let helm = "";

beforeAll(async () => {
  if (!asked || missing.length > 0) return;
  work = mkdtempSync(join(tmpdir(), "rehearsal-"));
  sh("test/image/base.sh");
  helm = isInstalled("helm") ? "helm" : resolve(sh("scripts/helm.sh").trim());
  copy = copyTree();
  host = `127.0.0.1:${await freePort()}`;
  const { code, err } = copy.run(["make", "release-dry"], { RELEASE_REGISTRY: `${host}/network` });
  expect(code, err).toBe(0);
  registry = spawn("docker-registry", ["serve", "dist/release/registry.json"], {
    cwd: copy.directory,
    stdio: "ignore",
  });
  published = pulledFrom(`${host}/network`);
  digest = await eventually(() => published.digest("ip-masq-agent", `v${version}`));
}, 900_000);

afterAll(() => {
  registry?.kill("SIGKILL");
  copy?.close();
  if (work !== "") rmSync(work, { recursive: true });
});

function inRelease(...path: readonly string[]): string {
  return join(copy.directory, "dist/release", ...path);
}

/** Whether openssl takes this for the throw-away key's signature of the bytes. */
function isSigned(bytes: Uint8Array | string, signature: string): boolean {
  writeFileSync(join(work, "bytes"), bytes);
  writeFileSync(join(work, "signature"), Buffer.from(signature, "base64"));
  const args = [
    "dgst",
    "-sha256",
    "-verify",
    inRelease("throw-away.pub"),
    "-signature",
    "signature",
    "bytes",
  ];
  return spawnSync("openssl", args, { cwd: work }).status === 0;
}

/** The same with one bit changed. */
function changed(bytes: Uint8Array | string): Uint8Array {
  const other = Buffer.from(bytes);
  const middle = other.length >> 1;
  other[middle] = (other[middle] ?? 0) ^ 1;
  return other;
}

async function platforms(): Promise<Readonly<Record<string, string>>> {
  const entries = at(await published.manifest("ip-masq-agent", digest), "manifests") as Plain[];
  return Object.fromEntries(entries.map((one) => [at(one, "platform.architecture"), at(one, "digest")]));
}

able(
  "images and chart are signed, as `cosign verify --key` looks for it; with a byte changed, none is",
  async () => {
    const images = await platforms();
    expect(Object.keys(images)).toEqual(["amd64", "arm64"]);
    const chart = await published.digest("charts/ip-masq-agent", version);
    const signed = [digest, ...Object.values(images)].map((one) => ["ip-masq-agent", one] as const);
    for (const [name, one] of [...signed, ["charts/ip-masq-agent", chart] as const]) {
      const [signature, ...more] = await published.attachedTo(name, one, "sig");
      expect(more).toEqual([]);
      const { blob = new Uint8Array(), annotations = {} } = signature ?? {};
      expect(JSON.parse(Buffer.from(blob).toString())).toMatchObject({
        critical: {
          identity: { "docker-reference": `${host}/network/${name}` },
          image: { "docker-manifest-digest": one },
          type: "cosign container image signature",
        },
      });
      const text = annotations["dev.cosignproject.cosign/signature"] ?? "";
      expect(isSigned(blob, text)).toBe(true);
      expect(isSigned(changed(blob), text)).toBe(false);
    }
  },
);

able("statements about the image are signed: how it was built, and what is in it", async () => {
  const statement = async (to: string) => {
    const [{ blob = new Uint8Array() } = {}] = await published.attachedTo("ip-masq-agent", to, "att");
    const envelope = JSON.parse(Buffer.from(blob).toString());
    const payload = Buffer.from(envelope.payload, "base64").toString();
    const bytes = preAuthentication(envelope.payloadType, payload);
    expect(isSigned(bytes, envelope.signatures[0].sig)).toBe(true);
    expect(isSigned(changed(bytes), envelope.signatures[0].sig)).toBe(false);
    const read = JSON.parse(payload);
    expect(read.subject[0].digest.sha256).toBe(to.replace("sha256:", ""));
    return read;
  };
  const origin = await statement(digest);
  expect(origin.predicateType).toBe("https://slsa.dev/provenance/v1");
  const commit = copy.run(["git", "rev-parse", "HEAD"]).out.trim();
  expect(origin.predicate.buildDefinition.resolvedDependencies[0].digest).toEqual({ gitCommit: commit });
  for (const [arch, image] of Object.entries(await platforms())) {
    const { predicateType, predicate } = await statement(image);
    expect(predicateType).toBe("https://cyclonedx.org/bom");
    const names = predicate.components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(["prom-client", "iptables", "nftables", "libc6"]));
    expect(JSON.stringify(predicate)).toContain(`?arch=${arch}`);
  }
});

able("the checksums fit the files, and are signed", () => {
  const assets = inRelease("assets");
  const listed = readFileSync(join(assets, "SHA256SUMS"), "utf8");
  const { base64Signature } = JSON.parse(readFileSync(join(assets, "SHA256SUMS.sigstore.json"), "utf8"));
  expect(isSigned(listed, base64Signature)).toBe(true);
  expect(isSigned(changed(listed), base64Signature)).toBe(false);
  expect(spawnSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: assets }).status).toBe(0);
  const named = listed
    .trim()
    .split("\n")
    .map((line) => line.split("  ")[1]);
  expect(
    readdirSync(assets)
      .filter((name) => !name.startsWith("SHA256SUMS"))
      .toSorted(),
  ).toEqual(named);
});

able("a node that pulls by install.yaml gets this version, and the clean-up the same image", LONG, () => {
  const install = readManifest(inRelease("assets/install.yaml"));
  const image = String(at(install, "spec.template.spec.containers.0.image"));
  expect(image).toBe(`${host}/network/ip-masq-agent@${digest}`);
  expect(
    at(readManifest(inRelease("assets/cleanup.yaml")), "spec.template.spec.initContainers.0.image"),
  ).toBe(image);
  sh("buildah", "pull", "--quiet", "--tls-verify=false", image);
  try {
    const said = lookInto(image, (root) => sh("chroot", root, "/usr/local/bin/ip-masq-agent", "version"));
    expect(said).toContain(`ip-masq-agent v${version} (node v24.`);
  } finally {
    sh("buildah", "rmi", image);
  }
});

able("Helm installs the chart from the registry with the image by digest, without a value set", () => {
  sh(
    helm,
    "pull",
    `oci://${host}/network/charts/ip-masq-agent`,
    "--version",
    version,
    "--plain-http",
    "--destination",
    work,
  );
  const archive = join(work, `ip-masq-agent-${version}.tgz`);
  const made = sh(
    helm,
    "template",
    "ip-masq-agent",
    archive,
    "--namespace",
    "kube-system",
    "--kube-version",
    "1.33.0",
  );
  const daemonSet = made.split(/^---$/m).find((text) => /^kind: DaemonSet$/m.test(text)) ?? "";
  const image = at(parseManifest(Buffer.from(daemonSet), "chart"), "spec.template.spec.containers.0.image");
  expect(image).toBe(`${host}/network/ip-masq-agent@${digest}`);
});

able("the packed npm package runs, and has the addon for both platforms", LONG, () => {
  const folder = join(work, "npm");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), "{}");
  const file = inRelease(`assets/ip-masq-agent-npm-${version}.tgz`);
  const installed = spawnSync("npm", ["install", "--ignore-scripts", "--offline", file], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(installed.status, installed.stderr).toBe(0);
  expect(sh(join(folder, "node_modules/.bin/ip-masq-agent"), "version")).toContain(
    `ip-masq-agent v${version} `,
  );
  for (const platform of ["linux-x64", "linux-arm64"])
    expect(existsSync(join(folder, `node_modules/ip-masq-agent/dist/netlink-${platform}.node`))).toBe(true);
});

able(
  "a push that fails moves no name; tried again it goes through; what is published stays",
  LONG,
  async () => {
    const other = pulledFrom(`${host}/other`);
    const push = (cosign: string, where = "other") => {
      const bin = join(copy.directory, "build/bin");
      mkdirSync(bin, { recursive: true });
      writeFileSync(join(bin, "cosign"), `#!/bin/sh\n${cosign}\n`, { mode: 0o755 });
      const { PATH: rest } = process.env;
      const PATH = [bin, resolve(helm, ".."), rest].join(delimiter);
      const env = {
        PATH,
        RELEASE_REGISTRY: where.includes(":") ? where : `${host}/${where}`,
        GITHUB_REPOSITORY: "some/ip-masq-agent",
      };
      const { code, err } = copy.run(
        ["node", "scripts/run-ts.mjs", "scripts/release/release.ts", "push"],
        env,
      );
      return { code, err: err.trim() };
    };
    // A rehearsal does not need it finished.
    writeFileSync(join(copy.directory, "CHANGELOG.md"), `## ${version} - 2026-01-31\n\n- It works.\n`);
    copy.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "date"]);
    copy.run(["git", "tag", `v${version}`]);

    expect(push("true", "127.0.0.1:9/a")).toEqual({
      code: 1,
      err: expect.stringMatching(/^release: no registry answers at 127\.0\.0\.1:9: .*$/),
    });
    expect(push("echo no identity >&2; exit 1")).toEqual({
      code: 1,
      err: "release: cosign sign --yes failed: no identity",
    });
    for (const name of ["ip-masq-agent", "charts/ip-masq-agent"]) expect(await other.tags(name)).toEqual([]);

    for (let i = 0; i < 2; i++) expect(push("true")).toEqual({ code: 0, err: "" });
    expect(await other.tags("ip-masq-agent")).toEqual([`v${version}`]);

    const { arm64: one } = await platforms();
    const name = `docker://${host}/other/ip-masq-agent`;
    sh(
      "skopeo",
      "copy",
      "--quiet",
      "--src-tls-verify=false",
      "--dest-tls-verify=false",
      `${name}@${one}`,
      `${name}:v${version}`,
    );
    expect(push("true")).toEqual({
      code: 1,
      err: `release: ${host}/other/ip-masq-agent:v${version} is published already, and is another: make a new version`,
    });
  },
);
