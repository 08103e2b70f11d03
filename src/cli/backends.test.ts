import { describe, expect, test } from "vitest";
import { recordedLog } from "../../test/lab/log.ts";
import { createNode } from "../../test/lab/node.ts";
import type { Chosen } from "../agent/choose.ts";
import type { BackendName } from "../backend/driver.ts";
import { probe } from "../iptables/probe.ts";
import { NftablesError } from "../netlink/errors.ts";
import type { Query } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { DriverWorld } from "./backend.ts";
import { allCommands, BACKENDS, backendOf, otherDrivers, otherTraces } from "./backends.ts";

const NAMES = Object.keys(BACKENDS) as BackendName[];
const { signal } = new AbortController();

/** A world in which nf_tables has these chains. */
function worldOf(iptablesMode: "auto" | "path", chains: readonly string[]): DriverWorld {
  const read = async <T>({ what }: Query<T>): Promise<T> => {
    if (chains.includes(what)) return {} as T;
    throw new NftablesError({ code: "ENOENT", what, why: "not there" });
  };
  const nftables = { read, close: () => {} } as unknown as Nftables;
  return {
    flags: { masqChain: "X", iptablesMode, ipsetThreshold: 0 },
    tools: { run: createNode().run, probe, log: recordedLog().log },
    nftables: {},
    memoryLimit: undefined,
    open: async () => nftables,
    signal,
  };
}

describe("each row", () => {
  test.each(NAMES)("%s makes drivers and answers for commands under its own name", async (name) => {
    const row = BACKENDS[name];
    expect(row.createDriver("path", worldOf("path", [])).name).toBe(name);
    expect((await row.commands()).doctor.name).toBe(name);
    expect(backendOf(name)).toBe(row);
    expect(otherTraces(name)).toEqual(NAMES.filter((one) => one !== name).map((one) => BACKENDS[one].traces));
  });

  test("reports in the order of the table", async () => {
    expect((await allCommands()).map(({ doctor }) => doctor.name)).toEqual(NAMES);
  });
});

const LEGACY = (["IPv4", "IPv6"] as const).some(hasLegacyNat) ? ["iptables"] : [];
const CHAIN = "chain ip6 nat X";

test.each<[string, Pick<Chosen, "name" | "variant">, "auto" | "path", readonly string[], readonly string[]]>([
  ["nftables, nothing there", { name: "nftables", variant: "path" }, "path", [], LEGACY],
  [
    "nftables beside a chain",
    { name: "nftables", variant: "path" },
    "path",
    [CHAIN],
    ["iptables", ...LEGACY],
  ],
  ["a named iptables", { name: "iptables", variant: "path" }, "path", [CHAIN], ["nftables"]],
  [
    "iptables-legacy of auto",
    { name: "iptables", variant: "legacy" },
    "auto",
    [CHAIN],
    ["nftables", "iptables"],
  ],
  ["iptables-nft of auto", { name: "iptables", variant: "nft" }, "auto", [CHAIN], ["nftables", ...LEGACY]],
])("what an agent does not have as its own: %s", async (_, choice, mode, chains, expected) => {
  const drivers = await otherDrivers({ ok: true, why: "", ...choice }, worldOf(mode, chains));
  expect(drivers.map(({ name }) => name)).toEqual(expected);
});
