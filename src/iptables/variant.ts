/**
 * `--iptables-mode=auto`: the variant that holds the kubelet's chains, as iptables-wrappers finds it
 * (github.com/kubernetes-sigs/iptables-wrappers): `KUBE-IPTABLES-HINT`, or `KUBE-KUBELET-CANARY` of older
 * kubelets, in `mangle` of either family; without any, nft.
 */

import { FAMILIES, type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { ifFound } from "../netlink/errors.ts";
import { chain as chainQuery } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CommandError } from "../system/command-error.ts";
import { legacyTables } from "../system/legacy-tables.ts";
import type { Run } from "../system/script.ts";
import { type IptablesVariant, type NamedVariant, toolsOf } from "./tools.ts";

const HINT_CHAINS = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];
const DEADLINE_MS = 5_000;

/** The variant to use; `tables` names the legacy tables that exist. */
export async function chooseVariant(
  run: Run,
  tables: (family: Family) => readonly string[] = legacyTables,
): Promise<NamedVariant> {
  if (await hasHint("nft", FAMILIES, run)) return "nft";
  const looked = FAMILIES.filter((family) => tables(family).includes("mangle"));
  return (await hasHint("legacy", looked, run)) ? "legacy" : "nft";
}

/** The variant that `--iptables-mode` means on this node, now. */
export async function resolveVariant(mode: IptablesVariant | "auto", run: Run): Promise<IptablesVariant> {
  return mode === "auto" ? chooseVariant(run) : mode;
}

/** The hints that need no tool: chains of the nft variant, and whether the legacy one may have any. */
export async function seenHints(nftables: Nftables): Promise<string> {
  const found: string[] = [];
  for (const family of Object.values(NFT_FAMILIES))
    for (const name of HINT_CHAINS) {
      const hint = await ifFound(nftables.read(chainQuery({ family, table: "mangle", chain: name })));
      if (hint !== undefined) found.push(`${family} ${name}`);
    }
  return [...found, ...FAMILIES.filter((family) => legacyTables(family).includes("mangle"))].join();
}

async function hasHint(variant: NamedVariant, families: readonly Family[], run: Run): Promise<boolean> {
  for (const family of families) {
    for (const chain of HINT_CHAINS) {
      if (await exists(toolsOf(variant, family).command, chain, run)) return true;
    }
  }
  return false;
}

async function exists(file: string, chain: string, run: Run): Promise<boolean> {
  const script = {
    file,
    args: ["-t", "mangle", "-S", chain],
    purpose: `looking for ${chain}`,
    accept: [1],
    deadlineMs: DEADLINE_MS,
  };
  try {
    return (await run(script)).exitCode === 0;
  } catch (error) {
    // A variant that is not installed, or does not work, holds no chains for us.
    if (error instanceof CommandError) return false;
    throw error;
  }
}
