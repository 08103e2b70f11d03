/** A node for doctor to look at, and what it says of it. */
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Finding } from "../../../src/doctor/finding.ts";
import { agentBundle, createLab, eventually, type Lab } from "./lab.ts";

/** A configuration with nothing odd in it. */
const LIST = ["10.0.0.0/8", "172.16.0.0/12"];
export const CONFIG = JSON.stringify({ nonMasqueradeCIDRs: LIST });
/** The same with the pods' own network of the other family, which an agent without IPv6 refuses. */
const DUAL = JSON.stringify({ nonMasqueradeCIDRs: [...LIST, "fd00::/8"] });
export const IPV6 = "--enable-ipv6";
export const NFTABLES = ["--backend=nftables"];

export interface Visit {
  readonly code: number | string;
  readonly findings: readonly Finding[];
}

/** The inputs of doctor; `wrapper` comes before its command line. */
export interface Visiting {
  /** The agent's own, unless it is to be found out. */
  readonly config?: string | undefined;
  readonly flags?: readonly string[];
  readonly wrapper?: readonly string[];
}

/** Runs doctor in the node. */
export async function visit(lab: Lab, { flags = [], ...rest }: Visiting = {}): Promise<Visit> {
  const { code, stdout, stderr } = await runDoctor(lab, { ...rest, flags: ["-o", "json", ...flags] });
  expect(unexpected(stderr)).toBe("");
  return { code, findings: (JSON.parse(stdout) as { findings: Finding[] }).findings };
}

/** What is said besides the flags that were taken over from the agent, or that those of others here are only for root to see. */
export function unexpected(stderr: string): string {
  const adopted =
    /^ip-masq-agent doctor: (.*, from the agent with pid \d+|only root may see whether an agent runs here, .*)\n/gm;
  return stderr.replaceAll(adopted, "");
}

/** The same as people see it. */
export function runDoctor(lab: Lab, visiting: Visiting) {
  const { flags = [], wrapper = [], config = lab.volume.path } = visiting;
  const named = "config" in visiting && visiting.config === undefined ? [] : [`--config=${config}`];
  // Without an agent that changes anything, readings of counters need no time between them.
  // The machine's own CNI is none of the lab's.
  const directory = join(lab.directory, "no-cni");
  mkdirSync(directory, { recursive: true });
  const cni = `--cni-dir=${directory}`;
  const own = ["doctor", ...named, cni, "--interval=0s", ...flags];
  const [file, ...args] = wrapper;
  if (file === undefined) return lab.program(own);
  return lab.inNode(file, [...args, process.execPath, agentBundle(), ...own]);
}

/** Problems by severity and check. */
export function problems({ findings }: Visit): readonly string[] {
  const found = findings.filter(({ severity }) => severity !== "info");
  for (const { message, remedy } of found)
    expect(remedy ?? `no remedy for: ${message}`).not.toContain("no remedy");
  return found.map(({ severity, check }) => `${severity} ${check}`);
}

/** Lets an agent program the node; it goes on running. */
export async function programmed(lab: Lab, flags: readonly string[] = []) {
  lab.volume.write(flags.includes(IPV6) ? DUAL : CONFIG);
  const agent = lab.startAgent({ flags });
  const groups = flags.includes(IPV6) && !flags.includes("--backend=nftables") ? 2 : 1;
  await eventually(() => expect(agent.log().split(": programmed ").length - 1).toBe(groups));
  return agent;
}

/** A node with the rules of an agent that has ended, so that it does not repair what the test breaks. */
export async function left(lab: Lab, flags: readonly string[] = []): Promise<void> {
  await (await programmed(lab, flags)).end();
}

/**
 * One node for all tests of a `describe`, as an agent with these flags has left it, on which doctor has nothing to say. What a
 * test does to rules and sets is undone after it.
 */
export function sharedNode(flags: readonly string[], prepare = async (_lab: Lab) => {}): () => Lab {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab();
    await prepare(lab);
    await left(lab, flags);
    expect(problems(await visit(lab, { flags }))).toEqual([]);
    await succeed(lab, "sh", "-c", SAVE, "sh", lab.directory);
  }, 60_000);
  afterEach(() => succeed(lab, "sh", "-c", RESTORE, "sh", lab.directory), 60_000);
  afterAll(() => lab.close());
  return () => lab;
}

const SAVE = `set -e; cd "$1"; iptables-nft-save >rules4; ip6tables-nft-save >rules6; ipset save >sets
  nft list table inet ip-masq-agent >table 2>/dev/null || true`;
const RESTORE = `set -e; cd "$1"; nft flush ruleset; iptables-nft-restore <rules4; ip6tables-nft-restore <rules6; nft -f table
  for family in ip ip6; do
    for table in $(cat /proc/net/\${family}_tables_names); do
      \${family}tables-legacy -t $table -F; \${family}tables-legacy -t $table -X
    done
  done
  ipset destroy; ipset restore <sets`;

/** Starts a command in the node, with a standard input that never ends; returns the file that its output goes to. */
export async function background(lab: Lab, ...command: readonly string[]): Promise<string> {
  const output = mkdtempSync(join(lab.directory, "background-"));
  const script = `mkfifo ${output}/in; "$@" <>${output}/in >${output}/out 2>&1 &`;
  expect(await lab.inNode("bash", ["-c", script, "bash", ...command])).toMatchObject({ code: 0, stderr: "" });
  return join(output, "out");
}

/** The host's lock in a container: the same file, mounted. */
export function withLock(lab: Lab): readonly string[] {
  const lock = join(lab.directory, "xtables.lock");
  const script = `touch ${lock} && mount --bind ${lock} ${lock} && exec "$@"`;
  return ["unshare", "-m", "sh", "-c", script, "sh"];
}

/** Runs a tool in the node, which must succeed. */
export async function succeed(lab: Lab, file: string, ...args: readonly string[]): Promise<void> {
  expect(await lab.inNode(file, args)).toMatchObject({ code: 0 });
}
