/** The tree that is released, as git and its files show it. */
import { readFileSync } from "node:fs";
import type { Tree } from "./check.ts";
import { type Names, namesOf } from "./names.ts";
import { run } from "./run.ts";

export const CHART = "deploy/helm/ip-masq-agent";

export function readTree(): Tree {
  const chart = readFileSync(`${CHART}/Chart.yaml`, "utf8");
  const inChart = (key: string) => new RegExp(`^${key}: "?([^"\\s]+)"?$`, "m").exec(chart)?.[1] ?? "none";
  return {
    tags: lines(run("git", ["tag", "--points-at", "HEAD"])),
    changed: lines(run("git", ["status", "--porcelain"])).map((line) => line.slice(3)),
    versions: {
      "package.json": readPackage().version,
      "the chart (version)": inChart("version"),
      "the chart (appVersion)": inChart("appVersion"),
    },
    changelog: readFileSync("CHANGELOG.md", "utf8"),
  };
}

/** package.json, of which a release needs these. */
type PackageJson = Readonly<Record<string, unknown>> & {
  readonly version: string;
  readonly repository: { readonly url: string };
};

export function readPackage(): PackageJson {
  return JSON.parse(readFileSync("package.json", "utf8"));
}

export function readNames({ GITHUB_REPOSITORY, RELEASE_REGISTRY }: NodeJS.ProcessEnv = process.env): Names {
  const { url } = readPackage().repository;
  return namesOf({ url, repository: GITHUB_REPOSITORY, registry: RELEASE_REGISTRY });
}

function lines(text: string): readonly string[] {
  return text.split("\n").filter((line) => line !== "");
}
