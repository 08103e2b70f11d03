/** What `render` prints, carried out with the real tools, is what `run` programs. */
import { expect } from "vitest";
import { describeKernel, labTest, VARIANTS } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";

const CONFIG = JSON.stringify({
  nonMasqueradeCIDRs: ["10.0.0.0/8", "0.0.0.0/0", "198.51.100.7/32", "fd00::/8", "2001:db8::/32"],
  masqueradeCIDRs: ["10.10.1.0/24", "fd00:10:1::/48"],
});

const CASES: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    VARIANTS.flatMap((variant) => [
      [`iptables-${variant}`, [`--iptables-mode=${variant}`, "--to-ports=1024-2048,4000"]],
      [`iptables-${variant} with sets`, [`--iptables-mode=${variant}`, "--ipset-threshold=1"]],
    ]),
  ),
  nftables: ["--backend=nftables", "--to-ports=1024-2048,4000"],
};

/** All rules and sets of the node, without counters and what the kernel made up; elements have no order in a set. */
async function state(lab: Lab): Promise<readonly string[]> {
  const { stdout } = await lab.inNode("ipset", ["save"]);
  const sets = stdout.split("\n").map((line) => line.replace(/ (?:initval|bucketsize) \S+/g, ""));
  const rules = [...(await iptablesState(lab)), ...(await nftablesState(lab))];
  return [...rules.map((line) => line.replace(/\[\d+:\d+\]|packets \d+ bytes \d+/g, "N")), ...sets.sort()];
}

/** Takes away all that is ours, and the agent has no part in it. */
async function wipe(lab: Lab): Promise<void> {
  const script = `
    for tool in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
      case $tool in *legacy) grep -qx nat /proc/net/\${tool%%tables*}_tables_names || continue;; esac
      $tool -w 10 -t nat -F; $tool -w 10 -t nat -X
    done
    # The kernel takes rules away a little later than it says, and a set is in use for so long.
    n=0; until ipset destroy || [ $n = 600 ]; do n=$((n + 1)); sleep 0.1; done
    nft delete table inet ip-masq-agent 2>/dev/null
    true`;
  expect(await lab.inNode("sh", ["-c", script])).toMatchObject({ code: 0 });
}

describeKernel("render", () => {
  labTest.for(Object.entries(CASES))("%s", async ([, options], { lab }) => {
    const flags = ["--enable-ipv6", ...options];
    lab.volume.write(CONFIG);
    const render = ["render", `--config=${lab.volume.path}`, ...flags];
    const { stdout, stderr, code } = await lab.program(render);
    expect(code).toBe(0);
    expect(stderr).toContain("covers every IPv4 address");

    const agent = lab.startAgent({ flags });
    const groups = options.includes("--backend=nftables") ? 1 : 2;
    await eventually(() => expect(agent.log().split(": programmed ")).toHaveLength(groups + 1));
    await agent.end("SIGKILL");
    const programmed = await state(lab);
    expect(programmed.length).toBeGreaterThan(10);

    await wipe(lab);
    expect((await state(lab)).filter((line) => /masq/i.test(line))).toEqual([]);
    expect(await lab.inNode("sh", [], stdout)).toMatchObject({ code: 0, stderr: "" });
    expect(await state(lab)).toEqual(programmed);

    const second = lab.startAgent({ flags });
    await eventually(() => expect(second.log().split(" is in force already")).toHaveLength(groups + 1));
  });
});
