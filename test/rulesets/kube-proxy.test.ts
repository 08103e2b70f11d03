/**
 * What we say of the rules of a real kube-proxy, beside where 52 real packets went (kube-proxy-1.36/README.md): each endpoint that
 * they may reach, no other, and what it sees.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatAddress, parseAddress } from "../../src/core/cidr.ts";
import { localAddresses } from "../../src/system/addresses.ts";
import { parseIptablesSave } from "../../src/trace/iptables-save.ts";
import type { Hook } from "../../src/trace/model.ts";
import { parseNftJson } from "../../src/trace/nft/json.ts";
import type { Trace } from "../../src/trace/outcome.ts";
import { tracePacket } from "../../src/trace/trace.ts";

const DIRECTORY = join(import.meta.dirname, "kube-proxy-1.36");
const NODE = ["10.202.0.2", "fd00:10:202::2", "10.244.0.1", "fd00:10:244::1"];
const LOCAL = localAddresses(NODE);

const FILES = {
  nftables: {
    none: ["nftables.json"],
    "masquerade-all": ["nftables-masquerade-all.json"],
    agent: ["nftables-1.0.6-agent.json"],
  },
  iptables: {
    none: ["iptables.save", "ip6tables.save"],
    "masquerade-all": ["iptables-masquerade-all.save", "ip6tables-masquerade-all.save"],
    agent: ["iptables-1.8.9-agent.save", "ip6tables-1.8.9-agent.save"],
  },
} as const;
type Mode = keyof typeof FILES;
type State = keyof (typeof FILES)[Mode];

interface Probe {
  readonly name: string;
  readonly service: string | null;
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly oneOf?: readonly string[];
  readonly measured: Record<Mode, Record<State, Measured>>;
}
interface Measured {
  readonly failed?: string;
  readonly reached?: readonly { readonly endpoint: string; readonly sourceSeen: string }[];
}
const { probes } = JSON.parse(read("expected.json")) as { probes: readonly Probe[] };

function read(name: string): string {
  return readFileSync(join(DIRECTORY, name), "utf8");
}

function hooksOf(mode: Mode, state: State): Hook[] {
  return FILES[mode][state].flatMap((name) => {
    const text = read(name);
    const dump = mode === "nftables" ? parseNftJson(text) : parseIptablesSave(text);
    if (!dump.ok) throw new Error(`${name}:${dump.line}: ${dump.message}`);
    return dump.hooks;
  });
}

/** The answer for the probe's packet: each place that it may reach, and its verdict there. */
function answer(hooks: readonly Hook[], { from, to, protocol }: Probe): string[] {
  const [, host = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(to) ?? [];
  const destination = parseAddress(host);
  const source = parseAddress(from);
  if (destination === undefined || source === undefined) throw new Error(to);
  const { family } = destination;
  const packet = {
    family,
    destination: destination.value,
    port: Number(port),
    source: source.value,
    protocol,
    mark: 0,
  };
  const tell = ({ possible, otherwise }: Trace, place: string): string[] =>
    [...possible, otherwise].flatMap(({ verdict, endpoints }) =>
      endpoints === undefined
        ? [`${place} ${verdict}`]
        : endpoints.flatMap((one) =>
            tell(one.trace, placeText(formatAddress(family, one.destination), one.port)),
          ),
    );
  return tell(tracePacket(hooks, packet, LOCAL), to).sort();
}

function placeText(address: string, port: number | undefined): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** The only right answers to what was seen, if the packet's way is certain. */
function expected({ to, from, oneOf }: Probe, { failed, reached = [] }: Measured): string[][] {
  // In mode iptables, a packet to a port that the Service lacks goes on as if there were no Service; no host is there.
  if (failed === "no answer") return [[`${to} drop`], [`${to} keep`]];
  if (failed !== undefined) return [[`${to} drop`]];
  const seen = reached.map(
    ({ endpoint, sourceSeen }) => `${endpoint} ${sourceSeen === from ? "keep" : "masquerade"}`,
  );
  // With sessionAffinity, which endpoint was chosen first is chance.
  const [, rest = ""] = /(:\d+ \w+)$/.exec(seen[0] ?? "") ?? [];
  return [(oneOf?.map((endpoint) => `${endpoint}${rest}`) ?? seen).sort()];
}

describe.each(["nftables", "iptables"] as const)("kube-proxy in mode %s", (mode) => {
  test.each(["none", "masquerade-all", "agent"] as const)("%s", (state) => {
    const hooks = hooksOf(mode, state);
    const wrong = [];
    for (const probe of probes) {
      const said = answer(hooks, probe);
      const right = expected(probe, probe.measured[mode][state]);
      if (!right.some((one) => one.join() === said.join())) wrong.push({ name: probe.name, said, right });
    }
    expect(wrong).toEqual([]);
    expect(probes).toHaveLength(52);
  });

  test("pods and the world outside are answered exactly, whatever the protocol", () => {
    const hooks = hooksOf(mode, "agent");
    const ask = (to: string) =>
      [undefined, "tcp", "udp"].map((protocol) => {
        const { family, value: destination } = parseAddress(to) ?? {};
        if (family === undefined || destination === undefined) throw new Error(to);
        const known = { family, destination, mark: 0, ...(protocol === undefined ? {} : { protocol }) };
        const { possible, otherwise } = tracePacket(hooks, known, LOCAL);
        return [...possible, otherwise].map(({ verdict }) => verdict).join();
      });
    for (const to of ["10.244.0.12", "10.244.9.9", "10.1.2.3", "fd00:10:244::12", "169.254.169.254"])
      expect(ask(to), to).toEqual(["keep", "keep", "keep"]);
    for (const to of ["8.8.8.8", "198.51.100.1", "2001:db8:198::1", "fd00:10:50::1"])
      expect(ask(to), to).toEqual(["masquerade", "masquerade", "masquerade"]);
  });
});
