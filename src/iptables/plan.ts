/**
 * The iptables backend: our own chain in the nat table, and a jump to it at the end of POSTROUTING.
 *
 * The order of programming is the Go program's, as recorded: chain (`-N`), jump (`-C`, `-A` if missing), then
 * the chain's rules in one `iptables-restore --noflush`, which is atomic for packets. So a rejected restore
 * leaves an empty chain, which returns, and an existing chain stays whole.
 *
 * An inspection costs two short runs (`-S CHAIN`, `-C` of the jump), however large the table is; saving the whole
 * table, as older tools did, would cost half a second with kube-proxy's 20,000 rules.
 */

import type { Plan } from "../backend/step.ts";
import type { Family } from "../core/cidr.ts";
import { type Drift, diffRules } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Answer, Script } from "../system/script.ts";
import { isBuiltIn, isForeign } from "./chain-owner.ts";
import { chainRules } from "./chain-rules.ts";
import { ownSets, parseElements } from "./ipset.ts";
import { destroySets, saveSet } from "./ipset-scripts.ts";
import { type Layout, layoutOf, wantedSets } from "./layout.ts";
import type { Capabilities, IptablesPlanner, Observed, Target } from "./planner.ts";
import { canonicalListing, canonicalRule, type Rule, renderRule, tokenize } from "./rule.ts";
import { changeSets } from "./set-changes.ts";
import { type IptablesVariant, type Tools, toolsOf } from "./tools.ts";

/** iptables' exit code for a chain or rule that does not exist, and for a new chain that already exists. */
const ANSWER_NO = [1];

/** Includes 5 s of waiting for the xtables lock. */
const DEADLINE_MS = 30_000;

/** The time for one more rule on a slow machine: 100,000 take 2 s on a fast one. */
const DEADLINE_PER_RULE_MS = 1;

/** The planner for a variant of the tools; lists longer than `ipsetThreshold`, and of many sources, go into sets, with 0 none does. */
export function iptablesPlanner(variant: IptablesVariant, ipsetThreshold = 0): IptablesPlanner {
  const tools = (family: Family): Tools => toolsOf(variant, family);
  return {
    name: variant === "path" ? "iptables" : `iptables-${variant}`,
    tools,
    inspection: (ruleset, capabilities) => inspectScripts(tools(ruleset.family), ruleset, capabilities),
    parse: parseObserved,
    plan: (ruleset, capabilities, observed) => {
      const roles = capabilities.ipset === true ? wantedSets(ruleset, ipsetThreshold) : [];
      return planScripts(tools(ruleset.family), ruleset, layoutOf(ruleset, roles), capabilities, observed);
    },
    wantedSets: (ruleset) => wantedSets(ruleset, ipsetThreshold),
    isOthers: (chain, { rules = [] }) => isBuiltIn(chain) || isForeign(rules.map(commentOf)),
    hasJumpLike: (chain, { stdout }) => stdout.split("\n").some((line) => leadsTo(tokenize(line), chain)),
    inspectSet: saveSet,
    discardSet: destroySets,
    parseSet: (answer) => (isSet(answer) ? parseElements(answer.stdout) : undefined),
    removal: (target, capabilities, observed, jumps) =>
      removeScripts(tools(target.family), target, capabilities, observed, jumps),
    countJumps: (chain, { stdout }) =>
      stdout.split("\n").filter((line) => isJump(tokenize(line), chain)).length,
    foreignJumps: (chain, { stdout }) =>
      stdout
        .split("\n")
        .map(tokenize)
        .filter((words) => isTarget(words, chain) && !isJump(words, chain)),
    inspectLeftovers: (family, capabilities) => listPostrouting(tools(family), capabilities),
    parseLeftovers,
  };
}

/** A set of our name but a different type is not ours, and the agent never removes it: creating ours fails. */
function isSet({ exitCode, stdout }: Answer): boolean {
  return exitCode === 0 && !/^create \S+ (?!hash:net(?: |$))/m.test(stdout);
}

/** The text for `iptables-restore --noflush`: naming the chain flushes it, in the same transaction. */
export function renderRestore(
  ruleset: Ruleset,
  capabilities: Pick<Capabilities, "randomFully">,
  layout: Layout = layoutOf(ruleset, []),
): string {
  const rules = desiredRules(ruleset, layout, capabilities).map((rule) => renderRule(ruleset.chain, rule));
  return ["*nat", `:${ruleset.chain} - [0:0]`, ...rules, "COMMIT", ""].join("\n");
}

function command(
  tools: Tools,
  { wait }: Pick<Capabilities, "wait">,
  args: readonly string[],
  purpose: string,
  more: Pick<Script, "accept" | "otherwise"> = {},
): Script {
  return { file: tools.command, args: [...wait, ...args], purpose, deadlineMs: DEADLINE_MS, ...more };
}

function inspectScripts(tools: Tools, { chain }: Ruleset, capabilities: Capabilities): readonly Script[] {
  const listChain = command(tools, capabilities, ["-S", chain, "-t", "nat"], `listing chain "${chain}"`, {
    accept: ANSWER_NO,
  });
  if (!capabilities.check) return [listChain, listPostrouting(tools, capabilities)];
  const check = command(tools, capabilities, ["-C", ...jumpArguments(chain)], "checking rule", {
    accept: ANSWER_NO,
  });
  return [listChain, check];
}

function parseObserved(
  { family, chain }: Ruleset,
  capabilities: Capabilities,
  answers: readonly Answer[],
): Observed {
  const [listing, jump] = answers;
  if (listing === undefined || listing.exitCode !== 0) return { rules: undefined, jump: false };
  const prefix = `-A ${chain} `;
  const lines = listing.stdout.split("\n").filter((line) => line.startsWith(prefix));
  return {
    rules: lines.map((line) => canonicalListing(family, line.slice(prefix.length))),
    jump: capabilities.check ? jump?.exitCode === 0 : hasJump(chain, jump?.stdout ?? ""),
  };
}

function planScripts(
  tools: Tools,
  ruleset: Ruleset,
  layout: Layout,
  capabilities: Capabilities,
  observed: Observed,
): Plan<Script> {
  if (layout.refusal !== undefined) return { drift: [], steps: [], refusal: layout.refusal };
  const { chain } = ruleset;
  const rules = desiredRules(ruleset, layout, capabilities).map(canonicalRule);
  const changed = observed.rules === undefined ? [] : diffRules(chain, rules, observed.rules);
  const isRewritten = observed.rules === undefined || changed.length > 0;
  const sets = changeSets(ruleset, layout, observed, isRewritten);
  const drift: Drift[] = [...sets.drift];
  const steps: Script[] = [...sets.before];
  if (observed.rules === undefined) {
    drift.push({ kind: "missing", where: `chain ${chain}` });
    steps.push(createChain(tools, capabilities, chain));
  }
  if (!observed.jump) {
    drift.push({ kind: "missing", where: `the jump from POSTROUTING to ${chain}` });
    steps.push(ensureJump(tools, capabilities, chain));
  }
  if (isRewritten) {
    const stdin = renderRestore(ruleset, capabilities, layout);
    steps.push(restore(tools, ruleset, capabilities, stdin, rules.length));
  }
  return { drift: [...drift, ...changed], steps: [...steps, ...sets.after] };
}

/** The jump goes first, since it decides; the chain goes last, since it shows the next agent an unfinished removal. */
function removeScripts(
  tools: Tools,
  target: Target,
  capabilities: Capabilities,
  { rules, sets = {} }: Observed,
  jumps: number,
): Script[] {
  const { chain } = target;
  const remove = command(
    tools,
    capabilities,
    ["-D", ...jumpArguments(chain)],
    `removing the jump from POSTROUTING to ${chain}`,
  );
  const flush = command(tools, capabilities, ["-F", chain, "-t", "nat"], `flushing chain "${chain}"`);
  const discard = command(tools, capabilities, ["-X", chain, "-t", "nat"], `removing chain "${chain}"`);
  return [
    ...Array.from({ length: jumps }, () => remove),
    ...(rules === undefined ? [] : [flush]),
    ...ownSets(target)
      .filter(({ role }) => sets[role] !== undefined)
      .flatMap(destroySets),
    ...(rules === undefined ? [] : [discard]),
  ];
}

function createChain(tools: Tools, capabilities: Capabilities, chain: string): Script {
  return command(tools, capabilities, ["-N", chain, "-t", "nat"], `creating chain "${chain}"`, {
    accept: ANSWER_NO,
  });
}

function ensureJump(tools: Tools, capabilities: Capabilities, chain: string): Script {
  const append = command(
    tools,
    capabilities,
    ["-A", ...jumpArguments(chain)],
    `appending the jump from POSTROUTING to ${chain}`,
  );
  if (!capabilities.check) return append;
  // Check again just before adding: another agent may have added it meanwhile, and nothing ever removes a second jump.
  return command(
    tools,
    capabilities,
    ["-C", ...jumpArguments(chain)],
    `checking the jump from POSTROUTING to ${chain}`,
    { otherwise: append },
  );
}

function restore(
  tools: Tools,
  ruleset: Ruleset,
  capabilities: Capabilities,
  stdin: string,
  rules: number,
): Script {
  return {
    file: tools.restore,
    args: [...capabilities.restoreWait, "--noflush"],
    stdin,
    purpose: `programming chain "${ruleset.chain}"`,
    deadlineMs: DEADLINE_MS + rules * DEADLINE_PER_RULE_MS,
  };
}

/** People grep for this comment; an agent recognises its jump by it. */
export function jumpComment(chain: string): string {
  return `ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom ${chain} chain`;
}

function jumpArguments(chain: string): string[] {
  return ["POSTROUTING", "-t", "nat", ...jumpMatch(chain)];
}

function jumpMatch(chain: string): string[] {
  return [
    "-m",
    "comment",
    "--comment",
    jumpComment(chain),
    "-m",
    "addrtype",
    "!",
    "--dst-type",
    "LOCAL",
    "-j",
    chain,
  ];
}

function listPostrouting(tools: Tools, capabilities: Pick<Capabilities, "wait">): Script {
  return command(tools, capabilities, ["-S", "POSTROUTING", "-t", "nat"], "listing POSTROUTING", {
    accept: ANSWER_NO,
  });
}

/** The targets of jumps with our comment: chains of agents with another `--masq-chain`, or of earlier agents. */
function parseLeftovers(chain: string | undefined, { stdout }: Answer): readonly string[] {
  const jumps = stdout.split("\n").map(tokenize);
  const targets = jumps.flatMap((words) => (isJump(words, words.at(-1) ?? "") ? words.slice(-1) : []));
  return [...new Set(targets)].filter((target) => target !== chain);
}

/** Whether a rule jumps or goes to a chain: such a target has no options, so it comes last. */
function isTarget(words: readonly string[], chain: string): boolean {
  return ["-j", "-g"].includes(words.at(-2) ?? "") && words.at(-1) === chain;
}

function hasJump(chain: string, listing: string): boolean {
  return listing.split("\n").some((line) => isJump(tokenize(line), chain));
}

function commentOf(rule: string): string | undefined {
  const words = tokenize(rule);
  const at = words.indexOf("--comment");
  return at < 0 ? undefined : words[at + 1];
}

function leadsTo(words: readonly string[], chain: string): boolean {
  return words.includes(jumpComment(chain)) && words.at(-1) === chain;
}

/** Tools before 1.4.11 cannot check for a rule; like the Go program, we compare words without regard to their order. */
function isJump(words: readonly string[], chain: string): boolean {
  const wanted = ["-A", "POSTROUTING", ...jumpMatch(chain)];
  return words.length === wanted.length && [...words].sort().join("\n") === wanted.sort().join("\n");
}

function desiredRules(
  ruleset: Ruleset,
  layout: Layout,
  capabilities: Pick<Capabilities, "randomFully">,
): readonly Rule[] {
  const randomFully = ruleset.masquerade.randomFully && capabilities.randomFully;
  return chainRules(ruleset, layout, randomFully);
}
