/** Commands beside an agent take over what its command line says, so that nobody has to repeat it. */
import { expect } from "vitest";
import { describeKernel, labTest } from "./fixture.ts";
import { agentBundle, eventually, type Lab } from "./lab.ts";

function run(lab: Lab, ...args: readonly string[]) {
  return lab.inNode(process.execPath, [agentBundle(), ...args]);
}

describeKernel("commands beside an agent", { timeout: 60_000 }, () => {
  labTest("work with its flags, unless they are given others", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    const flags = ["--backend=nftables", "--enable-ipv6", "--http-address=127.0.0.1:9123"];
    const agent = lab.startAgent({ flags });
    await eventually(async () => expect(await run(lab, "status")).toMatchObject({ code: 0 }));
    expect((await run(lab, "status")).stdout).toMatch(/IPv6: .* in force/);

    // Like a pod, each process in a lab has mounts of its own.
    const config = `/proc/${agent.pid}/root${lab.volume.path}`;
    const taken = `--config=${config} --enable-ipv6=true --backend=nftables`;
    expect(await run(lab, "diff")).toEqual({
      code: 0,
      stdout: `no difference between the live rules of this node (nftables) and ${config}\n`,
      stderr: `ip-masq-agent diff: ${taken}, as of the agent with pid ${agent.pid}\n`,
    });
    const explained = await run(lab, "explain", "--live", "10.1.2.3", "2001:db8:1::1");
    expect(explained).toMatchObject({ code: 0 });
    expect(explained.stdout).toContain("10.1.2.3: keeps the pod's address");
    expect(explained.stdout).toContain("2001:db8:1::1: masqueraded");

    // What is given counts: with this backend, no rule is where it should be.
    expect(await run(lab, "diff", "--backend=iptables")).toMatchObject({ code: 1 });
    expect(await run(lab, "status", "--http-address=127.0.0.1:9124")).toMatchObject({ code: 1 });
    await agent.end();
    expect(await run(lab, "status")).toMatchObject({ code: 1 });
  });

  labTest("say that an agent which serves nothing cannot be asked", async ({ lab }) => {
    const agent = lab.startAgent({ flags: ["--http-address="] });
    const why = `the agent with pid ${agent.pid} cannot be asked: its --http-address is empty`;
    await eventually(async () => expect((await run(lab, "status")).stderr).toContain(why));
  });

  labTest("take them from the agent that is meant", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    lab.startAgent({ flags: ["--http-address=127.0.0.1:9125"] });
    await eventually(async () => expect(await run(lab, "status")).toMatchObject({ code: 0 }));
    await lab.inNode("sh", ["-c", `printf 'nonMasqueradeCIDRs: [11.0.0.0/8]\\n' >'${lab.directory}/b.yaml'`]);
    const flags = ["--masq-chain=BBB", "--http-address=127.0.0.1:9126", `--config=${lab.directory}/b.yaml`];
    lab.startAgent({ flags });
    const asked = () => run(lab, "diff", "--masq-chain=BBB");
    await eventually(async () => expect(await asked()).toMatchObject({ code: 0 }));
    expect((await asked()).stdout).toContain("b.yaml");
  });
});
