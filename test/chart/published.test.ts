/** The chart's metadata, in the tree and as a release publishes it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { publishedMetadata, publishedReadme } from "../../scripts/release/chart.ts";
import { at, parseManifest, readManifest } from "../lab/manifest.ts";
import { inChart } from "./chart.ts";

const HOME = "https://git.example.com/network/masq";
const IMAGE = `registry.example.com/network/masq@sha256:${"a".repeat(64)}`;

test("the icon is the picture beside it", () => {
  const icon = String(at(readManifest(inChart("Chart.yaml")), "icon"));
  const picture = readFileSync(inChart("icon.svg"), "utf8").trim();
  expect(Buffer.from(icon.replace("data:image/svg+xml;base64,", ""), "base64").toString()).toBe(picture);
});

test("a published chart names its own repository, image and changes", () => {
  const changes =
    '### Added\n\n- One, with\n  a [link](docs/x.md).\n- Two.\n\n### Fixed\n\n- Three: `a` "b".\n';
  const source = readFileSync(inChart("Chart.yaml"), "utf8");
  const text = publishedMetadata(source, {
    names: { home: HOME },
    tag: "v1.2.3-rc.1",
    image: IMAGE,
    changes,
  });
  expect(text).not.toContain("OWNER");
  const made = parseManifest(Buffer.from(text), "Chart.yaml");
  expect(made).toMatchObject({ home: HOME, sources: [HOME], maintainers: [{ url: HOME }] });
  const annotations = at(made, "annotations") as Record<string, string>;
  const listOf = (key: string) => parseManifest(Buffer.from(annotations[`artifacthub.io/${key}`] ?? ""), key);
  expect(listOf("images")).toEqual([
    { name: "ip-masq-agent", image: IMAGE, platforms: ["linux/amd64", "linux/arm64"] },
  ]);
  expect(listOf("changes")).toEqual(["One, with a link.", "Two.", 'Three: `a` "b".']);
  expect(annotations["artifacthub.io/prerelease"]).toBe("true");
  expect(listOf("links")).toContainEqual({
    name: "Changelog",
    url: `${HOME}/blob/v1.2.3-rc.1/CHANGELOG.md`,
  });
});

test("its README leads to the repository at the tag", () => {
  const source =
    "[a](../../cleanup.yaml) [b](../../../docs/install.md#x) [c](#values) [d](https://e.example/)";
  expect(publishedReadme(source, HOME, "v1.2.3")).toBe(
    `[a](${HOME}/blob/v1.2.3/deploy/cleanup.yaml) [b](${HOME}/blob/v1.2.3/docs/install.md#x) [c](#values) [d](https://e.example/)`,
  );
});
