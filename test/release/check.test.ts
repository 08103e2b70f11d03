/** The reasons why a tree cannot be released, in words. */
import { expect, test } from "vitest";
import { helmProblem, problemsOf, type Tree, tagOf } from "../../scripts/release/check.ts";
import { isLoopback, namesOf } from "../../scripts/release/names.ts";

const good: Tree = {
  tags: ["v1.2.3"],
  changed: [],
  versions: { "package.json": "1.2.3", "the chart (version)": "1.2.3" },
  changelog: "# Changelog\n\n## [Unreleased]\n\n## 1.2.3 - 2026-01-31\n\n- It works.\n",
};
const url = "git+https://github.com/OWNER/ip-masq-agent.git";
const names = namesOf({ url, repository: "Some/ip-masq-agent" });

test.each<[string, Partial<Tree>, readonly string[]]>([
  ["nothing", {}, []],
  ["a pre-release", { tags: ["v1.2.3-rc.1"], changelog: "## 1.2.3-rc.1 - 2026-01-31\n", versions: {} }, []],
  [
    "no tag",
    { tags: ["latest"] },
    ["the commit has no tag: give it one, as in git tag -a v1.2.3 -m v1.2.3, and push that"],
  ],
  [
    "a changed tree",
    { changed: ["a", "b", "c", "d", "e"] },
    ["the tree differs from its commit (a, b, c, 2 more): commit the changes, or undo them"],
  ],
  [
    "another version",
    { versions: { "package.json": "1.2.3", "the chart (version)": "1.2.2" } },
    ["the chart (version) has version 1.2.2, not 1.2.3 as the tag: make them equal"],
  ],
  [
    "no notes",
    { changelog: "## [Unreleased]\n" },
    ['CHANGELOG.md has no heading "## 1.2.3 - DATE": write what has changed'],
  ],
  [
    "a changelog that nobody has finished",
    { changelog: "## [Unreleased]\n\n- Later.\n\n## 1.2.3 - 2026-01-31\n\nNot published yet. The first.\n" },
    [
      'CHANGELOG.md has changes under "Unreleased": move them to "## 1.2.3"',
      "CHANGELOG.md says that 1.2.3 is not published yet",
    ],
  ],
  [
    "no date",
    { changelog: "## 1.2.3\n" },
    ['CHANGELOG.md has no date behind "## 1.2.3": add it, as in " - 2026-01-31"'],
  ],
])("%s", (_name, change, problems) => {
  expect(problemsOf({ ...good, ...change }, names, false)).toEqual(problems);
});

test("everything that is wrong is said at once", () => {
  const nobody = namesOf({ url });
  const problems = problemsOf({ ...good, changed: ["a"], changelog: "" }, nobody, false);
  expect(problems).toEqual([
    expect.stringContaining("no heading"),
    expect.stringContaining("differs from its commit (a)"),
    "package.json's repository has no owner: write it there, or set GITHUB_REPOSITORY=owner/ip-masq-agent",
  ]);
});

test("a rehearsal needs neither tag nor date nor owner, but a clean tree and notes", () => {
  const early: Tree = { ...good, tags: [], changelog: "## 1.2.3\n" };
  expect(tagOf(early, true)).toBe("v1.2.3");
  expect(problemsOf(early, namesOf({ url }), true)).toEqual([]);
  expect(problemsOf({ ...early, changed: ["a"], changelog: "" }, names, true)).toHaveLength(2);
});

test.each([
  ["v3.17.3+ge4da497", undefined],
  ["v4.1.4", undefined],
  ["v3.8.0", undefined],
  ["v3.7.2+g663a896", "helm is v3.7.2+g663a896: pushing a chart needs 3.8 or newer"],
  ["Client: v2.17.0\n", "helm is Client: v2.17.0: pushing a chart needs 3.8 or newer"],
  ["", "helm is of no known version: pushing a chart needs 3.8 or newer"],
])("helm %s", (said, problem) => expect(helmProblem(said)).toBe(problem));

test("all names follow from the repository, and another registry takes their place", () => {
  expect(names).toEqual({
    repository: "Some/ip-masq-agent",
    home: "https://github.com/Some/ip-masq-agent",
    registry: "ghcr.io/some",
    image: "ghcr.io/some/ip-masq-agent",
    charts: "ghcr.io/some/charts",
    chart: "ghcr.io/some/charts/ip-masq-agent",
  });
  expect(namesOf({ url, registry: "127.0.0.1:5000/network" })).toMatchObject({
    home: "https://github.com/OWNER/ip-masq-agent",
    image: "127.0.0.1:5000/network/ip-masq-agent",
  });
  expect(["127.0.0.1:5000/a", "localhost:5000/a", "[::1]:5000/a"].every(isLoopback)).toBe(true);
  expect(["ghcr.io/a", "localhost.example.com/a", "registry.example.com/127.0.0.1"].some(isLoopback)).toBe(
    false,
  );
});
