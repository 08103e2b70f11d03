/**
 * From an edit of the ConfigMap to the rules, with --config-map and a real API server: an agent for each backend follows it. The time
 * begins when the PATCH is sent, and ends with the agent's line that the rules are programmed.
 *
 *   node scripts/run-ts.mjs bench/cluster/edit.ts [EDITS]     (server.ts says with which programs)
 */

import { eventually } from "../../test/lab/network/lab.ts";
import type { Agent } from "../../test/lab/network/processes.ts";
import { table } from "../report.ts";
import { quantile } from "../statistics.ts";
import { type ApiServer, withApiServer } from "./server.ts";

const EDITS = Number(process.argv[2] ?? "30");

/** Sends the edits, 400 ms apart, over one connection; prints when each was sent, in milliseconds since 1970. */
const EDITOR = `
const { readFileSync } = require("node:fs");
const https = require("node:https");
const [, directory, edits] = process.argv;
const file = (name) => readFileSync(directory + "/" + name);
const agent = new https.Agent({ keepAlive: true, ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") });
const path = "/api/v1/namespaces/kube-system/configmaps/ip-masq-agent";
const headers = { "content-type": "application/merge-patch+json" };
const patch = (config) => new Promise((done, failed) => {
  const request = https.request({ host: "127.0.0.1", port: 6443, method: "PATCH", path, agent, headers }, (answer) => {
    answer.resume().on("end", () => answer.statusCode === 200 ? done() : failed(new Error(String(answer.statusCode))));
  });
  request.on("error", failed);
  request.end(JSON.stringify({ data: { config } }));
});
(async () => {
  for (let edit = 0; edit <= Number(edits); edit++) {
    const sent = performance.timeOrigin + performance.now();
    await patch("nonMasqueradeCIDRs:\\n  - 10." + edit + ".0.0/16\\n  - 192.168.0.0/16\\n");
    // The first one opens the connection.
    if (edit > 0) console.log(sent);
    await new Promise((done) => setTimeout(done, 400));
  }
})();
`;

/** When each line said that rules are programmed, in milliseconds since 1970; klog's times have no year. */
function programmedAt(agent: Agent): number[] {
  const lines = agent.log().matchAll(/^I(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(\.\d{6}).*: programmed /gm);
  const year = new Date().getFullYear();
  return [...lines].map(([, month, day, hours, minutes, seconds, rest]) => {
    const whole = new Date(
      year,
      Number(month) - 1,
      Number(day),
      Number(hours),
      Number(minutes),
      Number(seconds),
    );
    return whole.getTime() + Number(rest) * 1_000;
  });
}

/** The milliseconds of each edit; one that has no line within 5 s is not a number. */
async function measure({ lab, keys, account }: ApiServer, flags: readonly string[]): Promise<number[]> {
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
  const { stdout, stderr } = await lab.inNode(process.execPath, ["-e", EDITOR, keys, String(EDITS)]);
  if (stderr !== "") throw new Error(stderr);
  const done = programmedAt(agent);
  await agent.end();
  await lab.inNode("nft", ["flush", "ruleset"]);
  return stdout
    .trim()
    .split("\n")
    .map((sent) => (done.find((at) => at > Number(sent)) ?? Number.NaN) - Number(sent));
}

/** Measures both backends, one after the other, with one API server. */
async function measureBoth(server: ApiServer): Promise<void> {
  console.log(`${EDITS} edits each: PATCH sent to rules programmed, milliseconds\n`);
  const rows = [];
  for (const [name, flags] of [
    ["nftables", ["--backend=nftables"]],
    ["iptables (nft)", ["--iptables-mode=nft"]],
  ] as const) {
    const times = await measure(server, flags);
    rows.push([name, ...[0, 0.5, 0.95, 0.99, 1].map((part) => quantile(times, part).toFixed(0))]);
  }
  console.log(table(["backend", "least", "p50", "p95", "p99", "most"], rows));
}

void withApiServer(measureBoth);
