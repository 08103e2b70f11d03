/** The agent on this machine itself, in the foreground. */
import { spawn } from "node:child_process";
import { agentBundle } from "../test/lab/network/lab.ts";

const NOTICE = `HOST=1: the agent now programs THIS machine's nat table, until Ctrl-C; its rules stay afterwards. To remove them:
  iptables -t nat -S POSTROUTING | sed -n 's/^-A \\(.* -j IP-MASQ-AGENT\\)$/iptables -t nat -D \\1/p' | sh
  iptables -t nat -F IP-MASQ-AGENT && iptables -t nat -X IP-MASQ-AGENT
`;

/** Runs it until it ends or a signal ends us; returns its exit code. */
export function runOnHost(config: string, flags: readonly string[]): Promise<number> {
  process.stdout.write(NOTICE);
  const args = [agentBundle(), "run", `--config=${config}`, ...flags];
  const agent = spawn(process.execPath, args, { stdio: "inherit" });
  // Ctrl-C reaches the agent by itself; other signals may be meant for us alone.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      if (signal !== "SIGINT") agent.kill(signal);
    });
  return new Promise((resolve, reject) => {
    agent.on("error", reject);
    agent.on("exit", (code) => resolve(code ?? 1));
  });
}
