/** A typo on the command line does not affect the running agent; at a terminal the answer has few lines. */
import { expect } from "vitest";
import { describeKernel, labTest, logged } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";

const PROGRAM = [process.execPath, agentBundle()] as const;

/** Runs the program as at a terminal, where lines end differently. */
async function typed(lab: Lab, line: string) {
  const { code, stdout } = await lab.inNode("script", ["-qec", `${PROGRAM.join(" ")} ${line}`, "/dev/null"]);
  return { code, text: stdout.replaceAll("\r\n", "\n") };
}

describeKernel("slips on the command line", () => {
  labTest("start no second agent", async ({ lab }) => {
    const agent = lab.startAgent({ flags: ["--backend=nftables"] });
    const rules = async () => (await lab.inNode("nft", ["list", "ruleset"])).stdout;
    await eventually(() => expect(agent.log()).toContain(": programmed "));
    const before = await rules();
    const lines = [
      "expalin 10.1.2.3",
      "Status",
      "staus",
      "10.1.2.3",
      "--backend=nftables status",
      "--masq-chain A -- diff",
      "run --v=2 status",
      "--enable-ipv6 true explain 10.1.2.3",
    ];
    for (const line of lines) {
      const { code, stdout, stderr } = await lab.inNode(PROGRAM[0], [PROGRAM[1], ...line.split(" ")]);
      expect([line, code, stdout]).toEqual([line, 2, ""]);
      expect(stderr).toMatch(/^ip-masq-agent: .*\n(See .*\n)?$/);
      expect(await rules(), line).toBe(before);
    }
    expect(await agent.end()).toBe(143);
  });

  labTest("are told in few lines at a terminal, where the name alone shows the commands", async ({ lab }) => {
    const answers: Record<string, RegExp> = {
      "": /^Keeps .*\n\nUsage: .*\n\nCommands:\n.*To run the agent by hand.* ip-masq-agent run\n/s,
      "--backnd=nftables": /^ip-masq-agent: flag provided .*-backnd: did you mean --backend\?\nSee .*\n$/,
      "--enable-ipv6=maybe": /^ip-masq-agent: invalid boolean value .*\nSee .*\n$/,
      "--backend=nftables staus": /^ip-masq-agent: unknown command "staus": did you mean status\?\nSee .*\n$/,
      Status: /^ip-masq-agent: unknown command "Status": did you mean status\?\nSee .*\n$/,
    };
    for (const [line, answer] of Object.entries(answers)) {
      const { code, text } = await typed(lab, line);
      expect([line, code]).toEqual([line, 2]);
      expect(text).toMatch(answer);
    }
    const { code, stderr } = await lab.inNode(PROGRAM[0], [PROGRAM[1], "--backnd=nftables"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^flag provided but not defined: -backnd\nUsage of ip-masq-agent:\n/);
    expect((await lab.inNode("nft", ["list", "ruleset"])).stdout).toBe("");
  });

  labTest.for([
    ["whose container has a terminal", "unshare --pid --fork --kill-child ", ""],
    ["that has no input", "", " </dev/null"],
  ])("do not keep an agent from its work %s", async ([, before, after], { lab }) => {
    const typed = `exec script -qec '${before}${PROGRAM.join(" ")}${after}' /dev/null`;
    const { log } = lab.startAgent({ wrapper: ["bash", "-c", typed] });
    await eventually(() => expect(log()).toContain("programmed chain IP-MASQ-AGENT"));
  });

  labTest("behind flags are warned of once, with the flags that they hide", async ({ lab }) => {
    const agent = lab.startAgent({ flags: ["--enable-ipv6", "true", `--masq-chain=HIDDEN`] });
    await eventually(() => expect(agent.log()).toContain("programmed chain IP-MASQ-AGENT"));
    expect(logged(agent, "W", "ignored")).toEqual([
      expect.stringMatching(/ignored: "true" --masq-chain=HIDDEN: .*Write --enable-ipv6=true$/),
    ]);
  });
});
