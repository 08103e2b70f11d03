/** Commands next to an agent use the flags of its command line, so that there is no need to repeat them. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { DiffView } from "../../../src/diff/view.ts";
import { cells } from "../../lab/length.ts";
import { describeKernel, labTest, saysInForce } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";

function run(lab: Lab, ...args: readonly string[]) {
  return lab.program(args);
}

describeKernel("commands beside an agent", () => {
  labTest("work with its flags, unless they are given others", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    const flags = ["--backend=nftables", "--enable-ipv6", "--http-address=127.0.0.1:9123"];
    const agent = lab.startAgent({ flags });
    await saysInForce(lab);
    expect((await run(lab, "status")).stdout).toMatch(/IPv6: .* in force/);

    // Like a pod, each process in a lab has mounts of its own.
    const config = `/proc/${agent.pid}/root${lab.volume.path}`;
    const taken = `--config=${config} --enable-ipv6=true --backend=nftables`;
    expect(await run(lab, "diff")).toEqual({
      code: 0,
      stdout: `no difference between the live rules of this node (nftables) and ${config}\n`,
      stderr: `ip-masq-agent diff: ${taken}, from the agent with pid ${agent.pid}\n`,
    });
    const explained = await run(lab, "explain", "--live", "10.1.2.3", "2001:db8:1::1");
    expect(explained).toMatchObject({ code: 0 });
    expect(explained.stdout).toContain("10.1.2.3: keeps the pod's address");
    expect(explained.stdout).toContain("2001:db8:1::1: masqueraded");

    // Given flags count: with this backend, no rule is where it should be.
    expect(await run(lab, "diff", "--backend=iptables")).toMatchObject({ code: 1 });
    expect(await run(lab, "status", "--http-address=127.0.0.1:9124")).toMatchObject({ code: 1 });
    await agent.end();
    expect(await run(lab, "status")).toMatchObject({ code: 1 });
  });

  labTest("say that an agent which serves nothing cannot be asked", async ({ lab }) => {
    const agent = lab.startAgent({ flags: ["--http-address="] });
    const why = `the agent with pid ${agent.pid} cannot answer: its --http-address is empty`;
    await eventually(async () => expect((await run(lab, "status")).stderr).toContain(why));
  });

  labTest("take them from the agent that is meant", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    lab.startAgent({ flags: ["--http-address=127.0.0.1:9125"] });
    await saysInForce(lab);
    await lab.inNode("sh", ["-c", `printf 'nonMasqueradeCIDRs: [11.0.0.0/8]\\n' >'${lab.directory}/b.yaml'`]);
    const flags = ["--masq-chain=BBB", "--http-address=127.0.0.1:9126", `--config=${lab.directory}/b.yaml`];
    lab.startAgent({ flags });
    const asked = () => run(lab, "diff", "--masq-chain=BBB");
    await eventually(async () => expect(await asked()).toMatchObject({ code: 0 }));
    expect((await asked()).stdout).toContain("b.yaml");
  });

  labTest("take them in every command, unless told not to", async ({ lab }) => {
    // Refused without the agent's flags: an IPv6 entry, and more than 64 of them in a chain.
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n");
    const agent = lab.startAgent({
      flags: ["--enable-ipv6", "--backend=nftables", "--http-address=127.0.0.1:9127"],
    });
    await saysInForce(lab);
    const config = `/proc/${agent.pid}/root${lab.volume.path}`;
    const lines = ["explain fd00::1", `validate ${config}`, "render", `diff ${config}`, "diff", "status"];
    for (const line of lines) {
      const words = line.split(" ");
      const { code, stdout, stderr } = await run(lab, ...words);
      expect([line, code, stderr]).toEqual([
        line,
        0,
        expect.stringMatching(/^ip-masq-agent .*, from the agent with pid \d+\n$/),
      ]);
      expect(stdout, line).not.toBe("");
      // On its own the command has other flags, and so another answer.
      const alone = await run(lab, ...words, "--no-adopt");
      expect(alone.stderr, line).not.toContain("as of");
      expect({ line, code: alone.code, stdout: alone.stdout }).not.toEqual({ line, code, stdout });
    }
    expect((await run(lab, "doctor")).stdout).toContain(`using the flags of the agent with pid ${agent.pid}`);
    expect((await run(lab, "doctor", "--no-adopt")).stdout).not.toContain("using the flags of");
  });

  labTest("take them from ours before the Go program, and say which one it is", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    // A file of its own name, which no node runs.
    const go = join(lab.directory, "ip-masq-agent");
    await copyFile("/bin/sleep", go);
    lab.startAgent({ wrapper: ["bash", "-c", `exec '${go}' 600`] });
    await eventually(async () =>
      expect((await run(lab, "status")).stderr).toMatch(/the Go program with pid \d+ cannot answer/),
    );
    const agent = lab.startAgent({ flags: ["--enable-ipv6"] });
    await saysInForce(lab);
    const { stdout, stderr } = await run(lab, "explain", "fd00::1");
    expect(stderr).toMatch(
      /2 agents run here: this is about the agent with pid \d+, not the Go program with pid \d+;/,
    );
    expect(stderr).toContain(`--enable-ipv6=true, from the agent with pid ${agent.pid}`);
    expect(stdout).not.toContain("--enable-ipv6 is off");
  });

  for (const backend of cells(["iptables", "nftables"], (name) => name === "nftables"))
    labTest(`compare a new configuration with the rules in force (${backend})`, async ({ lab }) => {
      const next = async () => {
        const text = "nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n";
        const { code, stdout } = await lab.program(["diff", "-o=json", "-"], { stdin: text });
        const { from, verdicts } = JSON.parse(stdout) as DiffView;
        return { code, from, kept: verdicts.flatMap(({ newlyKept }) => newlyKept.cidrs) };
      };
      lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
      const agent = lab.startAgent({ flags: [`--backend=${backend}`] });
      await saysInForce(lab);
      const path = `/proc/${agent.pid}/root${lab.volume.path}`;
      const from = `${path} (in force, says the agent with pid ${agent.pid})`;
      expect(await next()).toEqual({ code: 1, from, kept: ["172.16.0.0/12"] });

      for (const [refused, why] of [
        ["nonMasqueradeCIDRs: [172.16.0.1/12]\n", "172.16.0.1"],
        ["{", "unexpected end"],
        ["nonMasqueradeCIDRs: [fd00::/8]\n", "fd00::"],
      ] as const) {
        lab.volume.write(refused);
        const live = new RegExp(
          `^the live rules of this node .* has not put .* in force: .*ip-masq-agent:1:.*${why}`,
        );
        await eventually(async () =>
          expect(await next()).toEqual({
            code: 1,
            kept: ["172.16.0.0/12"],
            from: expect.stringMatching(live),
          }),
        );
      }
      // What the agent has read by now it says itself; a file that is younger is not in force yet.
      lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
      await eventually(async () => expect((await next()).from).toBe(from));
      process.kill(agent.pid, "SIGSTOP");
      lab.volume.write("nonMasqueradeCIDRs: []\n");
      const stopped = await next();
      expect(stopped.from).toMatch(/does not say whether it is in force: .*no answer within 5 s/);
      process.kill(agent.pid, "SIGCONT");
    });
});
