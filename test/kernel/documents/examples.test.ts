/** The examples of every command and page, as a reader would type them, on a node of their own where an agent runs. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { allManuals } from "../../../src/cli/help.ts";
import { documents, runnableCalls } from "../../lab/documents.ts";
import { describeKernel, labTest, programmed } from "../../lab/network/fixture.ts";
import { agentBundle, type Lab } from "../../lab/network/lab.ts";

const manuals = await allManuals(COMMANDS);
const shown = [
  ...manuals.flatMap(({ examples }) => examples.map(({ args }) => args)),
  ...documents().flatMap(({ text }) => runnableCalls(text)),
];
/** Those that change the node come last. */
const examples = [...new Set(shown)].sort(
  (a, b) => Number(a.startsWith("cleanup")) - Number(b.startsWith("cleanup")),
);

/** A directory with the files that examples name. */
function furnish(lab: Lab): string {
  const directory = join(lab.directory, "examples");
  mkdirSync(directory);
  symlinkSync(resolve("agent-config"), join(directory, "agent-config"));
  writeFileSync(join(directory, "old.yaml"), "nonMasqueradeCIDRs: [10.0.0.0/8]\n");
  writeFileSync(join(directory, "new.yaml"), "nonMasqueradeCIDRs: [10.0.0.0/9]\n");
  writeFileSync(
    join(directory, "configmap.yaml"),
    "kind: ConfigMap\ndata:\n  config: |\n    nonMasqueradeCIDRs: [10.0.0.0/8]\n",
  );
  return directory;
}

/** With the program's name as it would be installed. */
function type(lab: Lab, directory: string, args: string) {
  const program = `ip-masq-agent() { '${process.execPath}' '${agentBundle()}' "$@"; }`;
  return lab.inNode("bash", ["-c", `cd '${directory}'; ${program}; ip-masq-agent ${args}`]);
}

describeKernel("examples", () => {
  labTest("do what they say", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    lab.startAgent({ flags: ["--iptables-mode=nft", "--enable-ipv6"] });
    await programmed(lab, "nft");
    const directory = furnish(lab);
    const { stdout: ruleset } = await lab.inNode("nft", ["-j", "list", "ruleset"]);
    writeFileSync(join(directory, "rules.json"), ruleset);
    for (const args of examples) {
      const { code, stdout, stderr } = await type(lab, directory, args);
      // A negative answer is one too, but a wrong command line or a crash is none.
      expect([0, 1], `ip-masq-agent ${args}: ${stderr}`).toContain(code);
      expect((stdout + stderr).length).toBeGreaterThan(10);
      expect(stderr).not.toMatch(/^ {4}at /m);
      // A page that names a file which does not exist is wrong.
      expect(stderr).not.toContain("ENOENT");
      if (code === 1 && stdout === "") expect(stderr).toContain("ip-masq-agent");
    }
  });
});
