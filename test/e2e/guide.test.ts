/** What can be said of the documents' kubectl lines without a cluster. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { documents } from "../lab/documents.ts";
import { installWays, kubectlLines } from "./guide.ts";

const story = readFileSync("test/e2e/e2e.test.ts", "utf8");

test("every page with lines of kubectl has a part in the test on a cluster", () => {
  const pages = documents().filter(({ path }) => kubectlLines(path).length > 0);
  expect(pages.length).toBeGreaterThan(5);
  expect(pages.filter(({ path }) => !story.includes(`"${path}"`)).map(({ path }) => path)).toEqual([]);
});

test("the parts of pages that it names have such lines", () => {
  const parts = [...story.matchAll(/(?:follow|kubectlLines)\("([^"]+)", "([^"]+)"\)/g)];
  expect(parts.length).toBeGreaterThan(5);
  for (const [, page = "", heading = ""] of parts) expect(kubectlLines(page, heading)).not.toEqual([]);
});

test("the README has three ways to install, and says how to check them", () => {
  const { ways, check } = installWays("README.md");
  expect(ways.map(([line = ""]) => line.split(" ")[0])).toEqual(["kubectl", "helm", "make"]);
  expect(check.join("\n")).toContain("rollout status");
});

test("a part ends where the next of its level begins, and an unknown one is an error", () => {
  expect(kubectlLines("docs/install.md", "The agents")).toEqual([
    "kubectl --namespace=kube-system delete daemonset ip-masq-agent",
  ]);
  expect(() => kubectlLines("docs/install.md", "Nothing")).toThrow(
    "docs/install.md: no kubectl under Nothing",
  );
});
