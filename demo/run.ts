/**
 * The agent at work, in some seconds, without a cluster and without touching this machine's rules: a pod, a node
 * and a world are three network namespaces, the agent runs in the node, and real connections show what it does.
 *
 * HOST=1 runs the agent on the machine itself instead.
 */
import { readFileSync } from "node:fs";
import type { Iptables } from "../test/lab/network/iptables.ts";
import { CHAIN, jumpNumber } from "../test/lab/network/iptables.ts";
import { createLab, eventually, familyOf, type Lab } from "../test/lab/network/lab.ts";
import { NODE, POD } from "../test/lab/network/topology.ts";
import { runOnHost } from "./host.ts";
import { paint, renderTable } from "./table.ts";

const CONFIG = "agent-config/config";

/** Short, to save time; on a node it is a minute. */
const RESYNC = "resyncInterval: 300ms";

type Verdict = "keeps pod address" | "leaves as node";
const KEEPS: Verdict = "keeps pod address";
const LEAVES: Verdict = "leaves as node";

/** Destinations, the entry that covers each, and the expected verdict. */
const PROBES: readonly (readonly [destination: string, coveredBy: string, expected: Verdict])[] = [
  ["10.10.0.1", "10.0.0.0/8", KEEPS],
  ["172.16.9.9", "172.16.0.0/12", KEEPS],
  ["192.168.5.5", "192.168.0.0/16", KEEPS],
  ["169.254.169.254", "link-local", KEEPS],
  ["8.8.8.8", "none", LEAVES],
  ["203.0.113.7", "none", LEAVES],
  ["fd00:10::1", "fd00::/8", KEEPS],
  ["2001:4860:4860::8888", "none", LEAVES],
];

/** The entry that is added while the agent runs, and a destination in it. */
const ADDED = { cidr: "203.0.113.0/24", destination: "203.0.113.7" };

let wrong = 0;

async function demo(): Promise<void> {
  const lab = await createLab();
  try {
    await show(lab);
  } finally {
    await lab.close();
  }
  say(
    wrong === 0
      ? `\n${paint("green", "Everything is correct.")} The demo has removed its namespaces.`
      : `\n${paint("red", `${wrong} went WRONG.`)}`,
  );
}

async function show(lab: Lab): Promise<void> {
  const iptables = lab.iptables();
  const config = withCidr(readFileSync(CONFIG, "utf8").replace(/^resyncInterval:.*$/m, RESYNC), "fd00::/8");
  say(`${paint("bold", "pod -> node -> world")}, three network namespaces; the agent runs in the node.`);
  say(`The pod is ${POD.IPv4} and ${POD.IPv6}, the node ${NODE.IPv4} and ${NODE.IPv6}.`);

  heading("Start", `the agent with ${CONFIG}, fd00::/8 added, ${RESYNC}`);
  say(`  before: a connection from the pod to 8.8.8.8 arrives from ${await lab.ask("tcp", "8.8.8.8")}`);
  lab.volume.write(config);
  const agent = lab.startAgent({ flags: ["--enable-ipv6"] });
  await measure("rules in force for both families", agent.log, () =>
    Promise.all([expectVerdict(lab, "8.8.8.8", LEAVES), expectVerdict(lab, "2001:4860:4860::8888", LEAVES)]),
  );

  heading("Verdicts", "the source address of each new connection, as its receiver sees it");
  say(renderTable([HEADINGS, ...(await probeAll(lab))]));

  heading("Edit", `${ADDED.cidr} is added to nonMasqueradeCIDRs while the agent runs`);
  lab.volume.write(withCidr(config, ADDED.cidr));
  await measure(`a new connection to ${ADDED.destination} keeps the pod's address`, agent.log, () =>
    expectVerdict(lab, ADDED.destination, KEEPS),
  );

  heading("Repair", "another program breaks the rules");
  await breakAndHeal("flushed the chain", lab, iptables, agent.log, () => iptables.run("-F", CHAIN));
  await breakAndHeal("deleted the jump", lab, iptables, agent.log, async () =>
    iptables.run("-D", "POSTROUTING", (await jumpNumber(iptables)) ?? ""),
  );

  heading("Rules", `iptables -t nat -L ${CHAIN}, in the node`);
  say((await iptables.run("-L", CHAIN, "-n")).trimEnd().replace(/^/gm, "  "));
}

const HEADINGS = ["PROTOCOL", "DESTINATION", "COVERED BY", "EXPECTED", "RECEIVER SAW", ""];

async function probeAll(lab: Lab): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [destination, coveredBy, expected] of PROBES) {
    for (const protocol of ["tcp", "udp"] as const) {
      const seen = await lab.ask(protocol, destination).catch((error: Error) => error.message);
      const ok = seen === addressFor(destination, expected);
      if (!ok) wrong++;
      rows.push([protocol.toUpperCase(), destination, coveredBy, expected, seen, ok ? "ok" : "WRONG"]);
    }
  }
  return rows;
}

/** Times how long the agent takes to repair what `tamper` breaks: rules and jump. */
async function breakAndHeal(
  what: string,
  lab: Lab,
  iptables: Iptables,
  log: () => string,
  tamper: () => Promise<unknown>,
): Promise<void> {
  const state = () => Promise.all([iptables.listing("POSTROUTING"), iptables.listing(CHAIN)]);
  const before = JSON.stringify(await state());
  await tamper();
  await measure(`${what}: healed`, log, async () => {
    if (JSON.stringify(await state()) !== before) throw new Error("the rules differ from those before");
    await expectVerdict(lab, "8.8.8.8", LEAVES);
  });
}

/** Waits until `check` passes and prints how long that took; counts a failure and prints it with the agent's log. */
async function measure(what: string, log: () => string, check: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  try {
    await eventually(check);
    say(`  ${what} ${paint("green", `after ${(performance.now() - startedAt).toFixed(0)} ms`)}`);
  } catch (error) {
    wrong++;
    say(`  ${paint("red", "WRONG")}: not in time: ${what} (${(error as Error).message})`);
    say(log().replace(/^/gm, "    agent: "));
  }
}

async function expectVerdict(lab: Lab, destination: string, expected: Verdict): Promise<void> {
  const seen = await lab.ask("udp", destination);
  if (seen !== addressFor(destination, expected)) throw new Error(`${destination} saw ${seen}`);
}

function addressFor(destination: string, verdict: Verdict): string {
  return (verdict === KEEPS ? POD : NODE)[familyOf(destination)];
}

function withCidr(config: string, cidr: string): string {
  return config.replace("nonMasqueradeCIDRs:\n", `nonMasqueradeCIDRs:\n  - ${cidr}\n`);
}

function heading(title: string, text: string): void {
  say(`\n${paint("bold", title)}: ${text}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<number> {
  const { HOST = "" } = process.env;
  if (process.getuid?.() !== 0) {
    process.stderr.write("The demo makes network namespaces, which only root may: run it with sudo.\n");
    return 1;
  }
  if (HOST !== "") return runOnHost(CONFIG, process.argv.slice(2));
  await demo();
  return wrong === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    process.stderr.write(`The demo failed: ${error.message}\n`);
    process.exit(1);
  },
);
