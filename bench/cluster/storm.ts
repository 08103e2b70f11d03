/**
 * The API server ends under thousands of watchers and starts again: how soon all are back, and what an innocent client has of it, which
 * makes a new connection five times a second. The watchers come back by the agent's own code.
 *
 *   node scripts/run-ts.mjs bench/cluster/storm.ts [WATCHERS]     (server.ts says with which programs)
 */

import { get } from "node:https";
import { eventually } from "../../test/lab/network/lab.ts";
import { table } from "../report.ts";
import { quantile } from "../statistics.ts";
import { runProgram, serveTask, startTask } from "../task.ts";
import { herd, startHerd, watching } from "./herd.ts";
import { type ApiServer, adminOf, withApiServer } from "./server.ts";

const PER_SECOND = 200;
const PROBE_MS = 200;
const PROBE_LIMIT_MS = 10_000;
const CALM_MS = 5_000;
const AFTERWARDS_MS = 2_000;
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A request of the innocent client: when it began, how long it took, and whether it was answered. */
interface Probe {
  readonly at: number;
  readonly ms: number;
  readonly ok: boolean;
}

/** The task of the innocent client: answers with all its requests so far. */
function innocent(keys = ""): Promise<void> {
  const place = { ...adminOf(keys), path: "/version", agent: false, timeout: PROBE_LIMIT_MS };
  const probes: Probe[] = [];
  setInterval(() => {
    const at = Date.now();
    const note = (ok: boolean) => void probes.push({ at, ms: Date.now() - at, ok });
    const request = get(place, (answer) => {
      answer.resume().on("end", () => note(answer.statusCode === 200));
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", () => note(false));
  }, PROBE_MS);
  return serveTask(() => probes);
}

async function measure(api: ApiServer, count: number): Promise<void> {
  const watchers = await startHerd(api, count, PER_SECOND);
  await watching(watchers, count);
  const client = await startTask<null, readonly Probe[]>(api.lab.inside("node"), "innocent", api.keys);
  await pause(CALM_MS);
  await watchers.ask("mark");
  const killedAt = Date.now();
  await api.restart();
  // Until then it answers some requests and lets others wait, however many watchers there are.
  await eventually(() => api.kubectl("get", "--raw", "/readyz"), 60_000);
  const readyAt = Date.now();
  const half = await watching(watchers, count / 2, killedAt);
  const all = await watching(watchers, count, killedAt);
  await pause(AFTERWARDS_MS);
  const { ends } = await watchers.ask("mark");
  const probes = await client.ask(null);
  client.end();
  watchers.end();
  const answered = (some: readonly Probe[]) => some.filter(({ ok }) => ok).map(({ ms }) => ms);
  const calm = answered(probes.filter(({ at }) => at < killedAt));
  const since = probes.filter(({ at }) => at >= readyAt);
  const after = answered(since);
  console.log(
    table(
      [`${count} watchers, the server killed`, ""],
      [
        ["it is ready again after, s", ((readyAt - killedAt) / 1_000).toFixed(1)],
        ["half of the watchers are back after, s", (half / 1_000).toFixed(1)],
        ["all of them", (all / 1_000).toFixed(1)],
        ["innocent client before: p50, most, ms", `${quantile(calm, 0.5)}, ${quantile(calm, 1)}`],
        ["from then on: p50", String(quantile(after, 0.5))],
        ["p90", String(quantile(after, 0.9))],
        ["most", String(quantile(after, 1))],
        ["without an answer, of", `${since.length - after.length} of ${since.length}`],
        [
          "sessions that ended",
          Object.entries(ends)
            .map(([name, times]) => `${name}: ${times}`)
            .join(", "),
        ],
      ],
    ),
  );
}

runProgram({ herd, innocent }, (count = "3000") => withApiServer((api) => measure(api, Number(count))));
