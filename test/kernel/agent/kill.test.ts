/**
 * SIGKILL at any moment, while the configuration changes: the chain is always whole. KILLS in the environment
 * says how often (for each variant).
 */
import { afterAll, beforeAll, expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  FAMILIES,
  flags,
  labTest,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN, type Family, type Iptables, jumpNumber, type Variant } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { buildRunner, type Namespace, type Runner } from "../../lab/network/nftables-namespace.ts";

const { KILLS = "5" } = process.env;
const kills = Number(KILLS);

/** Rules enough that programming them takes a while, and their text more than fits a pipe. */
const ENTRIES = 600;
/** With link-local and MASQUERADE. */
const RULES = ENTRIES + 2;

/** Two configurations without an entry in common: a mixture would show. */
const CONFIGS = [0, 1].map((half) => {
  const list = Array.from({ length: ENTRIES }, (_, i) => [
    `10.${half * 100 + Math.floor(i / 256)}.${i % 256}.0/24`,
    `fd00:${half}:${i.toString(16)}::/48`,
  ]);
  return config({ nonMasqueradeCIDRs: list.flat(), cidrLimit: 2 * ENTRIES });
});

let runner: Runner;
const readers = new WeakMap<Lab, Namespace>();

beforeAll(async () => {
  runner = await buildRunner();
});

afterAll(async () => {
  await runner.leave();
  runner.remove();
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Swaps the configurations at random intervals until told to end; returns the index of the last. */
async function keepSwapping({ volume }: Lab, ended: AbortSignal): Promise<number> {
  let current = 0;
  while (!ended.aborted) {
    current = 1 - current;
    volume.write(CONFIGS[current] ?? "");
    await pause(30 + Math.random() * 150);
  }
  return current;
}

/** How long an agent takes from its start until it has programmed this configuration. */
async function measureStart(lab: Lab, variant: Variant, text: string): Promise<number> {
  lab.volume.write(text);
  const startedAt = performance.now();
  const agent = lab.startAgent({ flags: flags(variant) });
  await eventually(() => expect(agent.log().match(/IPv[46]: programmed/g)).toHaveLength(FAMILIES.length));
  await agent.end();
  return performance.now() - startedAt;
}

/** Starts an agent and kills it, again and again, mostly when it programs its first ruleset or, as the configuration changes, a later one. */
async function keepKilling(lab: Lab, variant: Variant, count: number, startMs: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const agent = lab.startAgent({ flags: flags(variant) });
    await pause(startMs * (0.4 + Math.random() * 2));
    await agent.end("SIGKILL");
  }
}

/**
 * What tells one chain from another, rule by rule; undefined if there is no chain. nf_tables is read over netlink, until
 * two readings agree: the kernel's listing of a long chain, and so the tools', can be cut short by a commit.
 */
async function look(lab: Lab, variant: Variant, family: Family): Promise<readonly string[] | undefined> {
  if (variant === "legacy")
    return (await lab.iptables(variant, family).listing(CHAIN))?.filter((line) => line.startsWith("-A"));
  readers.set(lab, readers.get(lab) ?? runner.inside(lab.inside("node")));
  const chain = { family: family === "IPv4" ? "ip" : "ip6", table: "nat", chain: CHAIN } as const;
  return readers.get(lab)?.call("images", chain);
}

/** Both families' chains; a reader answers one question at a time. */
async function lookAtBoth(lab: Lab, variant: Variant): Promise<(string | undefined)[]> {
  const chains: (string | undefined)[] = [];
  for (const family of FAMILIES) chains.push((await look(lab, variant, family))?.join("\n"));
  return chains;
}

/** Looks at both families' chains until told to end; returns what it saw, named, with how often. */
async function keepLooking(
  lab: Lab,
  variant: Variant,
  name: (chain: string | undefined) => string,
  ended: AbortSignal,
): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  while (!ended.aborted) {
    for (const what of (await lookAtBoth(lab, variant)).map(name)) seen.set(what, (seen.get(what) ?? 0) + 1);
    await pause(10);
  }
  return seen;
}

/** How many rules a chain has. */
function countRules(chain: string | undefined): number {
  return chain?.split("\n").filter((line) => line !== "").length ?? 0;
}

/** Waits until both families' chains are complete, with no chain of those given; returns them. */
function wholeChains(lab: Lab, variant: Variant, unlike: readonly string[] = []): Promise<string[]> {
  return eventually(async () => {
    const chains = (await lookAtBoth(lab, variant)).map((chain) => chain ?? "");
    expect(chains.map(countRules)).toEqual([RULES, RULES]);
    for (const chain of chains) expect(unlike.includes(chain)).toBe(false);
    return chains;
  });
}

/** The two rulesets as the agent programs them undisturbed: IPv4 and IPv6 of the first, then of the second. */
async function learnRulesets(lab: Lab, variant: Variant): Promise<string[]> {
  const agent = lab.startAgent({ flags: flags(variant) });
  const rulesets: string[] = [];
  for (const text of CONFIGS) {
    lab.volume.write(text);
    rulesets.push(...(await wholeChains(lab, variant, rulesets)));
  }
  await agent.end();
  return rulesets;
}

/** As if there had never been an agent. */
async function removeAll(iptables: Iptables): Promise<void> {
  await iptables.transact(`-D POSTROUTING ${await jumpNumber(iptables)}`, `-F ${CHAIN}`, `-X ${CHAIN}`);
}

describeKernel.each(VARIANTS_SHOWN)(
  "SIGKILL, iptables-%s",
  { timeout: 300_000 + kills * 4_000 },
  (variant) => {
    labTest(
      `a chain that is whole stays whole over ${kills} kills, and a restart converges`,
      async ({ lab }) => {
        const rulesets = await learnRulesets(lab, variant);
        const startMs = await measureStart(lab, variant, CONFIGS[0] ?? "");
        const name = (chain: string | undefined) => {
          const index = rulesets.indexOf(chain ?? "");
          return index < 0 ? `neither: ${countRules(chain)} rules` : `ruleset ${index}`;
        };
        const end = new AbortController();
        const looking = keepLooking(lab, variant, name, end.signal);
        const swapping = keepSwapping(lab, end.signal);
        await keepKilling(lab, variant, kills, startMs).finally(() => end.abort());
        const seen = await looking;
        console.log(
          `iptables-${variant}, ${kills} kills (start to rules ${startMs.toFixed(0)} ms), looks that found: ${JSON.stringify(Object.fromEntries(seen))}`,
        );
        expect([...seen.keys()].filter((what) => what.startsWith("neither"))).toEqual([]);

        const last = await swapping;
        lab.startAgent({ flags: flags(variant) });
        const wanted = rulesets.slice(2 * last, 2 * last + 2);
        await eventually(async () => expect(await lookAtBoth(lab, variant)).toEqual(wanted));
        for (const iptables of bothFamilies(lab, variant)) {
          const postrouting = (await iptables.listing("POSTROUTING")) ?? [];
          expect(postrouting.filter((rule) => rule.endsWith(`-j ${CHAIN}`))).toHaveLength(1);
        }
      },
    );

    labTest(
      "before the first programming the chain may be absent or empty, but never half",
      async ({ lab }) => {
        const startMs = await measureStart(lab, variant, CONFIGS[0] ?? "");
        await Promise.all(bothFamilies(lab, variant).map(removeAll));
        const end = new AbortController();
        const looking = keepLooking(lab, variant, (chain) => String(countRules(chain)), end.signal);
        await keepKilling(lab, variant, Math.ceil(kills / 4), startMs).finally(() => end.abort());
        expect([...(await looking).keys()].filter((count) => !["0", String(RULES)].includes(count))).toEqual(
          [],
        );
        lab.startAgent({ flags: flags(variant) });
        await wholeChains(lab, variant);
      },
    );
  },
);
