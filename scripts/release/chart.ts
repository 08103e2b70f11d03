/** The chart as it is published: with the image as its default, and words that do not lead into a tree that nobody has there. */
import { posix } from "node:path";
import type { Names } from "./names.ts";
import { CHART } from "./tree.ts";

/** Links into the repository, which lead nowhere in a chart, as addresses at the tag. */
export function publishedReadme(readme: string, home: string, tag: string): string {
  return readme.replaceAll(/\]\((?![a-z]+:|#)([^()\s]+)\)/g, (_all, target: string) => {
    return `](${home}/blob/${tag}/${posix.join(CHART, target)})`;
  });
}

export interface Published {
  readonly names: Pick<Names, "home">;
  readonly tag: string;
  /** With its digest. */
  readonly image: string;
  /** The part of CHANGELOG.md about this version. */
  readonly changes: string;
}

/** Chart.yaml with the repository's address, and what Artifact Hub shows: the image, and what has changed. */
export function publishedMetadata(chart: string, { names, tag, image, changes }: Published): string {
  const images = [{ name: "ip-masq-agent", image, platforms: ["linux/amd64", "linux/arm64"] }];
  const more = {
    "artifacthub.io/images": images,
    "artifacthub.io/changes": entriesOf(changes),
    "artifacthub.io/prerelease": tag.includes("-"),
  };
  const lines = Object.entries(more).map(([key, value]) => `  ${key}: ${asText(value)}\n`);
  const own = chart
    .replaceAll("https://github.com/OWNER/ip-masq-agent", names.home)
    .replaceAll("/blob/main/", `/blob/${tag}/`)
    .replace(/^ *# A release puts.*\n/m, "");
  return `${own.trimEnd()}\n${lines.join("")}`;
}

/** An annotation is a text: of JSON, which is YAML as well. */
function asText(value: unknown): string {
  return JSON.stringify(JSON.stringify(value));
}

/** The entries of a changelog's lists, as plain text. */
function entriesOf(changes: string): readonly string[] {
  return changes
    .split(/^(?=- )/m)
    .filter((entry) => entry.startsWith("- "))
    .map((entry) =>
      entry
        .slice(2)
        .replace(/\n(?:#|\n)[\s\S]*$/, "")
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .replaceAll(/\s+/g, " ")
        .trim(),
    );
}
