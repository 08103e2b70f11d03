/**
 * From an edit of the ConfigMap to the rules, with --config-map and a real API server: an agent for each backend follows it. The time
 * begins when the PATCH is sent, and ends with the agent's line that the rules are programmed.
 *
 *   node scripts/run-ts.mjs bench/cluster/edit.ts [EDITS]     (server.ts says with which programs)
 */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../../test/lab/network/lab.ts";
import type { Agent as RunningAgent } from "../../test/lab/network/processes.ts";
import { table } from "../report.ts";
import { quantile } from "../statistics.ts";
import { runProgram, serveTask, startTask } from "../task.ts";
import { type ApiServer, adminOf, withApiServer } from "./server.ts";

/** The pause between edits. */
const PAUSE_MS = 400;

/** The task that edits, over one connection: answers with the moments at which each PATCH was sent, in milliseconds since 1970. */
function editor(keys = ""): Promise<void> {
  const place = {
    ...adminOf(keys),
    ...{ method: "PATCH", path: "/api/v1/namespaces/kube-system/configmaps/ip-masq-agent" },
    headers: { "content-type": "application/merge-patch+json" },
    agent: new Agent({ keepAlive: true }),
  };
  const patch = async (config: string) => {
    const sending = request(place);
    sending.end(JSON.stringify({ data: { config } }));
    const [answer] = (await once(sending, "response")) as [IncomingMessage];
    await once(answer.resume(), "end");
    if (answer.statusCode !== 200) throw new Error(String(answer.statusCode));
  };
  return serveTask<number>(async (edits) => {
    const sent: number[] = [];
    for (let edit = 0; edit <= edits; edit++) {
      sent.push(performance.timeOrigin + performance.now());
      await patch(`nonMasqueradeCIDRs:\n  - 10.${edit}.0.0/16\n  - 192.168.0.0/16\n`);
      await pause(PAUSE_MS);
    }
    // The first one opens the connection.
    return sent.slice(1);
  });
}

/** When each line said that rules are programmed, in milliseconds since 1970; klog's times have no year. */
function programmedAt(agent: RunningAgent): number[] {
  const lines = agent.log().matchAll(/^I(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(\.\d{6}).*: programmed /gm);
  const year = new Date().getFullYear();
  return [...lines].map(([, month, day, hours, minutes, seconds, rest]) => {
    const [h, m, s] = [hours, minutes, seconds].map(Number);
    return new Date(year, Number(month) - 1, Number(day), h, m, s).getTime() + Number(rest) * 1_000;
  });
}

/** The milliseconds of each edit; one that has no line within 5 s is not a number. */
async function measure(
  { lab, keys, account }: ApiServer,
  edits: number,
  flags: readonly string[],
): Promise<number[]> {
  const mounts =
    'mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"';
  const agent = lab.startAgent({
    wrapper: ["sh", "-c", mounts, account],
    flags: ["--config-map=ip-masq-agent", "--http-address=", ...flags],
    env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "6443" },
  });
  await eventually(() => {
    if (!agent.log().includes("following configmap")) throw new Error(agent.log());
  }, 60_000);
  const task = await startTask<number, readonly number[]>(lab.inside("node"), "editor", keys);
  const sent = await task.ask(edits);
  task.end();
  const done = programmedAt(agent);
  await agent.end();
  await lab.inNode("nft", ["flush", "ruleset"]);
  return sent.map((from) => (done.find((at) => at > from) ?? Number.NaN) - from);
}

/** Measures both backends, one after the other, with one API server. */
async function measureBoth(server: ApiServer, edits: number): Promise<void> {
  console.log(`${edits} edits each: PATCH sent to rules programmed, milliseconds\n`);
  const rows = [];
  for (const [name, flags] of [
    ["nftables", ["--backend=nftables"]],
    ["iptables (nft)", ["--iptables-mode=nft"]],
  ] as const) {
    const times = await measure(server, edits, flags);
    rows.push([name, ...[0, 0.5, 0.95, 0.99, 1].map((part) => quantile(times, part).toFixed(0))]);
  }
  console.log(table(["backend", "least", "p50", "p95", "p99", "most"], rows));
}

runProgram({ editor }, (edits = "30") => withApiServer((api) => measureBoth(api, Number(edits))));
