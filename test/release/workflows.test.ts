/** GitHub's workflows, as text: nothing here can run them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { at, type Plain, readManifest } from "../lab/manifest.ts";

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly with?: Readonly<Record<string, Plain>>;
}

interface Job {
  readonly permissions: Readonly<Record<string, string>>;
  readonly needs?: string | readonly string[];
  readonly "timeout-minutes": number;
  readonly steps: readonly Step[];
}

const DIRECTORY = ".github/workflows";
const files = readdirSync(DIRECTORY);
const workflow = (file: string) => readManifest(join(DIRECTORY, file));
const jobs = files.flatMap((file) =>
  Object.entries(at(workflow(file), "jobs") as unknown as Record<string, Job>).map(([name, job]) => ({
    ...{ file, name, job, where: `${file} ${name}` },
  })),
);

/** Rights of jobs beside reading the repository. */
const WRITES: Readonly<Record<string, readonly string[]>> = {
  "release.yaml push": ["id-token", "packages"],
  "release.yaml npm": ["id-token"],
  "release.yaml page": ["contents"],
  "scorecard.yaml scorecard": ["id-token", "security-events"],
  "codeql.yaml analyze": ["security-events"],
};

test("the files are those that are known", () => {
  expect(files.toSorted()).toEqual(["ci.yaml", "codeql.yaml", "release.yaml", "scorecard.yaml"]);
});

test("each action is pinned by its commit, with the version that Dependabot follows", () => {
  const uses = files.flatMap((file) =>
    readFileSync(join(DIRECTORY, file), "utf8")
      .split("\n")
      .filter((line) => /^ *(?:- )?uses: /.test(line)),
  );
  expect(uses.length).toBeGreaterThan(10);
  for (const line of uses)
    expect(line).toMatch(/uses: [\w-]+\/[\w-]+(?:\/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

test("no job has a right that it does not need", () => {
  for (const file of files) expect(at(workflow(file), "permissions"), file).toEqual({});
  for (const { where, job } of jobs) {
    const rights = Object.entries(job.permissions).filter(([, right]) => right !== "read");
    expect(rights.map(([what]) => what).toSorted(), where).toEqual(WRITES[where] ?? []);
  }
});

test("each job ends, and runs of one branch or tag do not meet", () => {
  for (const { where, job } of jobs) expect(job["timeout-minutes"], where).toBeLessThanOrEqual(180);
  for (const file of files) expect(at(workflow(file), "concurrency.group"), file).toContain("github.ref");
  // A release that is cut short is published by half.
  expect(at(workflow("release.yaml"), "concurrency.cancel-in-progress")).toBe(false);
});

test("no script has text from outside or a secret in it, and no checkout leaves its token behind", () => {
  for (const { where, job } of jobs)
    for (const { uses = "", run = "", env = {}, with: options = {} } of job.steps) {
      expect(run, where).not.toMatch(/\$\{\{|echo.*\$TOKEN|set -x|printenv/);
      const secrets = Object.values(env).filter((value) => value.includes("secrets."));
      for (const value of secrets) expect(value, where).toMatch(/^\S+ secrets\.GITHUB_TOKEN \S+$/);
      if (uses.startsWith("actions/checkout@"))
        expect(options, where).toMatchObject({ "persist-credentials": false });
    }
});

test("a release tests and builds all before it pushes, and each of its steps is a make target", () => {
  const release = jobs.filter(({ file }) => file === "release.yaml");
  const order = Object.fromEntries(release.map(({ name, job }) => [name, job.needs]));
  expect(order).toEqual({
    test: undefined,
    build: undefined,
    push: ["test", "build"],
    npm: "push",
    page: "npm",
  });
  // YAML 1.1 reads `on` as true.
  expect(at(workflow("release.yaml"), "true")).toEqual({ push: { tags: ["v*"] } });
  const makefile = readFileSync("Makefile", "utf8");
  const targets = release.flatMap(({ job }) =>
    job.steps.flatMap(({ run = "" }) => /^make (\S+)$/.exec(run)?.[1] ?? []),
  );
  expect(targets.toSorted()).toEqual([
    "prove",
    "release-build",
    "release-npm",
    "release-page",
    "release-push",
  ]);
  for (const target of targets) expect(makefile).toMatch(new RegExp(`^${target}: `, "m"));
});

test("the forms ask for the report, and what they link to exists", () => {
  const form = readManifest(".github/ISSUE_TEMPLATE/bug.yml");
  const fields = at(form, "body") as readonly { readonly [key: string]: Plain }[];
  expect(fields.find(({ id }) => id === "report")).toMatchObject({
    attributes: { label: "Output of `ip-masq-agent report --redact`" },
    validations: { required: true },
  });
  const linked = readdirSync(".github/ISSUE_TEMPLATE").flatMap((name) =>
    [
      ...readFileSync(join(".github/ISSUE_TEMPLATE", name), "utf8").matchAll(/blob\/main\/([\w./-]+\.md)/g),
    ].map(([, path = ""]) => path),
  );
  expect(linked.length).toBeGreaterThan(2);
  for (const path of linked) expect(() => readFileSync(path), path).not.toThrow();
});

test("Dependabot follows actions, packages and the image", () => {
  const updates = at(readManifest(".github/dependabot.yml"), "updates") as Plain[];
  expect(updates.map((one) => at(one, "package-ecosystem"))).toEqual(["github-actions", "npm", "docker"]);
});
