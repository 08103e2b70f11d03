/**
 * `explain` says what a real packet shows: by the configuration, and with `--live` by the node's rules, those of others in front of
 * ours and behind them included: Services in both of kube-proxy's forms, exemptions from conntrack, marks, drops in forward, and source
 * NAT. In the environment: EXPLAINED, how many random nodes each backend gets (3; at length 200, some ten minutes); EXPLAINED_SEED, to
 * see the same ones again, as it is printed.
 */
import { expect } from "vitest";
import type { ExplainView, PartView, TraceView } from "../../../src/explain/view.ts";
import { cells } from "../../lab/length.ts";
import { toolThat } from "../../lab/network/broken-tools.ts";
import { type Case, createCase, createRandom, type Random } from "../../lab/network/equivalence-configs.ts";
import { type Arrived, openProber } from "../../lab/network/equivalence-prober.ts";
import {
  ENTRANCES,
  essence,
  foreignChains,
  foreignTable,
  OTHER,
  pick,
} from "../../lab/network/explain-rules.ts";
import {
  BEFORE_ENTRANCES,
  beforeChains,
  beforeTables,
  createServices,
  type Service,
} from "../../lab/network/explain-services.ts";
import { config, describeKernel, FAMILIES, labTest } from "../../lab/network/fixture.ts";
import type { Variant } from "../../lab/network/iptables.ts";
import { eventually, familyOf, type Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const { PATH = "", EXPLAINED = "3", EXPLAINED_SEED = String(Date.now() % 2 ** 31) } = process.env;
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

const SEEN = {
  keep: "pod",
  untracked: "pod",
  masquerade: "node",
  translate: "other",
  drop: "nothing",
} as const;

/** Where tools are compared with the kernel alone, and with none at all: everywhere, or in one of so many. */
const COMPARED = nodes > 20 ? 5 : 1;

/** What `explain` says in the node about each destination; one part each. `path` is where tools are looked for. */
async function explain(
  lab: Lab,
  destinations: readonly string[],
  flags: readonly string[],
  path = PATH,
): Promise<{ code: number | string; parts: PartView[]; notRead: readonly string[] }> {
  const args = [
    "explain",
    `--config=${lab.volume.path}`,
    "--enable-ipv6",
    "-o",
    "json",
    ...flags,
    ...destinations,
  ];
  const { code, stdout, stderr } = await lab.program(args, { path });
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

/** Who was seen, and at which endpoint if it was a Service's. */
function whoIs(probe: string, arrived: Arrived | undefined): string {
  if (arrived === undefined) return "nothing";
  const [destination = "", port] = probe.split(" ");
  const family = familyOf(destination);
  const { address, to } = arrived;
  const names = { [POD[family]]: "pod", [NODE[family]]: "node", [OTHER[family]]: "other" };
  const at = port === undefined || Number(port) === to ? "" : ` at ${to}`;
  return `${names[address] ?? address}${at}`;
}

/** Whom the receivers may see, by what is said; each with the endpoint's port. */
function saidOf({ possible, ...otherwise }: TraceView, at = ""): string[] {
  return [...possible, otherwise].flatMap((one) =>
    one.isForNode === true
      ? ["nothing"]
      : one.endpoints === undefined
        ? [`${SEEN[one.verdict as keyof typeof SEEN] ?? one.verdict}${one.verdict === "drop" ? "" : at}`]
        : one.endpoints.flatMap(({ port, live }) => saidOf(live, ` at ${port}`)),
  );
}

/** Whether something is left open but for chance. */
function isVague({ possible, endpoints = [] }: TraceView): boolean {
  return possible.length > 0 || endpoints.some(({ live }) => isVague(live));
}

/** As a word of the command line. */
function wordOf(probe: string): string {
  const [address = "", port] = probe.split(" ");
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Puts a node's rules in force, those of others. */
async function furnish(
  lab: Lab,
  variant: Variant,
  one: Case,
  isFirst: boolean,
  random: Random,
): Promise<Service[]> {
  const services = createServices(one.probes, random);
  const form = pick(["iptables", "nftables"] as const, random);
  const inForm = (name: typeof form) => (form === name ? services : []);
  for (const family of FAMILIES) {
    const tool = `${family === "IPv4" ? "iptables" : "ip6tables"}-${variant}-restore`;
    const restore = async (text: string) =>
      expect(await lab.inNode(tool, ["-w", "10", "--noflush"], text), text).toMatchObject({ code: 0 });
    if (isFirst) await lab.iptables(variant, family).transact(...ENTRANCES);
    await lab.iptables(variant, family).transact(...foreignChains(family, one.probes, random));
    if (isFirst) await restore(BEFORE_ENTRANCES);
    await restore(beforeChains(family, inForm("iptables"), one.probes, random));
  }
  const after = foreignTable(one.probes, variant === "legacy" ? [90, 110] : [90, 100, 110], random);
  const nft = after + beforeTables(inForm("nftables"), one.probes, variant, random);
  expect(await lab.inNode("nft", ["-f", "-"], nft), nft).toMatchObject({ code: 0, stderr: "" });
  return services;
}

/** One that nft shows, and one that it does not. */
const SHOWN = cells(Object.entries(BACKENDS), ([name]) => ["nftables", "iptables-legacy"].includes(name));

describeKernel("explain and real packets", { timeout: 300_000 + nodes * 16_000 }, () => {
  for (const [backend, { flags, lines }] of SHOWN) {
    labTest(`${backend}: ${nodes} random nodes, seed ${seed}`, { concurrent: true }, async ({ lab }) => {
      const prober = await openProber(lab);
      const dying = `${toolThat(lab, "nft", "kill -SEGV $$")}:${PATH}`;
      const random = createRandom(seed);
      const counts = { probes: 0, vague: [] as string[], differing: 0, seen: {} as Record<string, number> };
      const variant = backend === "iptables-legacy" ? "legacy" : "nft";
      /** A few nodes may all have rules of one kind. */
      const isTelling = () => Object.keys(counts.seen).length >= 4 && counts.differing > 0;
      let agent: ReturnType<Lab["startAgent"]> | undefined;
      for (let i = 0; i < nodes || !isTelling(); i++) {
        const one = createCase(i, random, false);
        const before = agent?.log().length ?? 0;
        lab.volume.write(config(one.fields));
        agent ??= lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
        const { log } = agent;
        await inForce(() => log().slice(before), lines);
        const services = await furnish(lab, variant, one, i === 0, random);
        const all = [...one.probes, ...services.map(({ address, port }) => `${address} ${port}`)];
        const seen = await prober.look(all, 2);
        for (const family of FAMILIES) {
          const asked = [...all.keys()].filter((at) => familyOf(all[at] ?? "") === family);
          const probes = asked.map((at) => all[at] ?? "");
          const known = ["--live", `--source=${POD[family]}`, "--protocol=udp"];
          const words = probes.map(wordOf);
          const { parts } = await explain(lab, words, known);
          const where = `node ${i} of seed ${seed}`;
          if (i % (2 * COMPARED) === 0) {
            // Where the tool nft dies, the kernel says the same.
            const kernel = await explain(lab, words, known, dying);
            expect(kernel.parts.map(essence), where).toEqual(parts.map(essence));
          } else if (i % COMPARED === 0)
            expectHonest(await explain(lab, words, known, "/nonexistent"), parts);
          for (const [at, { live, verdict, agrees }] of parts.entries()) {
            const probe = probes[at] ?? "";
            if (live === undefined) throw new Error(`${probe}: no answer`);
            const said = saidOf(live);
            let actual = whoIs(probe, seen[asked[at] ?? -1]);
            // A packet may get lost; one that is dropped stays away.
            if (actual === "nothing" && !said.includes(actual))
              actual = whoIs(probe, (await prober.look([probe]))[0]);
            expect(said, `${probe} in ${where}: ${JSON.stringify(live)}`).toContain(actual);
            counts.probes++;
            if (isVague(live)) counts.vague.push(`${probe} in ${where}: ${JSON.stringify(live)}`);
            const who = actual.replace(/ at .*/, "");
            const kind = live.endpoints === undefined ? who : `Service ${who}`;
            counts.seen[`${family} ${kind}`] = (counts.seen[`${family} ${kind}`] ?? 0) + 1;
            if (isVague(live) || live.endpoints !== undefined) continue;
            const wanted = one.expected(probe.split(" ")[0] ?? "");
            expect(verdict === "keep" ? "pod" : "node", probe).toBe(wanted);
            const isRight = wanted === "pod" ? who === "pod" : who !== "pod" && who !== "nothing";
            expect(agrees, probe).toBe(isRight ? "yes" : "no");
            if (agrees === "no") counts.differing++;
          }
        }
      }
      console.log(
        `explain, ${backend}, ${nodes} nodes (seed ${seed}): ${counts.probes} probes, ${JSON.stringify(counts.seen)}, ${counts.differing} decided by others, ${counts.vague.length} left open, 0 wrong`,
      );
      // All is known of the packets, so nothing has to be left open.
      expect(counts.vague).toEqual([]);
    });
  }
});
