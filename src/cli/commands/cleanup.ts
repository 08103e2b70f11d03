/** The command `cleanup`: it removes all of our rules, and no others. */

import { lookForOurs } from "../../agent/cleanup.ts";
import type { CleanupOptions, CleanupWorld, Find, Finds } from "../../backend/cleanup.ts";
import { isFailure } from "../../backend/driver.ts";
import { boolType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { openNftables } from "../../netlink/socket/transport.ts";
import { findHolders, type Holder, readHeldNames } from "../../presence/holders.ts";
import { holdToken } from "../../presence/names.ts";
import { lookForAgent } from "../../presence/others.ts";
import { systemClock } from "../../system/clock.ts";
import { run as runScript } from "../../system/exec.ts";
import { type Fact, isKnown, known } from "../../system/fact.ts";
import { readProcesses } from "../../system/processes.ts";
import { allCommands } from "../backends.ts";
import type { Command, CommandIo } from "../command.ts";
import { pickFlags } from "../options.ts";
import { flagsOf } from "../running-agent.ts";

const flags = {
  ...pickFlags("masq-chain"),
  "all-chains": flag(
    boolType,
    false,
    "Whether to remove every chain that an agent's jump leads to, and the nftables table of an agent with any chain name.",
  ),
  "dry-run": flag(boolType, false, "Whether to print only what would be removed."),
  force: flag(
    boolType,
    false,
    "Whether to remove rules although an agent runs, or seems to, and a chain although none of its rules is an agent's.",
  ),
};

/** A running agent puts its rules back sooner than this. */
const LOOK_AGAIN_MS = 1_000;

/** The result; each field is a list of places or messages. */
interface CleanupReport {
  readonly removed: readonly string[];
  readonly failed: readonly string[];
  /** Rules that came back. */
  readonly back: readonly string[];
  readonly warnings: readonly string[];
  /** Why nothing was removed, although something may exist. */
  readonly refused: string | null;
}

export const cleanupCommand: Command<typeof flags> = {
  name: "cleanup",
  summary: "Remove all rules and sets of the agent from this node",
  operands: "",
  details: `Looks in iptables (nft and legacy, IPv4 and IPv6), ipset and nftables, whatever the agent's flags are,
and removes the chain of --masq-chain, the jumps to it, its sets, and the table
inet ip-masq-agent. Foreign rules stay: so does a chain of that name with only foreign rules, and a
warning says so. Existing connections keep their addresses.

Stop the agent first: while one runs, the command removes nothing, and the exit code is 1. Where its process is
not visible, as from a pod, the command waits ten seconds for its end. With --force it removes everything all the same, also such a chain of foreign rules.
The Go program, and agents before this version, may not be visible, so the command looks again after a second: if rules
came back, it says so, and the exit code is 1. Run it on each node, as root or with the capabilities
NET_ADMIN and NET_RAW in the node's network namespace.`,
  flags,
  examples: [
    { args: "cleanup --dry-run", what: "show what would be removed" },
    { args: "cleanup", what: "after uninstalling the agent" },
    { args: "cleanup --all-chains", what: "also remove leftovers of agents with a different --masq-chain" },
  ],
  readsNode: () => true,
  async run({ values, output }, io) {
    const options = { masqChain: values["masq-chain"], allChains: values["all-chains"], force: values.force };
    const world: CleanupWorld = {
      run: (script) => runScript(script, io.signal),
      open: () => openNftables(),
    };
    const goesOn = values["dry-run"] || values.force;
    const look = () => agentsOf(options);
    const { agent, ...said } = await lookForAgent(look, systemClock, goesOn ? 0 : LEAVE_MS, io.signal);
    if (agent !== undefined && !goesOn) {
      const refused = `${agent}. Nothing was removed: delete the DaemonSet first, or use --force (${DELETE})`;
      say({ ...NOTHING, ...said, refused }, output, false, io);
      return 1;
    }
    const finders = (await allCommands()).map(({ findOurs }) => findOurs);
    const find = () => lookForOurs(options, world, finders);
    const { finds, warnings: more } = await find();
    const warnings = [...said.warnings, ...(agent === undefined ? [] : [`${agent}: ${STAYS}`]), ...more];
    const removed = finds.map(({ place }) => place);
    if (values["dry-run"]) {
      say({ ...NOTHING, removed, warnings }, output, true, io);
      return 0;
    }
    const outcome = { ...NOTHING, warnings, ...(await removeAndLookAgain(finds, find, io.signal)) };
    say(outcome, output, false, io);
    return outcome.failed.length > 0 || outcome.back.length > 0 ? 1 : 0;
  },
};

/** A pod that is shutting down may take this long; at a screen no one waits longer. */
const LEAVE_MS = 10_000;
const STAYS = "without --force the command removes nothing, and with it the agent puts its rules back";
const DELETE = "kubectl --namespace=kube-system delete daemonset ip-masq-agent";
const NOTHING: CleanupReport = { removed: [], failed: [], back: [], warnings: [], refused: null };

/** Agents whose process is visible count even if they hold no socket, as the Go program and earlier versions. */
async function agentsOf({ masqChain, allChains }: CleanupOptions): Promise<Fact<readonly Holder[]>> {
  const isMeant = (token: string) => allChains || token === holdToken(masqChain);
  const seen = known(readProcesses("/proc"))?.agents ?? [];
  const agents = seen.flatMap(({ pid, args }): Holder[] => {
    const token = holdToken(flagsOf(args)?.["masq-chain"] ?? "");
    const process = { pid, words: ["ip-masq-agent", ...args], isAgent: true };
    return isMeant(token) ? [{ kind: "held", token, inode: 0, process, isTrusted: true }] : [];
  });
  const names = readHeldNames("/proc");
  if (!isKnown(names)) return names;
  const meant = names.value.filter(({ token }) => isMeant(token));
  return { value: [...agents, ...(await findHolders("/proc", meant))] };
}

async function removeAndLookAgain(
  finds: readonly Find[],
  find: () => Promise<Finds>,
  signal: AbortSignal,
): Promise<Pick<CleanupReport, "removed" | "failed" | "back">> {
  const { removed, failed } = await removeAll(finds);
  if (removed.length === 0) return { removed, failed, back: [] };
  await systemClock.sleep(LOOK_AGAIN_MS, signal);
  signal.throwIfAborted();
  const { finds: back } = await find();
  return { removed, failed, back: back.map(({ place }) => place) };
}

/** A failure to remove one is not a reason to leave the rest. */
async function removeAll(finds: readonly Find[]): Promise<Pick<CleanupReport, "removed" | "failed">> {
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
  outcome: CleanupReport,
  output: "text" | "json",
  dryRun: boolean,
  { out, err, colours }: CommandIo,
): void {
  const { removed, failed, back, warnings, refused } = outcome;
  for (const warning of warnings) err(`${colours.yellow("warning")}: ${warning}\n`);
  if (output === "json") {
    out(`${JSON.stringify({ dryRun, ...outcome })}\n`);
    return;
  }
  if (refused !== null) {
    err(`ip-masq-agent cleanup: ${refused}\n`);
    return;
  }
  for (const place of removed) out(`${dryRun ? "would remove" : "removed"} ${place}\n`);
  if (removed.length + failed.length === 0) out("this node has nothing of the agent\n");
  for (const failure of failed)
    err(
      `ip-masq-agent cleanup: cannot remove ${failure}. A foreign rule may lead to it: remove that first\n`,
    );
  if (back.length > 0) err(`ip-masq-agent cleanup: ${remaining(back)}\n`);
}

function remaining(back: readonly string[]): string {
  const places = back.join("; ");
  if (back.every((place) => place.includes(": set ")))
    return `still there: ${places}. A foreign rule uses it: remove that rule first`;
  return `rules came back: ${places}. An agent is running on this node: stop it first (${DELETE})`;
}
