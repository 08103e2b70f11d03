/** How the agent reads configurations as people write them: the same as Go, and the warnings that it adds. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { validateCommand } from "../../src/cli/commands/validate.ts";
import { decodeConfig } from "../../src/core/config.ts";
import { parseDuration, toMilliseconds } from "../../src/go/duration.ts";
import { OPTIONS } from "../lab/config.ts";
import { say } from "../lab/io.ts";

const FILES = join("test", "configs", "files");
const names = readdirSync(FILES).sort();
const answers = readFileSync(join("test", "configs", "go-answers.tsv"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => line.split("\t") as [name: string, verdict: string, what: string]);

const decode = (name: string) => {
  const bytes = readFileSync(join(FILES, name));
  return decodeConfig({ kind: "file", files: [{ path: name, bytes }] }, OPTIONS);
};

/** The configuration in Go's words: intervals in milliseconds, no list as an empty one, and without our own keys. */
function asGo(json: string): object {
  const { nonMasqueradeCIDRs, resyncInterval, ...rest } = JSON.parse(json);
  const interval = parseDuration(resyncInterval);
  const resyncIntervalMs = interval.ok ? toMilliseconds(interval.nanoseconds) : undefined;
  return { nonMasqueradeCIDRs: nonMasqueradeCIDRs ?? [], resyncIntervalMs, ...rest };
}

test("there is an answer of Go for each file", () => {
  expect(answers.map(([name]) => name).sort()).toEqual(names);
  expect(names.length).toBeGreaterThan(80);
});

describe("the decoder agrees with Go about", () => {
  test.each(answers)("%s", (name, verdict, what) => {
    const decoded = decode(name);
    expect(decoded.ok ? "OK" : "REFUSED").toBe(verdict);
    if (!decoded.ok) return;
    const { nonMasqueradeCIDRs, ...rest } = decoded.value.config;
    // Keys that Go does not have are no matter here.
    expect({ nonMasqueradeCIDRs: nonMasqueradeCIDRs.map(({ text }) => text), ...rest }).toMatchObject(
      asGo(what),
    );
  });
});

describe("validate says of", () => {
  test.each(names)("%s", async (name) => {
    const { out, code } = await say(validateCommand, [join(FILES, name)]);
    expect(`${out.replaceAll(`${FILES}/`, "")}exit code ${code}`).toMatchSnapshot();
  });
});

/** A warning for a sane file would teach people to ignore warnings: each accepted file that has one is listed here. */
test("no other accepted file than these has a warning", async () => {
  const warned: Record<string, string> = {};
  for (const [name, verdict] of answers) {
    const { out } = await say(validateCommand, ["-o", "json", join(FILES, name)]);
    const { warnings } = JSON.parse(out).files[0] as {
      readonly warnings: readonly { readonly code: string }[];
    };
    if (verdict === "OK" && warnings.length > 0) warned[name] = warnings.map(({ code }) => code).join(" ");
  }
  expect(warned).toMatchInlineSnapshot(`
    {
      "04-fury-empty.yaml": "empty",
      "07-tf-gke-module-empty-list.yaml": "empty",
      "10-issue65-null-list.yaml": "empty",
      "16-tke-json-src.yaml": "unknown-key",
      "19-tke-json-pretty.yaml": "unknown-key",
      "20-cilium-helm-json-empty.yaml": "empty",
      "31-snatTarget-fork.yaml": "unknown-key",
      "32-outputInterface-103.yaml": "unknown-key unknown-key",
      "34-masqueradeAll.yaml": "unknown-key",
      "38-tf-indented-heredoc.yaml": "suspicious suspicious",
      "40-tf-yamlencode.yaml": "suspicious",
      "43-aks-cp.yaml": "redundant redundant redundant suspicious suspicious",
      "50-shell-empty-vars.yaml": "empty redundant empty",
      "55-test-127.yaml": "unknown-key",
      "m13-helm-values-wrong-level.yaml": "unknown-key",
      "m8-tke-single-quoted-json.yaml": "unknown-key",
      "s11-dup-key.yaml": "ignored",
      "s40-typo.yaml": "unknown-key",
      "s41-other-names.yaml": "unknown-key unknown-key unknown-key",
      "s43-dups.yaml": "redundant redundant redundant",
      "s53-config-key-inside.yaml": "nested",
      "s55-azure-key-inside.yaml": "nested",
    }
  `);
});
