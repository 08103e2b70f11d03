/**
 * What watchers of the ConfigMap cost the API server: memory, goroutines, processor time for connections, idle and for each edit; and how
 * soon all have heard of an edit. The watchers run on the same cores.
 *
 *   node scripts/run-ts.mjs bench/cluster/watchers.ts [WATCHERS] [EDITS]     (server.ts says with which programs)
 */
import { table } from "../report.ts";
import { median, quantile } from "../statistics.ts";
import { runProgram } from "../task.ts";
import { herd, startHerd, watching } from "./herd.ts";
import { type ApiServer, withApiServer } from "./server.ts";

const PER_SECOND = 200;
const IDLE_S = 20;
/** All have heard of an edit by then. */
const SETTLED_MS = 4_000;
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

async function goroutines({ kubectl }: ApiServer): Promise<number> {
  return Number(/^go_goroutines (\d+)/m.exec(await kubectl("get", "--raw", "/metrics"))?.[1]);
}

/** Edits another key of the ConfigMap than the agents read: each watcher hears it all the same. */
async function edit({ kubectl }: ApiServer, number: number): Promise<void> {
  const patch = JSON.stringify({ data: { bench: String(number) } });
  const words = "-n kube-system patch configmap ip-masq-agent --type=merge --patch".split(" ");
  await kubectl(...words, patch);
}

async function measure(api: ApiServer, count: number, edits: number): Promise<void> {
  const { server } = api;
  const before = { resident: server.residentMb(), goroutines: await goroutines(api), cpu: server.cpuMs() };
  const watchers = await startHerd(api, count, PER_SECOND);
  const tookMs = await watching(watchers, count);
  const connected = server.cpuMs() - before.cpu;
  await pause(SETTLED_MS);
  const perWatcher = {
    kb: ((server.residentMb() - before.resident) * 1_024) / count,
    goroutines: ((await goroutines(api)) - before.goroutines) / count,
  };
  const idle = server.cpuMs();
  await pause(IDLE_S * 1_000);
  const idleShare = (server.cpuMs() - idle) / (IDLE_S * 10);
  const rows: number[][] = [];
  for (let number = 0; number < edits; number++) {
    await watchers.ask("mark");
    const [cpu, sentAt] = [server.cpuMs(), Date.now()];
    await edit(api, number);
    await pause(SETTLED_MS);
    const { heardAt } = await watchers.ask("mark");
    const first = Math.min(...heardAt);
    const spread = [0.5, 0.99, 1].map((part) => quantile(heardAt, part) - first);
    rows.push([heardAt.length, first - sentAt, ...spread, server.cpuMs() - cpu]);
  }
  const column = (index: number) => median(rows.map((row) => row[index] ?? 0));
  console.log(
    table(
      [`${count} watchers`, ""],
      [
        ["connected within, s", (tookMs / 1_000).toFixed(1)],
        ["server's CPU for a connection (TLS, list, watch), ms", (connected / count).toFixed(2)],
        ["server's memory for each, KB", perWatcher.kb.toFixed(0)],
        ["goroutines for each", perWatcher.goroutines.toFixed(1)],
        ["server's CPU when idle, % of a core", idleShare.toFixed(1)],
        [`heard of an edit, the fewest of ${edits}`, String(Math.min(...rows.map(([heard]) => heard ?? 0)))],
        ["after the first one, p50, ms (median of edits)", column(2).toFixed(0)],
        ["p99", column(3).toFixed(0)],
        ["the last", column(4).toFixed(0)],
        ["server's CPU for an edit and watcher, ms", (column(5) / count).toFixed(3)],
      ],
    ),
  );
  watchers.end();
}

runProgram({ herd }, (count = "1000", edits = "10") =>
  withApiServer((api) => measure(api, Number(count), Number(edits))),
);
