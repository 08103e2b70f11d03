/** Our chains and sets as the iptables backend makes them, in the node of a lab without an agent: configurations follow each other fast. */
import { isInForce } from "../../../src/backend/driver.ts";
import { iptablesDriver } from "../../../src/iptables/driver.ts";
import { iptablesPlanner } from "../../../src/iptables/plan.ts";
import { probe } from "../../../src/iptables/probe.ts";
import { CommandError } from "../../../src/system/command-error.ts";
import type { Run } from "../../../src/system/script.ts";
import { cells } from "../length.ts";
import { recordedLog } from "../log.ts";
import type { PacketSettings } from "../packets.ts";
import { CHAIN, type Variant } from "./iptables.ts";
import type { Lab } from "./lab.ts";
import { rulesetsOf } from "./packets-table.ts";

/** A form that the rules have: a variant of the tools, and from how many entries on lists are sets. */
export interface ChainForm {
  readonly variant: Variant;
  /** 0: never. */
  readonly ipsetThreshold: number;
}

export const CHAIN_FORMS: Readonly<Record<string, ChainForm>> = {
  "iptables-nft": { variant: "nft", ipsetThreshold: 0 },
  "iptables-legacy": { variant: "legacy", ipsetThreshold: 0 },
  ipset: { variant: "nft", ipsetThreshold: 1 },
};

/** Those that `make test` shows; both variants print and match alike. */
export const FORMS_SHOWN = cells(Object.entries(CHAIN_FORMS), ([name]) => name !== "iptables-legacy");

/** The flags of an agent for a form. */
export function formFlags({ variant, ipsetThreshold }: ChainForm): readonly string[] {
  return ["--backend=iptables", `--iptables-mode=${variant}`, `--ipset-threshold=${ipsetThreshold}`];
}

/** Only what reads; everything else changes something. */
const READS = /^(?:-[SC]|--version|save|list)$/;

export interface OwnChains {
  /**
   * Brings a configuration in force, from whatever is there, and checks that the tools then list what was written. Returns why it is
   * refused, if it is.
   */
  readonly put: (settings: PacketSettings) => Promise<string | undefined>;
  /** The same, as by an agent that is killed before it writes for the time `writes + 1`; whether it was. */
  readonly cut: (settings: PacketSettings, writes: number) => Promise<boolean>;
}

export function createOwnChains(lab: Lab, { variant, ipsetThreshold }: ChainForm): OwnChains {
  let writesLeft = Number.POSITIVE_INFINITY;
  const run: Run = async (script) => {
    const { file, args, stdin, accept = [] } = script;
    const isWrite = !READS.test(args.find((word) => !["-w", "5"].includes(word)) ?? "");
    if (isWrite && writesLeft-- <= 0) throw new Killed();
    const { code, stdout, stderr } = await lab.inNode(file, args, stdin);
    const exitCode = Number(code);
    if (exitCode === 0 || accept.includes(exitCode)) return { exitCode, stdout, stderr };
    throw new CommandError(script, { why: `${code}: ${stderr}`, stderr, exitCode });
  };
  const put = async (settings: PacketSettings) => {
    const { log } = recordedLog();
    const driver = iptablesDriver(iptablesPlanner(variant, ipsetThreshold), CHAIN, { run, probe, log });
    for (const ruleset of rulesetsOf(settings)) {
      const plan = await driver.inspect([ruleset], true);
      if (plan.refusal !== undefined) return plan.refusal;
      const left = await driver.apply(plan, [ruleset]);
      if (!isInForce(left)) throw new Error(`${JSON.stringify(left.drift)} with ${JSON.stringify(settings)}`);
    }
    await driver.removeStaleSet();
    return undefined;
  };
  return {
    put,
    async cut(settings, writes) {
      writesLeft = writes;
      try {
        await put(settings);
        return false;
      } catch (error) {
        if (error instanceof Killed) return true;
        throw error;
      } finally {
        writesLeft = Number.POSITIVE_INFINITY;
      }
    },
  };
}

class Killed extends Error {}
