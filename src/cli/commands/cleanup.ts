/** The command `cleanup`: nothing of ours stays, and nothing of others goes. */

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
import { derive, type Fact, known } from "../../system/fact.ts";
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
    "Whether to remove every chain that a jump of an agent leads to, and the nftables table of an agent with any chain name.",
  ),
  "dry-run": flag(boolType, false, "Whether to say only what would be removed."),
  force: flag(
    boolType,
    false,
    "Whether to go on although an agent runs, or seems to, and to remove a chain although none of its rules is an agent's.",
  ),
};

/** A running agent puts its rules back sooner than this. */
const LOOK_AGAIN_MS = 1_000;

/** What happened; each is a list of places or messages. */
interface CleanupReport {
  readonly removed: readonly string[];
  readonly failed: readonly string[];
  /** What is there once more. */
  readonly back: readonly string[];
  readonly warnings: readonly string[];
  /** Why nothing was removed, although something may be there. */
  readonly refused: string | null;
}

export const cleanupCommand: Command<typeof flags> = {
  name: "cleanup",
  summary: "Removes all rules and sets of the agent from this node",
  operands: "",
  details: `Looks in iptables (nft and legacy, IPv4 and IPv6), ipset and nftables, whatever the agent was told to use,
and removes the chain of the name that --masq-chain gives, the jumps to it, its sets, and the table
inet ip-masq-agent. Rules of others stay as they are: so does a chain of that name whose rules are all others', and a
warning says so. Connections keep the address that they have.

Stop the agent first: as long as one runs, nothing is removed, and the exit code is 1. Where its process cannot
be seen, as from a pod, it has ten seconds to end. --force goes on all the same, and takes such a chain of others, too. The Go program, and
agents before this version, may not be noticed, so the command looks again after a second: if rules are
back, it says so, and the exit code is 1. It is needed on each node, as root or with the capabilities
NET_ADMIN and NET_RAW in the node's network namespace.`,
  flags,
  examples: [
    { args: "cleanup --dry-run", what: "what would be removed" },
    { args: "cleanup", what: "after the agent has been uninstalled" },
    { args: "cleanup --all-chains", what: "also what agents with another --masq-chain have left" },
  ],
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

/** A pod that was told to end may take as long; nobody waits longer at a screen. */
const LEAVE_MS = 10_000;
const STAYS = "without --force nothing is removed, and with it the agent puts its rules back";
const DELETE = "kubectl --namespace=kube-system delete daemonset ip-masq-agent";
const NOTHING: CleanupReport = { removed: [], failed: [], back: [], warnings: [], refused: null };

/** Those that are seen to run have their say even if they hold no socket, as the Go program and earlier versions. */
function agentsOf({ masqChain, allChains }: CleanupOptions): Fact<readonly Holder[]> {
  const isMeant = (token: string) => allChains || token === holdToken(masqChain);
  const seen = known(readProcesses("/proc"))?.agents ?? [];
  const agents = seen.flatMap(({ pid, args }): Holder[] => {
    const token = holdToken(flagsOf(args)?.["masq-chain"] ?? "");
    const process = { pid, words: ["ip-masq-agent", ...args], isAgent: true };
    return isMeant(token) ? [{ kind: "held", token, inode: 0, process }] : [];
  });
  return derive(readHeldNames("/proc"), (names) => [
    ...agents,
    ...findHolders(
      "/proc",
      names.filter(({ token }) => isMeant(token)),
    ),
  ]);
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

/** What cannot be removed is no reason to leave the rest. */
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
  return `there again: ${places}. An agent is running on this node: stop it first (${DELETE})`;
}
