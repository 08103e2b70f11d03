/**
 * `explain --live` beside the rules of a real kube-proxy, loaded on a node with the addresses and routes of the one where they were
 * recorded: each of 52 probes gets the endpoints that real packets reached, and the source address that was seen there.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { DestinationView, TraceView } from "../../../src/explain/view.ts";
import { cells } from "../../lab/length.ts";
import { toolThat } from "../../lab/network/broken-tools.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";

const DIRECTORY = join(import.meta.dirname, "../../rulesets/kube-proxy-1.36");
const STATES = { none: "", "masquerade-all": "-masquerade-all", agent: "-agent" } as const;
type State = keyof typeof STATES;

interface Probe {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly oneOf?: readonly string[];
  readonly measured: Record<"nftables" | "iptables", Record<State, Measured>>;
}
interface Measured {
  readonly failed?: string;
  readonly reached?: readonly { readonly endpoint: string; readonly sourceSeen: string }[];
}
const { probes } = JSON.parse(readFileSync(join(DIRECTORY, "expected.json"), "utf8")) as {
  probes: readonly Probe[];
};

/** The links, addresses and routes of the node (kube-proxy-1.36/README.md). */
const NODE = [
  "link add k8s0 type veth peer name k8s0-peer",
  "link set k8s0-peer up",
  "link set k8s0 up",
  "addr add 10.202.0.2/24 dev k8s0",
  "addr add fd00:10:202::2/64 dev k8s0 nodad",
  "route replace default via 10.202.0.1",
  "-6 route replace default via fd00:10:202::1",
  ...["11", "12", "13", "21"].flatMap((pod) => [
    `link add v${pod} type veth peer name v${pod}-peer`,
    `link set v${pod}-peer up`,
    `link set v${pod} up`,
    `addr add 10.244.0.1/32 dev v${pod}`,
    `addr add fd00:10:244::1/128 dev v${pod} nodad`,
    `route add 10.244.0.${pod}/32 dev v${pod}`,
    `route add fd00:10:244::${pod}/128 dev v${pod}`,
  ]),
];

async function furnish({ inNode }: Lab): Promise<void> {
  for (const line of NODE) expect(await inNode("ip", line.split(" ")), line).toMatchObject({ code: 0 });
}

/** The answers for all probes from one address with one protocol, in their order. */
async function explain(lab: Lab, asked: readonly Probe[], path: string): Promise<readonly DestinationView[]> {
  const [{ from, protocol }] = asked as [Probe];
  const flags = [
    "--live",
    "--no-adopt",
    "-o=json",
    "--config=/dev/null",
    `--source=${from}`,
    `--protocol=${protocol}`,
  ];
  const args = ["explain", ...flags, ...asked.map(({ to }) => to)];
  const { stdout, stderr } = await lab.program(args, { path });
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as { destinations: DestinationView[] }).destinations;
}

/** `PLACE SOURCE` for each place that the packet may come to. */
function told({ possible, ...otherwise }: TraceView, place: string, from: string): string[] {
  return [...possible, otherwise].flatMap(({ verdict, source, endpoints }) => {
    if (endpoints === undefined) return [`${place} ${verdict === "keep" ? from : (source ?? verdict)}`];
    return endpoints.flatMap(({ destination, port, live }) =>
      told(live, `${destination.includes(":") ? `[${destination}]` : destination}:${port}`, from),
    );
  });
}

/** The only right answers to what was seen. */
function expected({ to, from, oneOf }: Probe, { failed, reached = [] }: Measured): string[] {
  if (failed === "no answer") return [`${to} drop`, `${to} ${from}`];
  if (failed !== undefined) return [`${to} drop`];
  const seen = reached.map(({ endpoint, sourceSeen }) => `${endpoint} ${sourceSeen}`);
  // With sessionAffinity, which endpoint was chosen first is chance.
  const [, rest = ""] = /(:\d+ \S+)$/.exec(seen[0] ?? "") ?? [];
  return [(oneOf?.map((endpoint) => `${endpoint}${rest}`) ?? seen).sort().join()];
}

/** `isShown` are the questions, of which `make prove` asks all. */
async function check(
  lab: Lab,
  mode: "nftables" | "iptables",
  state: State,
  path: string,
  isShown: (at: number) => boolean,
): Promise<void> {
  const groups = cells([...groupProbes().values()], (_, at) => isShown(at));
  const wrong = [];
  for (const asked of groups)
    for (const [at, view] of (await explain(lab, asked, path)).entries()) {
      const probe = asked[at] as Probe;
      const { live } = view.parts[0] ?? {};
      const said = live === undefined ? "nothing" : told(live, probe.to, probe.from).sort().join();
      const right = expected(probe, probe.measured[mode][state]);
      if (!right.includes(said)) wrong.push({ name: probe.name, said, right });
    }
  expect(wrong).toEqual([]);
}

/** Those of one question each. */
function groupProbes(): Map<string, Probe[]> {
  const groups = new Map<string, Probe[]>();
  for (const probe of probes) {
    const key = `${probe.from} ${probe.protocol}`;
    groups.set(key, [...(groups.get(key) ?? []), probe]);
  }
  return groups;
}

describeKernel("kube-proxy 1.36", () => {
  const { PATH = "" } = process.env;
  const states = Object.entries(STATES) as [State, string][];
  for (const [state, suffix] of cells(states, ([name]) => name === "agent")) {
    labTest(`mode nftables, ${state}, by the tool and by the kernel`, async ({ lab }) => {
      await furnish(lab);
      const loaded = await lab.inNode("nft", ["-f", join(DIRECTORY, `nftables-1.0.6${suffix}.nft`)]);
      expect(loaded).toMatchObject({ code: 0 });
      await check(lab, "nftables", state, PATH, () => true);
      const dying = `${toolThat(lab, "nft", "kill -SEGV $$")}:${PATH}`;
      await check(lab, "nftables", state, dying, (at) => at % 2 === 0);
    });

    for (const variant of ["nft", "legacy"] as const)
      labTest(`mode iptables-${variant}, ${state}`, async ({ lab }) => {
        await furnish(lab);
        for (const tool of ["iptables", "ip6tables"]) {
          const name = `${tool}${state === "agent" ? "-1.8.9" : ""}${suffix}.save`;
          const saved = readFileSync(join(DIRECTORY, name), "utf8");
          // It needs an object of accounting, which dumps do not have.
          const text = saved.replaceAll(/ -m nfacct --nfacct-name\s+\S+/g, "");
          expect(await lab.inNode(`${tool}-${variant}-restore`, [], text)).toMatchObject({ code: 0 });
        }
        const parity = variant === "nft" ? 0 : 1;
        await check(lab, "iptables", state, PATH, (at) => at % 2 === parity);
      });
  }
});
