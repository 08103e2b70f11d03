/**
 * What reports cost: so many nodes write their Leases by the agent's own code, each over a connection of its own, twice: when there is none
 * yet, and after an edit. One of 100 refuses the text; how long `kubectl` takes to find those.
 *
 *   node scripts/run-ts.mjs bench/cluster/leases.ts [NODES] [A_SECOND]     (server.ts says with which programs)
 */
import { createLeaseWrite, createSend } from "../../src/agent/fleet/writes.ts";
import { table } from "../report.ts";
import { quantile } from "../statistics.ts";
import { runProgram, serveTask, startTask } from "../task.ts";
import { type ApiServer, withApiServer } from "./server.ts";

const COMPONENT = "deploy/kustomize/components/lease-report";
const REFUSE_EACH = 100;

interface Load {
  readonly nodes: number;
  readonly perSecond: number;
  readonly round: number;
}

/** What the writes of one round took, in milliseconds, and how many failed. */
interface Round {
  readonly ms: readonly number[];
  readonly failed: number;
}

/** The task: writes all Leases at a rate. */
function writer(credentials = ""): Promise<void> {
  return serveTask<Load>((load) => writeAll(credentials, load));
}

async function writeAll(credentials: string, { nodes, perSecond, round }: Load): Promise<Round> {
  const server = { host: "127.0.0.1", port: "6443", credentials };
  const ms: number[] = [];
  let failed = 0;
  const write = async (i: number) => {
    const isRefused = i % REFUSE_EACH === 0;
    const reporter = { node: `node-${i}`, namespace: "kube-system", pod: undefined, version: "v0.0.0" };
    const start = performance.now();
    const report = {
      state: isRefused ? ("refused" as const) : ("ok" as const),
      config: `3f2a91c0d4e5b61${round}`,
      why: isRefused ? 'nonMasqueradeCIDRs[3]: CIDR "10.1.0.0/8" is not aligned to a CIDR block' : "",
      at: new Date().toISOString().replace("Z", "000Z"),
      backend: "iptables",
      resourceVersion: String(round),
    };
    const writeOne = createLeaseWrite(createSend(server, new AbortController().signal), reporter);
    await writeOne(report).then(
      () => ms.push(performance.now() - start),
      () => failed++,
    );
  };
  const begin = performance.now();
  const writes: Promise<void>[] = [];
  while (writes.length < nodes) {
    const due = Math.min(nodes, ((performance.now() - begin) / 1_000) * perSecond);
    while (writes.length < due) writes.push(write(writes.length));
    await new Promise((done) => setTimeout(done, 20));
  }
  await Promise.all(writes);
  return { ms, failed };
}

async function timed(work: () => Promise<unknown>): Promise<string> {
  const start = performance.now();
  await work();
  return ((performance.now() - start) / 1_000).toFixed(2);
}

async function measure(api: ApiServer, nodes: number, perSecond: number): Promise<void> {
  const { kubectl, server, etcd, lab, account } = api;
  for (const name of ["role", "role-binding"]) await kubectl("apply", "-f", `${COMPONENT}/${name}.yaml`);
  const task = await startTask<Load, Round>(lab.inside("node"), "writer", account);
  const rows: string[][] = [];
  for (const round of [1, 2]) {
    const before = [server.cpuMs(), etcd.cpuMs()] as const;
    const { ms, failed } = await task.ask({ nodes, perSecond, round });
    rows.push([
      round === 1 ? "new" : "changed",
      String(failed),
      ...[0.5, 0.99].map((part) => quantile(ms, part).toFixed(0)),
      ...[server.cpuMs() - before[0], etcd.cpuMs() - before[1]].map((cpu) => (cpu / nodes).toFixed(2)),
    ]);
  }
  task.end();
  const what = `${nodes} Leases, ${perSecond} a second`;
  console.log(table([what, "failed", "p50 ms", "p99", "CPU ms: server", "etcd"], rows));
  const leases = ["-n", "kube-system", "get", "leases", "-l"];
  const bad = await timed(() => kubectl(...leases, "k8s-app=ip-masq-agent,ip-masq-agent/state!=ok"));
  const all = await timed(() => kubectl(...leases, "k8s-app=ip-masq-agent"));
  console.log(`\nkubectl get leases: those that are not ok ${bad} s, all ${all} s`);
}

runProgram({ writer }, (nodes = "1000", perSecond = "50") =>
  withApiServer((api) => measure(api, Number(nodes), Number(perSecond))),
);
