/**
 * `--iptables-mode=auto`: the variant that holds the kubelet's chains, as iptables-wrappers finds it
 * (github.com/kubernetes-sigs/iptables-wrappers): `KUBE-IPTABLES-HINT`, or `KUBE-KUBELET-CANARY` of older
 * kubelets, in `mangle` of either family; without any, nft.
 *
 * A legacy tool is run only if the kernel says that the table is there: looking would make it, and from then
 * on iptables-nft would warn of it for ever.
 */
import { readFileSync } from "node:fs";
import type { Answer, Script } from "../backend/backend.ts";
import type { IptablesVariant } from "../backend/iptables.ts";
import { CommandError } from "./exec.ts";

type Run = (script: Script) => Promise<Answer>;

const HINT_CHAINS = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];
const DEADLINE_MS = 10_000;

/** Where the kernel lists the legacy tables that exist. */
const LEGACY_TABLES = {
  iptables: "/proc/net/ip_tables_names",
  ip6tables: "/proc/net/ip6_tables_names",
} as const;

/** The variant to use. `legacyTables` gives the text of a list of legacy tables, empty if there is none. */
export async function chooseVariant(
  run: Run,
  legacyTables: (path: string) => string = readIfThere,
): Promise<IptablesVariant> {
  if (await hasHint("nft", run, () => true)) return "nft";
  const hasMangle = (command: keyof typeof LEGACY_TABLES) =>
    legacyTables(LEGACY_TABLES[command]).split("\n").includes("mangle");
  return (await hasHint("legacy", run, hasMangle)) ? "legacy" : "nft";
}

async function hasHint(
  variant: IptablesVariant,
  run: Run,
  mayLook: (command: keyof typeof LEGACY_TABLES) => boolean,
): Promise<boolean> {
  for (const command of ["iptables", "ip6tables"] as const) {
    if (!mayLook(command)) continue;
    for (const chain of HINT_CHAINS) {
      if (await exists(`${command}-${variant}`, chain, run)) return true;
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

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // No such list: the kernel has no legacy tables.
    return "";
  }
}
