/** What the tests against the real kernel have in common. */
import { describe, expect, test } from "vitest";
import { cells } from "../length.ts";
import { CHAIN, type Family, type Iptables, jumpNumber, type Variant } from "./iptables.ts";
import { createLab, eventually, familyOf, type Lab } from "./lab.ts";
import type { Agent } from "./processes.ts";
import { NODE, POD } from "./topology.ts";

const ROOT = process.getuid?.() === 0;
if (!ROOT) console.warn("NOT TESTED: what needs network namespaces, which only root may make");

/** Tests that need root; without it they are skipped, loudly. Two cores may be busy with much else. */
export const describeKernel = describe.skipIf(!ROOT);

export const VARIANTS: readonly Variant[] = ["nft", "legacy"];
/** For what depends little on the variant: both at length. */
export const VARIANTS_SHOWN = cells(VARIANTS, (variant) => variant === "nft");
export const FAMILIES: readonly Family[] = ["IPv4", "IPv6"];

/** A test with a lab of its own, which is removed whatever happens; if it fails, the agents' logs are shown. */
export const labTest = test.extend<{ lab: Lab }>({
  lab: async ({ onTestFailed }, use) => {
    const lab = await createLab();
    const agents: Agent[] = [];
    onTestFailed(() => {
      for (const agent of agents.slice(-3)) console.error(`agent ${agent.pid}:\n${lastLines(agent.log())}`);
    });
    const startAgent: Lab["startAgent"] = (options) => {
      const agent = lab.startAgent(options);
      agents.push(agent);
      return agent;
    };
    try {
      await use({ ...lab, startAgent });
    } finally {
      await lab.close();
    }
  },
});

/** What an agent said last, without the flags, which each start lists. */
function lastLines(log: string): string {
  const lines = log.split("\n").filter((line) => !line.includes("] FLAG: "));
  return lines.slice(-40).join("\n");
}

/** A configuration's text, looked at as often as the agent allows. */
export function config(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ resyncInterval: "100ms", ...fields });
}

/** Flags for one variant of the tools, both families. */
export function flags(variant: Variant, ...more: readonly string[]): readonly string[] {
  return [`--iptables-mode=${variant}`, "--enable-ipv6", "--v=2", ...more];
}

/** Both families' tools. */
export function bothFamilies(lab: Lab, variant: Variant): readonly Iptables[] {
  return FAMILIES.map((family) => lab.iptables(variant, family));
}

/** Waits until both families have a chain with its last rule, and the jump. Returns the chains. */
export function programmed(lab: Lab, variant: Variant): Promise<readonly (readonly string[])[]> {
  return eventually(() => Promise.all(bothFamilies(lab, variant).map(wholeChain)));
}

/** Waits until an agent has said of both families that it has put their rules in force. */
export async function saysProgrammed({ log }: Agent): Promise<void> {
  await eventually(() => {
    for (const family of FAMILIES) expect(log()).toMatch(new RegExp(`${family}\\b.*: programmed`));
  });
}

/** Waits until the agent itself says that its rules are in force, for all families, and that its last pass had no error. */
export async function saysInForce(lab: Lab): Promise<void> {
  await eventually(async () => expect(await lab.program(["status"])).toMatchObject({ code: 0 }));
}

/** The chain of one family, which must be complete and in use. */
async function wholeChain(iptables: Iptables): Promise<readonly string[]> {
  const rules = (await iptables.listing(CHAIN)) ?? [];
  expect(rules.at(-1) ?? "no chain").toContain("(must be last in chain)");
  expect(await jumpNumber(iptables)).toBeDefined();
  return rules;
}

/**
 * Who a receiver takes the pod for: `pod` or `node`, or whatever else it saw. Both protocols are tried, and must
 * come to the same.
 */
export async function verdicts(lab: Lab, destinations: readonly string[]): Promise<Record<string, string>> {
  const pairs = destinations.map(async (destination) => {
    const [tcp, udp] = await Promise.all([ask(lab, "tcp", destination), ask(lab, "udp", destination)]);
    return [destination, tcp === udp ? tcp : `tcp: ${tcp}, udp: ${udp}`] as const;
  });
  return Object.fromEntries(await Promise.all(pairs));
}

async function ask(lab: Lab, protocol: "tcp" | "udp", destination: string): Promise<string> {
  const seen = await lab.ask(protocol, destination);
  if (seen === POD[familyOf(destination)]) return "pod";
  return seen === NODE[familyOf(destination)] ? "node" : seen;
}

/** Asserts the verdict of each destination of a table. */
export async function expectVerdicts(lab: Lab, table: Readonly<Record<string, "pod" | "node">>) {
  expect(await verdicts(lab, Object.keys(table))).toEqual(table);
}

/** How many lines of the log have a severity, such as `E`. */
export function logged(agent: Agent, severity: "E" | "W" | "F", text = ""): string[] {
  const lines = agent.log().split("\n");
  return lines.filter((line) => new RegExp(`^${severity}\\d{4} `).test(line) && line.includes(text));
}
