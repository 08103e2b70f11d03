/**
 * What we say of the rules of a real kube-proxy, beside where 52 real packets went (kube-proxy-1.36/README.md): never wrong, and
 * not vague where no Service matches.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../src/core/cidr.ts";
import { localAddresses } from "../../src/system/addresses.ts";
import { parseIptablesSave } from "../../src/trace/iptables-save.ts";
import type { Hook } from "../../src/trace/model.ts";
import { parseNftJson } from "../../src/trace/nft/json.ts";
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

/** What may become of the probe's packet, by its protocol and addresses; its port is not known. */
function answer(hooks: readonly Hook[], { from, to, protocol }: Probe): string[] {
  const host = to.replace(/^\[?(.*?)\]?:\d+$/, "$1");
  const destination = parseAddress(host);
  const source = parseAddress(from);
  if (destination === undefined || source === undefined) throw new Error(to);
  const packet = {
    family: destination.family,
    destination: destination.value,
    source: source.value,
    protocol,
    mark: 0,
  };
  const { possible, otherwise } = tracePacket(hooks, packet, LOCAL);
  return [...possible, otherwise].map(({ verdict }) => verdict);
}

/** Whether an answer allows for what was seen. */
function allows(said: readonly string[], { to, from }: Probe, { failed, reached = [] }: Measured): boolean {
  if (said.includes("unknown")) return true;
  // Nobody is at the address in mode iptables, where a packet to a port that the Service lacks goes on as if there were no Service.
  if (failed === "no answer") return true;
  if (failed !== undefined) return said.includes("drop");
  return reached.every(({ endpoint, sourceSeen }) =>
    endpoint === to ? said.includes(sourceSeen === from ? "keep" : "masquerade") : said.includes("redirect"),
  );
}

describe.each(["nftables", "iptables"] as const)("kube-proxy in mode %s", (mode) => {
  test.each(["none", "masquerade-all", "agent"] as const)("%s", (state) => {
    const hooks = hooksOf(mode, state);
    const wrong = [];
    for (const probe of probes) {
      const measured = probe.measured[mode][state];
      const said = answer(hooks, probe);
      const isVague = probe.service === null && said.length > 1;
      // A Service is named, never taken for an address like others; but for a port that it does not have.
      const isMissed = probe.service !== null && said.join() !== "drop" && !/redirect|drop/.test(said.join());
      if (!allows(said, probe, measured) || isVague || isMissed)
        wrong.push({ name: probe.name, said, measured });
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
