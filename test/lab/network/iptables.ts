/** The packet filter of a lab's node, as other programs and people see and change it. */
import type { CommandResult } from "../command.ts";

export type Variant = "nft" | "legacy";
export type Family = "IPv4" | "IPv6";

/** One variant of the tools for one family. Every call is a process. */
export interface Iptables {
  /** Runs `iptables -t nat ...`; throws if it fails. */
  readonly run: (...args: string[]) => Promise<string>;
  /** Like `run`, for what may fail. */
  readonly attempt: (...args: string[]) => Promise<CommandResult>;
  /** Carries out lines of the nat table in one transaction, in addition to the existing ones. */
  readonly transact: (...lines: string[]) => Promise<void>;
  /** The lines of a chain, as `-S` prints them; undefined if there is no such chain. */
  readonly listing: (chain: string) => Promise<readonly string[] | undefined>;
  /** How many packets each rule of a chain has seen. */
  readonly packets: (chain: string) => Promise<readonly number[]>;
}

/** The agent's chain. */
export const CHAIN = "IP-MASQ-AGENT";

type Execute = (file: string, args: readonly string[], stdin?: string) => Promise<CommandResult>;

/** `name` is the command, such as `iptables` or `ip6tables-legacy`. */
export function createIptables(name: string, execute: Execute): Iptables {
  // Waiting for the lock, which other processes of this machine may hold.
  const attempt = (...args: string[]) => execute(name, ["-w", "10", "-t", "nat", ...args]);
  const run = async (...args: string[]) => succeed(`${name} ${args.join(" ")}`, await attempt(...args));
  return {
    run,
    attempt,
    async transact(...lines) {
      const text = ["*nat", ...lines, "COMMIT", ""].join("\n");
      succeed(text, await execute(`${name}-restore`, ["-w", "10", "--noflush"], text));
    },
    async listing(chain) {
      const { code, stdout, stderr } = await attempt("-S", chain);
      if (code === 1) return undefined;
      return succeed(`${name} -S ${chain}`, { code, stdout, stderr }).trimEnd().split("\n");
    },
    async packets(chain) {
      const lines = (await run("-L", chain, "-v", "-x", "-n")).trimEnd().split("\n").slice(2);
      return lines.map((line) => Number(line.trim().split(/\s+/)[0]));
    },
  };
}

/** The number of the rule in POSTROUTING that leads to the agent's chain, as `-D` takes it; undefined without one. */
export async function jumpNumber({ listing }: Iptables): Promise<string | undefined> {
  const rules = (await listing("POSTROUTING"))?.filter((line) => line.startsWith("-A")) ?? [];
  const index = rules.findIndex((line) => line.endsWith(`-j ${CHAIN}`));
  return index < 0 ? undefined : String(index + 1);
}

function succeed(what: string, { code, stdout, stderr }: CommandResult): string {
  if (code !== 0) throw new Error(`${what}: ${code}: ${stderr.trim()}`);
  return stdout;
}
