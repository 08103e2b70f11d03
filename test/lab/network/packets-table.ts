/** Our table as the nftables backend plans it, put into the node of a lab without an agent: configurations follow each other fast. */
import { FAMILIES, parseAddress } from "../../../src/core/cidr.ts";
import type { NodeAddresses, Ruleset } from "../../../src/core/ruleset.ts";
import { planTable } from "../../../src/nftables/plan.ts";
import { NO_TABLE, TABLE, type TableState } from "../../../src/nftables/sets.ts";
import { rulesetOf } from "../config.ts";
import type { PacketSettings } from "../packets.ts";
import type { Lab } from "./lab.ts";
import type { Runner } from "./nftables-namespace.ts";

export interface OwnTable {
  /** Brings a configuration in force, from whatever is there, and checks that nothing is left to do. */
  readonly put: (settings: PacketSettings) => Promise<void>;
}

const MAX_BYTES = 400_000;

export function createOwnTable(lab: Lab, runner: Runner): OwnTable {
  const namespace = runner.inside(lab.inside("node"));
  const read = async (): Promise<TableState> => {
    try {
      return { ...(await namespace.call("list", TABLE)), objects: [] };
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return NO_TABLE;
      throw error;
    }
  };
  const planOf = async (rulesets: readonly Ruleset[]) => {
    const { refusal, steps } = planTable(rulesets, await read(), MAX_BYTES);
    if (refusal !== undefined) throw new Error(refusal);
    return steps.map(({ operations }) => operations);
  };
  return {
    async put(settings) {
      const rulesets = rulesetsOf(settings);
      await namespace.call("batches", await planOf(rulesets));
      const left = await planOf(rulesets);
      if (left.length > 0) throw new Error(`not in force: ${JSON.stringify(settings)}`);
    },
  };
}

/** The fields of a configuration file. */
export function fieldsOf({ pool: _, toPorts: __, ...fields }: PacketSettings): Omit<PacketSettings, "pool"> {
  return fields;
}

/** What a configuration comes to on a node with the addresses of its pool. */
export function rulesetsOf(settings: PacketSettings): Ruleset[] {
  const toPorts = (settings.toPorts ?? []).map(([first, last]) => ({
    first: BigInt(first),
    last: BigInt(last),
  }));
  const own = (settings.pool ?? []).map((address) => parseAddress(address));
  const ofFamily = (family: Ruleset["family"]) =>
    own.flatMap((address) => (address?.family === family ? address.value : []));
  const addresses: NodeAddresses = { IPv4: ofFamily("IPv4"), IPv6: ofFamily("IPv6") };
  const text = JSON.stringify(fieldsOf(settings));
  return FAMILIES.map((family) => rulesetOf(family, text, { enableIPv6: true, toPorts }, addresses));
}
