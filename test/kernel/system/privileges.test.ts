/** Where only nf_tables is used, NET_ADMIN is enough: no NET_RAW, and no lock. Rules of iptables-legacy need both. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { config, describeKernel, expectVerdicts, flags, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import { FLAGS } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] });
const VERDICTS = { "10.10.0.1": "pod", "8.8.8.8": "node", "fd00:10::1": "pod" } as const;

/** An agent without any capability but NET_ADMIN, and unless there is one in `env`, with a lock that no process can take. */
function startBare(lab: Lab, flags: readonly string[], env: NodeJS.ProcessEnv = NO_LOCK): Agent {
  const wrapper = [findTool("setpriv"), "--no-new-privs", "--bounding-set=-all,+net_admin"];
  return lab.startAgent({ flags, wrapper, env });
}

const NO_LOCK = { XTABLES_LOCKFILE: "/nowhere/xtables.lock" };

async function inForce(lab: Lab, agent: Agent): Promise<void> {
  await eventually(() => expect(agent.log()).toContain("serving at"));
  await eventually(() => expectVerdicts(lab, VERDICTS));
}

describeKernel("with NET_ADMIN alone", () => {
  const KINDS = { nftables: FLAGS, "iptables-nft": flags("nft"), ipset: flags("nft", "--ipset-threshold=1") };
  for (const [name, flags] of Object.entries(KINDS))
    labTest(`${name}: programs, heals and ends without NET_RAW and without a lock`, async ({ lab }) => {
      lab.volume.write(CONFIG);
      const agent = startBare(lab, flags);
      await inForce(lab, agent);
      expect(await lab.inNode("nft", ["flush", "ruleset"])).toMatchObject({ code: 0 });
      await eventually(() => expect(agent.log()).toContain("healed: "));
      await eventually(() => expectVerdicts(lab, VERDICTS));
      expect(logged(agent, "E")).toEqual([]);
      expect(existsSync(join(lab.directory, "xtables.lock"))).toBe(false);
      expect(await agent.end()).toBe(143);
    });

  labTest("nftables: takes over from iptables-nft, and leaves nothing of it", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const before = startBare(lab, flags("nft"));
    await inForce(lab, before);
    await before.end();
    const agent = startBare(lab, FLAGS);
    await inForce(lab, agent);
    await eventually(async () => expect(await iptablesState(lab)).toEqual([]));
    expect([...logged(agent, "E"), ...logged(agent, "W")]).toEqual([]);
  });

  labTest(
    "nftables: what iptables-legacy has left stays, what it takes is named, and with that it goes",
    async ({ lab }) => {
      lab.volume.write(CONFIG);
      const before = lab.startAgent({ flags: flags("legacy") });
      await inForce(lab, before);
      await before.end();
      const missing = { "mount the host's /run/xtables.lock": NO_LOCK, "needs the capability NET_RAW": {} };
      for (const [what, env] of Object.entries(missing)) {
        const bare = startBare(lab, FLAGS, env);
        await inForce(lab, bare);
        await eventually(() => expect(logged(bare, "W", what)).toHaveLength(1));
        expect(logged(bare, "E")).toEqual([]);
        expect(await iptablesState(lab)).not.toEqual([]);
        await bare.end();
      }

      const agent = lab.startAgent({ flags: FLAGS });
      await eventually(async () => expect(await iptablesState(lab)).toEqual([]));
      expect((await nftablesState(lab)).length).toBeGreaterThan(3);
      await expectVerdicts(lab, VERDICTS);
      expect(logged(agent, "E")).toEqual([]);
    },
  );
});
