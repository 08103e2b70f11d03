/** A lab whose agent is scraped: where it serves, the Prometheus with our alerts, and a process that flushes its chains. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { bothFamilies, describeKernel } from "../lab/network/fixture.ts";
import { CHAIN } from "../lab/network/iptables.ts";
import type { Lab } from "../lab/network/lab.ts";
import { NODE } from "../lab/network/topology.ts";
import { deployed } from "./deploy.ts";
import { FOUND } from "./prometheus.ts";
import { type Prometheus, startPrometheus } from "./server.ts";

/** For the agent's --http-address: not the loopback, as on a node that is scraped. */
export const ADDRESS = `${NODE.IPv4}:10279`;

/** Tests that need Prometheus in a lab. */
export const describePrometheusInLab = FOUND ? describeKernel : describe.skip;

/**
 * Prometheus with the alerts, where three minutes are three seconds: it looks each second, and agents resync more often
 * than once a minute. Each address is taken for a node of its own.
 */
export async function scrape(lab: Lab, addresses: readonly string[] = [ADDRESS]): Promise<Prometheus> {
  const rules = join(lab.directory, "alerts.yaml");
  const text = readFileSync(deployed("alerts.yaml"), "utf8");
  writeFileSync(rules, text.replace("> 180", "> 3").replace("[3m]", "[3s]"));
  const targets = addresses.map((address, i) => ({
    targets: [address],
    labels: { node: `node-${i + 1}`, namespace: "kube-system", pod: `agent-${i + 1}` },
  }));
  return startPrometheus(lab, {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    scrape_configs: [{ job_name: "ip-masq-agent", static_configs: targets }],
    rule_files: [rules],
  });
}

/** Flushes the agent's chains, as another process. */
export async function flush(lab: Lab): Promise<void> {
  await Promise.all(bothFamilies(lab, "nft").map(({ run }) => run("-F", CHAIN)));
}
