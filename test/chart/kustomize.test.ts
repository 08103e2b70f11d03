/** The overlays in deploy/kustomize: what they name is there, and what the real tool makes of them. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attempt } from "../netns/command.ts";
import { at, type Plain, parseManifest, readManifest } from "../support/manifest.ts";
import { kustomizeTool } from "../support/tool.ts";
import { validateObject } from "./kubernetes.ts";

const DIRECTORY = "deploy/kustomize";
const CONTAINER = "spec.template.spec.containers.0";
const KUSTOMIZE = kustomizeTool();
if (KUSTOMIZE === undefined)
  console.warn(`NOT TESTED: what kustomize makes of ${DIRECTORY}, since it is missing (or kubectl)`);

/** What kustomize builds, checked; the DaemonSet first. */
async function build(directory: string): Promise<readonly Plain[]> {
  const [tool = "", ...args] = KUSTOMIZE ?? [];
  const { code, stdout, stderr } = await attempt(tool, [...args, directory]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const documents = stdout.split(/^---$/m).map((text) => parseManifest(Buffer.from(text), directory));
  for (const document of documents) validateObject(document);
  return documents;
}

/** The DaemonSet of the root with other args. */
function withArgs(args: readonly string[]): unknown {
  const whole = structuredClone(readManifest("ip-masq-agent.yaml"));
  Object.assign(at(whole, CONTAINER) as object, { args });
  return whole;
}

test("the base's DaemonSet is a copy of the one in the root", async () => {
  const text = readFileSync("ip-masq-agent.yaml", "utf8");
  await expect(text).toMatchFileSnapshot(`../../${DIRECTORY}/base/ip-masq-agent.yaml`);
});

test.each(["nftables", "ipv6", "monitoring"])("everything that overlay %s names is there", (name) => {
  const overlay = join(DIRECTORY, "overlays", name);
  const { resources, components = [] } = readManifest(join(overlay, "kustomization.yaml")) as {
    resources: string[];
    components?: string[];
  };
  for (const path of [...resources, ...components].map((path) => join(overlay, path))) {
    expect(statSync(path).isDirectory(), path).toBe(true);
    expect(existsSync(join(path, "kustomization.yaml")), path).toBe(true);
  }
});

describe.skipIf(KUSTOMIZE === undefined)("kustomize", () => {
  test.each([
    ["base", []],
    ["overlays/nftables", ["--backend=nftables"]],
    ["overlays/ipv6", ["--enable-ipv6"]],
  ])("builds %s with flags %j, and changes nothing else", async (path, args) => {
    expect(await build(join(DIRECTORY, path))).toEqual([withArgs(args)]);
  });

  test("builds monitoring as deploy/monitoring does", async () => {
    const built = await build(join(DIRECTORY, "overlays/monitoring"));
    expect(built.map((document) => at(document, "kind"))).toEqual([
      "DaemonSet",
      "PodMonitor",
      "PrometheusRule",
    ]);
    expect(built).toEqual(await build("deploy/monitoring"));
  });

  test("builds the README's overlay: components combined with each other, with monitoring, and an image", async () => {
    const snippet =
      /```yaml\n(apiVersion: kustomize[^`]*)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";
    mkdirSync("build", { recursive: true });
    const directory = mkdtempSync("build/overlay-");
    try {
      // It stands beside a clone there.
      writeFileSync(join(directory, "kustomization.yaml"), snippet.replaceAll("../ip-masq-agent/", "../../"));
      const [built = null] = await build(directory);
      const args = ["--http-address=$(HOST_IP):10279", "--backend=nftables", "--enable-ipv6"];
      const image = "registry.example.com/network/ip-masq-agent:v0.1.0";
      expect(at(built, CONTAINER)).toMatchObject({ args, image });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
