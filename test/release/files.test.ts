/** The files of a release, made from those of the tree. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  publishedPackage,
  withArchive,
  withDefaultImage,
  withImage,
} from "../../scripts/release/manifests.ts";
import { absoluteLinks, changesOf, renderNotes } from "../../scripts/release/notes.ts";
import { provenanceOf } from "../../scripts/release/provenance.ts";
import { debianComponents, imageBill } from "../../scripts/release/sbom.ts";
import { validateObject } from "../chart/kubernetes.ts";
import { at, parseManifest, readManifest } from "../lab/manifest.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const IMAGE = `registry.example.com/network/ip-masq-agent@${DIGEST}`;
const home = "https://github.com/some/ip-masq-agent";

test.each(["ip-masq-agent.yaml", "deploy/cleanup.yaml"])(
  "%s gets the image's digest, and nothing else changes",
  (path) => {
    const source = readFileSync(path, "utf8");
    const text = withImage(source, IMAGE, "# head");
    expect(text.startsWith("# head\n")).toBe(true);
    const made = parseManifest(Buffer.from(text), path);
    validateObject(made);
    const expected = JSON.stringify(readManifest(path)).replaceAll(
      /"ip-masq-agent:v[^"]+"/g,
      JSON.stringify(IMAGE),
    );
    expect(made).toEqual(JSON.parse(expected));
    expect(text).not.toMatch(/no image is published|ip-masq-agent:v\d/i);
    expect(() => withImage("image: other:v1", IMAGE, "")).toThrow("no image");
  },
);

test("the chart's default is the image by its digest", () => {
  const source = readFileSync("deploy/helm/ip-masq-agent/values.yaml", "utf8");
  const text = withDefaultImage(source, "registry.example.com/a", DIGEST);
  const values = parseManifest(Buffer.from(text), "values.yaml");
  expect(at(values, "image")).toMatchObject({ repository: "registry.example.com/a", digest: DIGEST });
  const before = readManifest("deploy/helm/ip-masq-agent/values.yaml") as Record<string, unknown>;
  expect({ ...(values as object), image: 0 }).toEqual({ ...before, image: 0 });
  expect(() => withDefaultImage("image:\n  tag: a\n", "a", DIGEST)).toThrow("values.yaml has no");
});

test("krew's manifest names the archive", () => {
  const text = withArchive(
    readFileSync("deploy/kubectl/krew.yaml", "utf8"),
    "1.2.3",
    `${home}/a.tar.gz`,
    "ab",
  );
  expect(at(parseManifest(Buffer.from(text), "krew.yaml"), "spec")).toMatchObject({
    version: "v1.2.3",
    platforms: [{ uri: `${home}/a.tar.gz`, sha256: "ab" }],
  });
});

test("the published package says where it is from, and leaves out what only concerns contributors", () => {
  const made = publishedPackage(JSON.parse(readFileSync("package.json", "utf8")), "1.2.3", home);
  expect(made).toMatchObject({
    name: "ip-masq-agent",
    version: "1.2.3",
    repository: { type: "git", url: `git+${home}.git` },
    bugs: `${home}/issues`,
  });
  expect(JSON.stringify(made)).not.toContain("OWNER");
  for (const key of ["dependencies", "devDependencies", "scripts", "private"])
    expect(made).not.toHaveProperty(key);
});

test("notes are the part of the changelog about the version, with links that lead somewhere", () => {
  const changelog =
    "## [Unreleased]\n\n- Later.\n\n## [0.2.0] - 2026-02-03\n\n- [How](docs/a.md#b), [why](https://example.com).\n\n## 0.1.0\n\n- First.\n";
  expect(changesOf(changelog, "0.1.0")).toEqual({ text: "- First.", date: undefined });
  expect(changesOf(changelog, "0.2")).toBeUndefined();
  const changes = changesOf(changelog, "0.2.0");
  expect(changes?.date).toBe("2026-02-03");
  const notes = renderNotes(changes?.text ?? "", {
    ...{ tag: "v0.2.0", home, image: IMAGE, chart: "registry.example.com/network/charts/ip-masq-agent" },
    installUrl: `${home}/releases/download/v0.2.0/install.yaml`,
  });
  expect(notes).toMatchInlineSnapshot(`
    "- [How](https://github.com/some/ip-masq-agent/blob/v0.2.0/docs/a.md#b), [why](https://example.com).

    ## Get it

    \`\`\`sh
    kubectl apply -f https://github.com/some/ip-masq-agent/releases/download/v0.2.0/install.yaml
    helm install ip-masq-agent oci://registry.example.com/network/charts/ip-masq-agent --version 0.2.0 --namespace kube-system
    npx ip-masq-agent@0.2.0 validate FILE
    \`\`\`

    The image is \`registry.example.com/network/ip-masq-agent@sha256:abababababababababababababababababababababababababababababababab\`. Verify who built it:

    \`\`\`sh
    cosign verify registry.example.com/network/ip-masq-agent@sha256:abababababababababababababababababababababababababababababababab \\
      --certificate-identity-regexp '^https://github.com/some/ip-masq-agent/\\.github/workflows/release\\.yaml@refs/tags/v' \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
    \`\`\`
    "
  `);
  expect(absoluteLinks("[a](#b) `x`", home, "v1")).toBe("[a](#b) `x`");
});

test("provenance names the commit, the base and the run", () => {
  const base = { name: "docker.io/library/node:24", digest: `@${DIGEST}` };
  const origin = { home, tag: "v1.2.3", commit: "c0ffee", base };
  expect(provenanceOf({ ...origin, runId: "7", runAttempt: "2" })).toMatchInlineSnapshot(`
    {
      "buildDefinition": {
        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
        "externalParameters": {
          "workflow": {
            "path": ".github/workflows/release.yaml",
            "ref": "refs/tags/v1.2.3",
            "repository": "https://github.com/some/ip-masq-agent",
          },
        },
        "resolvedDependencies": [
          {
            "digest": {
              "gitCommit": "c0ffee",
            },
            "uri": "git+https://github.com/some/ip-masq-agent@refs/tags/v1.2.3",
          },
          {
            "digest": {
              "sha256": "abababababababababababababababababababababababababababababababab",
            },
            "uri": "docker://docker.io/library/node:24",
          },
        ],
      },
      "runDetails": {
        "builder": {
          "id": "https://github.com/actions/runner/github-hosted",
        },
        "metadata": {
          "invocationId": "https://github.com/some/ip-masq-agent/actions/runs/7/attempts/2",
        },
      },
    }
  `);
  expect(JSON.stringify(provenanceOf(origin))).not.toContain("github-hosted");
});

test("an image's bill has the npm packages and Debian's", () => {
  const records =
    "Package: libc6\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\n\n\nPackage: tzdata\nVersion: 1:2\n\nrest\n";
  const npm = { bomFormat: "CycloneDX", components: [{ name: "prom-client" }], metadata: { tools: 1 } };
  const bill = imageBill(npm, debianComponents(records), { name: "r/a", digest: DIGEST, version: "v1" });
  expect(bill).toMatchObject({
    bomFormat: "CycloneDX",
    metadata: { tools: 1, component: { type: "container", name: "r/a", version: "v1" } },
    components: [
      { name: "prom-client" },
      { name: "libc6", purl: "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64" },
      { name: "tzdata", purl: "pkg:deb/debian/tzdata@1%3A2?arch=all" },
    ],
  });
});
