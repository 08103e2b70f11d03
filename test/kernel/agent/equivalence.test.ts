/**
 * Random configurations, and real packets to the borders of their entries: on every backend the kernel does what
 * the documentation says. In the environment: VERDICTS, how many configurations each backend gets (15; at length
 * 2,000, some ten minutes); VERDICTS_SEED, to see the same ones again, as it is printed.
 */
import { expect } from "vitest";
import { type Case, createCase, createRandom, type Random } from "../../lab/network/equivalence-configs.ts";
import { openProber, type Prober } from "../../lab/network/equivalence-prober.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually, familyOf, type Lab } from "../../lab/network/lab.ts";
import type { Agent, Seen } from "../../lab/network/processes.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const { VERDICTS = "15", VERDICTS_SEED = String(Date.now() % 2 ** 31) } = process.env;
const configs = Number(VERDICTS);
const seed = Number(VERDICTS_SEED);

/** How an agent is started, and how many lines say that it has put a configuration in force: one for each family, or both. */
const BACKENDS = {
  "iptables-nft": { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=0"], lines: 2 },
  "iptables-legacy": {
    flags: ["--backend=iptables", "--iptables-mode=legacy", "--ipset-threshold=0"],
    lines: 2,
  },
  ipset: { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=1"], lines: 2 },
  nftables: { flags: ["--backend=nftables"], lines: 1 },
} as const;

const RANGES = [
  [20_000, 20_999],
  [40_000, 40_999],
] as const;
const TO_PORTS = `--to-ports=${RANGES.map((range) => range.join("-")).join()}`;
const RESERVED = "--nomasq-all-reserved-ranges";

/** Each gets its share of the configurations. */
const PHASES: readonly (readonly string[])[] = [[], [TO_PORTS], [RESERVED], ["--random-fully=false"]];

interface Result {
  probes: number;
  /** How often each was right, by family and who was seen. */
  readonly seen: Record<string, number>;
  /** Probes that would have gone another way if exceptions were ignored. */
  decidedByExceptions: number;
  readonly wrong: string[];
}

/** Asks about every probe of a case, and compares. */
async function check(prober: Prober, one: Case, toPorts: boolean, result: Result): Promise<void> {
  const seen = await prober.probe(one.probes);
  for (const [i, probe] of one.probes.entries()) {
    const expected = one.expected(probe);
    const actual = senderOf(probe, seen[i] as Seen, toPorts);
    result.probes++;
    if (one.withoutExceptions(probe) !== expected) result.decidedByExceptions++;
    const kind = `${familyOf(probe)} ${expected}`;
    if (actual === expected) result.seen[kind] = (result.seen[kind] ?? 0) + 1;
    else result.wrong.push(`${probe}: ${actual} instead of ${expected} with ${JSON.stringify(one.fields)}`);
  }
}

/** `pod`, `node`, or what else the receiver saw. */
function senderOf(probe: string, { address, port }: Seen, toPorts: boolean): string {
  const family = familyOf(probe);
  if (address === POD[family]) return "pod";
  const isRight = !toPorts || RANGES.some(([first, last]) => port >= first && port <= last);
  return address === NODE[family] && isRight ? "node" : `${address} port ${port}`;
}

/** Waits until the agent has said so often that it has put rules in force. */
async function inForce(agent: Agent, times: number, one: Case): Promise<void> {
  let ended: string | undefined;
  void agent.ended.then((how) => {
    ended = String(how);
  });
  await eventually(() => {
    const said = agent.log().split(": programmed ").length - 1;
    if (said >= times) return;
    throw new Error(
      `not in force (the agent ${ended ?? "lives"}, ${said} of ${times}): ${JSON.stringify(one.fields)}`,
    );
  });
}

/** One agent's share: it lives on while its configuration changes. */
async function runPhase(
  lab: Lab,
  prober: Prober,
  phase: { flags: readonly string[]; more: readonly string[]; lines: number; cases: readonly Case[] },
  result: Result,
): Promise<void> {
  const { flags, more, lines, cases } = phase;
  lab.volume.write(config((cases[0] as Case).fields));
  const agent = lab.startAgent({ flags: [...flags, ...more, "--enable-ipv6"] });
  for (const [i, one] of cases.entries()) {
    if (i > 0) lab.volume.write(config(one.fields));
    await inForce(agent, (i + 1) * lines, one);
    await check(prober, one, more.includes(TO_PORTS), result);
    if (result.wrong.length > 0) break;
  }
  await agent.end();
}

/** The same cases for every backend. */
function createPhases(random: Random): { more: readonly string[]; cases: readonly Case[] }[] {
  const share = Math.ceil(configs / PHASES.length);
  let index = 0;
  return PHASES.map((more) => ({
    more,
    cases: Array.from({ length: share }, () => createCase(index++, random, more.includes(RESERVED))),
  }));
}

describeKernel("the same verdicts on every backend", { timeout: 300_000 + configs * 2_000 }, () => {
  for (const [backend, { flags, lines }] of Object.entries(BACKENDS)) {
    labTest(`${backend}: ${configs} configurations, seed ${seed}`, { concurrent: true }, async ({ lab }) => {
      const prober = await openProber(lab);
      const result: Result = { probes: 0, seen: {}, decidedByExceptions: 0, wrong: [] };
      for (const phase of createPhases(createRandom(seed))) {
        await runPhase(lab, prober, { ...phase, flags, lines }, result);
        if (result.wrong.length > 0) break;
      }
      console.log(
        `${backend}, ${configs} configurations (seed ${seed}): ${result.probes} probes, ${JSON.stringify(result.seen)}, ${result.decidedByExceptions} decided by exceptions, ${result.wrong.length} wrong`,
      );
      expect(result.wrong).toEqual([]);
      // Probes that all went one way, or that no exception decided, would prove little.
      expect(Object.keys(result.seen).sort()).toEqual(["IPv4 node", "IPv4 pod", "IPv6 node", "IPv6 pod"]);
      expect(result.decidedByExceptions).toBeGreaterThan(configs / 4);
    });
  }
});
