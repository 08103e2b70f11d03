/**
 * The recorded facts about a command line and a file, in memory: the rules that one pass makes of them. `make prove` replays
 * all of them with processes and the kernel, `make test` a part.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createReconciler } from "../../src/agent/reconcile.ts";
import { readCommandLine } from "../../src/cli/command-line.ts";
import { agentOptions } from "../../src/cli/options.ts";
import type { ConfigFile } from "../../src/core/config.ts";
import { iptablesDriver } from "../../src/iptables/driver.ts";
import { iptablesPlanner } from "../../src/iptables/plan.ts";
import { probe } from "../../src/iptables/probe.ts";
import { recordedLog } from "../lab/log.ts";
import type { Nat } from "../lab/memory/nat.ts";
import { createNode } from "../lab/node.ts";
import { FACTS, type Fact, isInMemory, type State } from "./facts.mjs";

const NAME = "ip-masq-agent";
const DEVIATIONS = JSON.parse(readFileSync(join(import.meta.dirname, "deviations.json"), "utf8"));


/** The state after the start of an agent, which is not reached where the command line is not accepted. */
async function stateOf({ flags = [], files = {} }: Fact): Promise<State> {
  const line = readCommandLine(["--watch=false", ...flags], [], () => false);
  if (line.kind !== "agent") return { ...NO_RULES, exit: line.kind === "wrong flag" ? 2 : 0, error: false };
  const options = agentOptions(line.flags.values);
  if (!options.ok) return { ...NO_RULES, exit: 1, error: true };
  const node = createNode();
  const { log, taken } = recordedLog();
  const driver = iptablesDriver(iptablesPlanner("path"), options.value.masqChain, { run: node.run, probe, log });
  const readConfig = () => ({ kind: "file" as const, files: configFiles(files) });
  const world = { readConfig, now: () => 0, random: () => 0, log };
  await createReconciler(driver, { ...options.value, watch: false }, world)();
  const error = taken().some((text) => text.startsWith("E "));
  return { exit: null, error, rulesV4: rulesOf(node.IPv4), rulesV6: rulesOf(node.IPv6) };
}

const NO_RULES = { rulesV4: [], rulesV6: [] };

function configFiles({ [NAME]: content }: NonNullable<Fact["files"]>): readonly ConfigFile[] {
  if (content === undefined) return [];
  const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content.base64, "base64");
  return [{ path: `/etc/config/${NAME}`, bytes }];
}

/** As `replay.py` writes a table: own chains, then the rules, those of POSTROUTING first. */
function rulesOf({ chains }: Nat): readonly string[] {
  const own = [...chains.keys()].filter((name) => name !== "POSTROUTING").sort();
  const rules = ["POSTROUTING", ...own].flatMap((name) =>
    (chains.get(name) ?? []).map((rule) => `-A ${name} ${rule}`),
  );
  return [...own.map((name) => `:${name}`), ...rules];
}

test.each(FACTS.filter(isInMemory))("$id", async (fact) => {
  const { exit, error, rulesV4, rulesV6 } = fact.expected;
  const state = await stateOf(fact);
  const recorded = { exit, error: error ?? state.error, rulesV4, rulesV6 };
  if (fact.id in DEVIATIONS) expect(state).not.toEqual(recorded);
  else expect(state).toEqual(recorded);
});
