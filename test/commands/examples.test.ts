/** The examples of every command, as a reader would type them, on a node of their own where an agent runs. */
import { expect } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { allManuals } from "../../src/cli/help.ts";
import { describeKernel, labTest, programmed } from "../netns/fixture.ts";
import { agentBundle, type Lab } from "../netns/lab.ts";

const manuals = await allManuals(COMMANDS);
/** Those that change the node come last. */
const examples = manuals
  .flatMap(({ examples }) => examples.map(({ args }) => args))
  .sort((a, b) => Number(a.startsWith("cleanup")) - Number(b.startsWith("cleanup")));

/** In the project's directory, with the program's name as it would be installed. */
function type(lab: Lab, args: string) {
  const script = `ip-masq-agent() { '${process.execPath}' '${agentBundle()}' "$@"; }; ip-masq-agent ${args}`;
  return lab.inNode("bash", ["-c", script]);
}

describeKernel("examples", { timeout: 120_000 }, () => {
  labTest("do what they say", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    lab.startAgent({ flags: ["--iptables-mode=nft", "--enable-ipv6"] });
    await programmed(lab, "nft");
    for (const args of examples) {
      const { code, stdout, stderr } = await type(lab, args);
      // A negative answer is one too, but a wrong command line or a crash is none.
      expect([0, 1], `ip-masq-agent ${args}: ${stderr}`).toContain(code);
      expect((stdout + stderr).length).toBeGreaterThan(10);
      expect(stderr).not.toMatch(/^ {4}at /m);
      if (code === 1 && stdout === "") expect(stderr).toContain("ip-masq-agent");
    }
  });
});
