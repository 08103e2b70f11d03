/** `--to-ports=local`: rules, and ports of real packets, follow the node's own settings. */
import { expect } from "vitest";
import { config, describeKernel, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] });

async function set(lab: Lab, range: string, reserved = ""): Promise<void> {
  const settings = [`net.ipv4.ip_local_port_range=${range}`, `net.ipv4.ip_local_reserved_ports=${reserved}`];
  expect(await lab.inNode("sysctl", ["-q", "-w", ...settings])).toMatchObject({ code: 0 });
}

/** The ports that a receiver sees. Of TCP, whose first packet is sent again if it is lost. */
async function portsSeen(lab: Lab): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let i = 0; i < 6; i++) ports.push((await lab.flow("tcp", "8.8.8.8")).port);
  return ports;
}

describeKernel.each([["iptables"], ["nftables"]])("%s with --to-ports=local", (backend) => {
  labTest("masquerades with the node's own ports, and follows a change of them", async ({ lab }) => {
    await set(lab, "40000 40099", "40010-40089");
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: [`--backend=${backend}`, "--to-ports=local"] });
    await eventually(() => expect(agent.log()).toContain(": programmed "));
    expect(agent.log()).toContain("--to-ports=local: 40000-40009,40090-40099, 20 ports, 0 % of");
    for (const port of await portsSeen(lab))
      expect((port >= 40_000 && port <= 40_009) || (port >= 40_090 && port <= 40_099), `${port}`).toBe(true);
    await set(lab, "29000 31000");
    await eventually(async () => {
      expect(agent.log()).toContain("--to-ports=local: 29000-29999, 1000 ports");
      for (const port of await portsSeen(lab)) expect(Math.floor(port / 1_000)).toBe(29);
    });
    // Nothing is left: the last ones stay, and that is said once.
    await set(lab, "30000 32000");
    await eventually(() => expect(logged(agent, "W", "the last ports stay")).toHaveLength(1));
    for (const port of await portsSeen(lab)) expect(Math.floor(port / 1_000)).toBe(29);
    expect(logged(agent, "W", "healed")).toEqual([]);
    expect(logged(agent, "E")).toEqual([]);
  });

  labTest("does not start where no port is left", async ({ lab }) => {
    await set(lab, "30000 32000");
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: [`--backend=${backend}`, "--to-ports=local"] });
    expect(await agent.ended).toBe(1);
    expect(
      logged(agent, "F", 'Invalid --to-ports flag "local": net.ipv4.ip_local_port_range (30000-32000)'),
    ).toHaveLength(1);
  });
});
