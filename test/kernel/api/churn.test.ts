/**
 * Edits while agent and API server are restarted, the way between them breaks, and the kubelet brings the file late: the agent never
 * goes back to an older text. CHURN is the number of edits, SEED the order of things.
 */
import { expect } from "vitest";
import { clusterTest, PORT, type StandIn } from "../../lab/network/api-cluster.ts";
import { config, describeKernel } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";
import { pause } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { generator } from "../../lab/random.ts";

const { CHURN = "16", SEED = "1" } = process.env;
const EDITS = Number(CHURN);

/** Each edit has a block of its own. */
const textOf = (edit: number) =>
  config({ nonMasqueradeCIDRs: [`10.${edit >> 8}.${edit & 255}.0/24`], resyncInterval: "1h" });

/** The edits that an agent has put in force, in order. */
function takenBy(agent: Agent): number[] {
  const lines = agent.log().matchAll(/using config: .*?"10\.(\d+)\.(\d+)\.0\/24"/g);
  return [...lines].map(([, high, low]) => Number(high) * 256 + Number(low));
}

describeKernel("--config-map in trouble", { timeout: 300_000 + EDITS * 5_000 }, () => {
  clusterTest(`never back to an older text in ${EDITS} edits (SEED=${SEED})`, async ({ lab, cluster }) => {
    const random = generator(Number(SEED));
    const agents: Agent[] = [];
    let edit = 0;
    let shown = 0;
    let server: StandIn | undefined;
    let isCut = false;
    const cut = (now: boolean) => {
      isCut = now;
      const rule = `add table inet cut; add chain inet cut input { type filter hook input priority 0; }; add rule inet cut input tcp dport ${PORT} reject with tcp reset`;
      return lab.inNode("nft", [now ? rule : "delete table inet cut"]);
    };
    const startServer = async () => {
      server = await cluster.startServer(1_000 + edit);
      server.edit(textOf(edit));
    };
    const startAgent = () => agents.push(cluster.startAgent("--v=2"));
    const happenings: readonly (() => unknown)[] = [
      () => {
        shown = edit;
        lab.volume.write(textOf(edit));
      },
      async () => {
        await agents.at(-1)?.end("SIGKILL");
        startAgent();
      },
      async () => {
        if (server === undefined) return startServer();
        await server.end();
        server = undefined;
      },
      () => cut(!isCut),
    ];
    lab.volume.write(textOf(0));
    await startServer();
    const since = performance.now();
    startAgent();
    await eventually(() => expect(agents.flatMap(takenBy)).toEqual([0]));
    // Agents live about as long as they take to begin, however busy the machine is.
    const beginMs = performance.now() - since;
    for (; edit < EDITS || agents.flatMap(takenBy).length <= EDITS / 8; ) {
      edit++;
      server?.edit(textOf(edit));
      for (const happen of happenings) if (random() < 0.3) await happen();
      await pause(beginMs * random());
    }
    if (isCut) await cut(false);
    if (server === undefined) await startServer();
    lab.volume.write(textOf(edit));
    await eventually(() => expect(takenBy(agents.at(-1) as Agent).at(-1)).toBe(edit));
    const taken = agents.flatMap(takenBy);
    expect(shown).toBeLessThanOrEqual(edit);
    expect(taken).toEqual(taken.toSorted((a, b) => a - b));
  });
});
