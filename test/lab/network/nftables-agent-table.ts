/** The table of an agent with nftables, and how others change it. */
import { expect } from "vitest";
import { config } from "./fixture.ts";
import { eventually, type Lab } from "./lab.ts";
import { nftablesState } from "./move-state.ts";
import type { Agent } from "./processes.ts";

export const TABLE = ["inet", "ip-masq-agent"];
export const FLAGS = ["--backend=nftables", "--enable-ipv6"];
export const CONFIG = config({
  nonMasqueradeCIDRs: ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"],
  masqueradeCIDRs: ["10.10.1.0/24", "fd00:10:1::/48"],
});
export const VERDICTS = {
  "10.10.0.1": "pod",
  "10.10.1.1": "node",
  "8.8.8.8": "node",
  "fd00:10::1": "pod",
  "fd00:10:1::1": "node",
} as const;

/** Waits until the agent has put a list in force; returns its table. */
export async function programmed(lab: Lab, agent: Agent, times = 1): Promise<readonly string[]> {
  await eventually(() => expect(agent.log().split(": programmed ").length - 1).toBeGreaterThanOrEqual(times));
  return listing(lab);
}

/** Our table without what its counters show. */
export async function listing(lab: Lab): Promise<readonly string[]> {
  return (await nftablesState(lab)).map((line) => line.replace(/packets \d+ bytes \d+/, "packets N"));
}

/** Carries out lines of nft's in one transaction. */
export async function nft(lab: Lab, ...lines: readonly string[]): Promise<void> {
  expect(await lab.inNode("nft", ["-f", "-"], lines.join("\n"))).toMatchObject({ code: 0, stderr: "" });
}

/** For actions at a random moment. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
