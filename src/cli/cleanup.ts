/** The command `cleanup`: nothing of ours stays, and nothing of others goes. */
import { type CleanupWorld, type Find, lookForOurs } from "../agent/cleanup.ts";
import { systemClock } from "../agent/clock.ts";
import { isFailure } from "../agent/driver.ts";
import { run as runScript } from "../agent/exec.ts";
import { legacyTables } from "../agent/legacy.ts";
import { flag } from "../core/flags.ts";
import { boolType } from "../core/flagtypes.ts";
import { openNftables } from "../nftables/transport.ts";
import type { Command, CommandIo } from "./command.ts";
import { pickFlags } from "./options.ts";

const flags = {
  ...pickFlags("masq-chain"),
  "all-chains": flag(
    boolType,
    false,
    "Whether to remove every chain that a jump of an agent leads to, and the nftables table of an agent with any chain name.",
  ),
  "dry-run": flag(boolType, false, "Whether to say only what would be removed."),
};

/** A running agent puts its rules back sooner than this. */
const LOOK_AGAIN_MS = 1_000;

/** What happened; each is a list of places or messages. */
interface Outcome {
  readonly removed: string[];
  readonly failed: string[];
  /** What is there once more. */
  readonly back: string[];
  readonly warnings: readonly string[];
}

export const cleanupCommand: Command<typeof flags> = {
  name: "cleanup",
  summary: "Removes all rules and sets of the agent from this node",
  operands: "",
  details: `Looks in iptables (nft and legacy, IPv4 and IPv6), ipset and nftables, whatever the agent was told to use,
and removes the chain of the name that --masq-chain gives, the jumps to it, its sets, and the table
inet ip-masq-agent. Rules of others stay as they are. Connections keep the address that they have.

Stop the agent first. The command looks again after a second: if rules are back, it says that an agent
is running, and the exit code is 1. It is needed on each node, as root or with the capabilities
NET_ADMIN and NET_RAW in the node's network namespace.`,
  flags,
  examples: [
    { args: "cleanup --dry-run", what: "what would be removed" },
    { args: "cleanup", what: "after the agent has been uninstalled" },
    { args: "cleanup --all-chains", what: "also what agents with another --masq-chain have left" },
  ],
  async run({ values, output }, io) {
    const options = { masqChain: values["masq-chain"], allChains: values["all-chains"] };
    const world: CleanupWorld = {
      run: (script) => runScript(script, io.signal),
      open: () => openNftables(),
      legacyTables,
    };
    const { finds, warnings } = await lookForOurs(options, world);
    if (values["dry-run"]) {
      say({ removed: finds.map(({ place }) => place), failed: [], back: [], warnings }, output, true, io);
      return 0;
    }
    const { removed, failed } = await removeAll(finds);
    let back: string[] = [];
    if (removed.length > 0) {
      await systemClock.sleep(LOOK_AGAIN_MS, io.signal);
      io.signal.throwIfAborted();
      back = (await lookForOurs(options, world)).finds.map(({ place }) => place);
    }
    say({ removed, failed, back, warnings }, output, false, io);
    return failed.length > 0 || back.length > 0 ? 1 : 0;
  },
};

/** What cannot be removed is no reason to leave the rest. */
async function removeAll(finds: readonly Find[]): Promise<Pick<Outcome, "removed" | "failed">> {
  const removed: string[] = [];
  const failed: string[] = [];
  for (const { place, remove } of finds) {
    try {
      await remove();
      removed.push(place);
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed.push(`${place}: ${error.message}`);
    }
  }
  return { removed, failed };
}

function say(
  outcome: Outcome,
  output: "text" | "json",
  dryRun: boolean,
  { out, err, colours }: CommandIo,
): void {
  const { removed, failed, back, warnings } = outcome;
  for (const warning of warnings) err(`${colours.yellow("warning")}: ${warning}\n`);
  if (output === "json") {
    out(`${JSON.stringify({ dryRun, ...outcome })}\n`);
    return;
  }
  for (const place of removed) out(`${dryRun ? "would remove" : "removed"} ${place}\n`);
  if (removed.length + failed.length === 0) out("nothing of the agent is here\n");
  for (const failure of failed)
    err(
      `ip-masq-agent cleanup: cannot remove ${failure}. A rule of somebody else may lead to it: remove that first\n`,
    );
  if (back.length > 0) err(`ip-masq-agent cleanup: ${remaining(back)}\n`);
}

function remaining(back: readonly string[]): string {
  const places = back.join("; ");
  if (back.every((place) => place.includes(": set ")))
    return `still there: ${places}. A rule of somebody else looks it up: remove that rule first`;
  return `there again: ${places}. An agent is running on this node: stop it first (kubectl --namespace=kube-system delete daemonset ip-masq-agent)`;
}
