/**
 * `explain` says what a real packet shows: by the configuration, and with `--live` by the node's rules, those of others in
 * front of ours included. In the environment: EXPLAINED, how many random nodes each backend gets (5; at length 300, some ten
 * minutes); EXPLAINED_SEED, to see the same ones again, as it is printed.
 */
import { expect } from "vitest";
import type { ExplainView, PartView } from "../../../src/explain/view.ts";
import { cells } from "../../lab/length.ts";
import { toolThat } from "../../lab/network/broken-tools.ts";
import { createCase, createRandom } from "../../lab/network/equivalence-configs.ts";
import { openProber } from "../../lab/network/equivalence-prober.ts";
import { ENTRANCES, essence, foreignChains, foreignTable, OTHER } from "../../lab/network/explain-rules.ts";
import { config, describeKernel, FAMILIES, labTest } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, familyOf, type Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const { PATH = "", EXPLAINED = "5", EXPLAINED_SEED = String(Date.now() % 2 ** 31) } = process.env;
const nodes = Number(EXPLAINED);
const seed = Number(EXPLAINED_SEED);

const BACKENDS = {
  "iptables-nft": { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=0"], lines: 2 },
  "iptables-legacy": {
    flags: ["--backend=iptables", "--iptables-mode=legacy", "--ipset-threshold=0"],
    lines: 2,
  },
  ipset: { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=1"], lines: 2 },
  nftables: { flags: ["--backend=nftables"], lines: 1 },
} as const;

const SEEN = { keep: "pod", masquerade: "node", translate: "other" } as const;

/** What `explain` says in the node about each destination; one part each. `path` is where tools are looked for. */
async function explain(
  lab: Lab,
  destinations: readonly string[],
  flags: readonly string[],
  path = PATH,
): Promise<{ code: number | string; parts: PartView[]; notRead: readonly string[] }> {
  const args = [
    agentBundle(),
    "explain",
    `--config=${lab.volume.path}`,
    "--enable-ipv6",
    "-o",
    "json",
    ...flags,
    ...destinations,
  ];
  const command = [`PATH=${path}`, process.execPath, ...args];
  const { code, stdout, stderr } = await lab.inNode("env", command);
  if (stdout === "") throw new Error(`explain: ${code}: ${stderr}`);
  const { destinations: views, notRead = [] } = JSON.parse(stdout) as ExplainView;
  expect(views.map(({ destination }) => destination)).toEqual(destinations);
  return { code, notRead, parts: views.map(({ parts }) => parts[0] as PartView) };
}

/** Without any tool an answer may be open, or none, but it is not wrong. */
function expectHonest(bare: Awaited<ReturnType<typeof explain>>, parts: readonly PartView[]): void {
  for (const [at, { agrees, live }] of parts.entries()) {
    const untold = bare.parts[at];
    expect(["depends", "unknown", agrees], JSON.stringify(untold)).toContain(untold?.agrees);
    if (bare.notRead.length === 0 && untold?.live?.possible.length === 0)
      expect(untold.live.verdict, JSON.stringify(untold)).toBe(live?.verdict);
  }
}

/** Waits until the agent has said so often that it has put rules in force. */
function inForce(log: () => string, times: number): Promise<void> {
  return eventually(() => {
    if (log().split(": programmed ").length - 1 < times) throw new Error("not in force");
  });
}

function whoIs(destination: string, address: string): string {
  const family = familyOf(destination);
  if (address === POD[family]) return "pod";
  return address === NODE[family] ? "node" : address === OTHER[family] ? "other" : address;
}

/** One that nft shows, and one that it does not. */
const SHOWN = cells(Object.entries(BACKENDS), ([name]) => ["nftables", "iptables-legacy"].includes(name));

describeKernel("explain and real packets", { timeout: 60_000 + nodes * 8_000 }, () => {
  for (const [backend, { flags, lines }] of SHOWN) {
    labTest(`${backend}: ${nodes} random nodes, seed ${seed}`, { concurrent: true }, async ({ lab }) => {
      const prober = await openProber(lab);
      const dying = `${toolThat(lab, "nft", "kill -SEGV $$")}:${PATH}`;
      const random = createRandom(seed);
      const counts = { probes: 0, differing: 0, seen: {} as Record<string, number> };
      const variant = backend === "iptables-legacy" ? "legacy" : "nft";
      let agent: ReturnType<Lab["startAgent"]> | undefined;
      for (let i = 0; i < nodes; i++) {
        const one = createCase(i, random, false);
        lab.volume.write(config(one.fields));
        agent ??= lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
        await inForce(agent.log, (i + 1) * lines);
        for (const family of FAMILIES) {
          const lines = i === 0 ? ENTRANCES : [];
          await lab.iptables(variant, family).transact(...lines);
          await lab.iptables(variant, family).transact(...foreignChains(family, one.probes, random));
        }
        const nft = foreignTable(one.probes, variant === "legacy" ? [90, 110] : [90, 100, 110], random);
        const made = await lab.inNode("nft", ["-f", "-"], nft);
        expect(made, nft).toMatchObject({ code: 0 });
        const seen = await prober.probe(one.probes);
        for (const family of FAMILIES) {
          const asked = [...one.probes.keys()].filter((at) => familyOf(one.probes[at] ?? "") === family);
          const probes = asked.map((at) => one.probes[at] ?? "");
          const known = ["--live", `--source=${POD[family]}`, "--protocol=udp", "--out-interface=eth0"];
          const { parts } = await explain(lab, probes, known);
          if (i % 2 === 0) {
            // Where the tool nft dies, the kernel says the same.
            const kernel = await explain(lab, probes, known, dying);
            expect(kernel.parts.map(essence), `node ${i} of seed ${seed}`).toEqual(parts.map(essence));
          } else expectHonest(await explain(lab, probes, known, "/nonexistent"), parts);
          for (const [at, { live, verdict, agrees }] of parts.entries()) {
            const probe = probes[at] ?? "";
            const actual = whoIs(probe, seen[asked[at] ?? -1]?.address ?? "nothing");
            // All is known of the packet, so nothing is left open.
            const said = `${live?.possible.length === 0 ? "" : "perhaps "}${SEEN[live?.verdict as keyof typeof SEEN]}`;
            expect(said, `${probe} in node ${i} of seed ${seed}: ${JSON.stringify(live)}`).toBe(actual);
            const wanted = one.expected(probe);
            expect(verdict === "keep" ? "pod" : "node", probe).toBe(wanted);
            expect(agrees, probe).toBe(
              wanted === "pod" ? (actual === "pod" ? "yes" : "no") : actual === "pod" ? "no" : "yes",
            );
            counts.probes++;
            if (agrees === "no") counts.differing++;
            counts.seen[`${family} ${actual}`] = (counts.seen[`${family} ${actual}`] ?? 0) + 1;
          }
        }
      }
      console.log(
        `explain, ${backend}, ${nodes} nodes (seed ${seed}): ${counts.probes} probes, ${JSON.stringify(counts.seen)}, ${counts.differing} decided by others, 0 wrong`,
      );
      expect(Object.keys(counts.seen).length).toBeGreaterThanOrEqual(4);
      expect(counts.differing).toBeGreaterThan(0);
    });
  }
});
