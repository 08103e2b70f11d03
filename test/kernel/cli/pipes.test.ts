/** Exit codes in a pipeline, where a reader may not wait for the end of the answer. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attempt } from "../../lab/command.ts";
import { agentBundle } from "../../lab/network/lab.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "pipes-"));
  const cidrs = Array.from({ length: 20_000 }, (_, i) => `11.${i >> 7}.${(i & 127) * 2}.0/24`);
  writeFileSync(join(directory, "old"), "{}");
  writeFileSync(join(directory, "new"), JSON.stringify({ cidrLimit: 30_000, nonMasqueradeCIDRs: cidrs }));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The exit code of a command whose reader stops early, or whose output cannot be written. */
async function exitCode(args: string, reader: string) {
  const command = `"$0" "$1" ${args} ${reader}; code=\${PIPESTATUS[0]}; echo; echo $code`;
  const shell = ["-c", `cd '${directory}'; ${command}`, process.execPath, agentBundle()];
  const { stdout, stderr } = await attempt("bash", shell);
  return `${stdout.trimEnd().split("\n").at(-1)}${stderr}`;
}

const DIFF = "diff --no-adopt --connections=false -o json";

test.each<[string, string, string]>([
  ["a difference", `${DIFF} --config=old new`, "1"],
  ["none", `${DIFF} --config=new new`, "0"],
  ["a question that has an answer", "validate --no-adopt -o json new", "0"],
])("the exit code is the answer's when the reader leaves early: %s", async (_, args, code) => {
  for (const reader of ["| head -c 1", "| true"])
    expect([reader, await exitCode(args, reader)]).toEqual([reader, code]);
});

test.each([
  [`${DIFF} --config=old new`, "2"],
  ["validate --no-adopt new", "1"],
])("an answer that cannot be written is a failure: %s", async (args, code) => {
  expect(await exitCode(args, ">/dev/full")).toBe(code);
});
