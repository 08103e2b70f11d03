/** What the README shows of a command's answer is what the command answers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { explainCommand } from "../../src/cli/commands/explain.ts";
import { say } from "../lab/io.ts";

const readme = readFileSync("README.md", "utf8");

test("explain, as shown, of the configuration as shown", async () => {
  const shown =
    /With a `config\.yaml` of `([^`]*)`:\n\n```console\n\$ ip-masq-agent explain --config=config\.yaml ([^\n]*)\n(.*?)```/s.exec(
      readme,
    );
  const [, config = "", destinations = "", answer] = shown ?? [];
  const directory = mkdtempSync(join(tmpdir(), "readme-"));
  try {
    const path = join(directory, "config.yaml");
    writeFileSync(path, `${config}\n`);
    const { code, out, err } = await say(explainCommand, [`--config=${path}`, ...destinations.split(" ")]);
    expect([code, err]).toEqual([0, ""]);
    expect(out.replaceAll(`${directory}/`, "")).toBe(answer);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
