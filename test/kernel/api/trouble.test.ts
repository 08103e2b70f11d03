/** Whatever answers in the API server's place: the last good text stays, there is one sentence about it, and the agent follows again. */
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { createTwoSources } from "../../../src/agent/config/two-sources.ts";
import { follow } from "../../../src/api/follow.ts";
import type { ConfigText } from "../../../src/core/config.ts";
import { describeConfigMaps, parseConfigMapFlag } from "../../../src/core/configmap/flag.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { refuse, startApiServer } from "../../lab/api-server.ts";
import { cells } from "../../lab/length.ts";
import { recordedLog } from "../../lab/log.ts";
import { eventually } from "../../lab/network/lab.ts";

const FILE = "/etc/config/ip-masq-agent";
const NAME = "ip-masq-agent";
/** Pauses between tries are real ones, cut short. */
const PAUSE_MS = 20;

const fileText = (text: string): ConfigText => ({
  kind: "file",
  files: [{ path: FILE, bytes: Buffer.from(text) }],
  source: FILE,
});
const textOf = ({ files }: ConfigText) => Buffer.from(files[0]?.bytes ?? []).toString();

/** Sources of an agent that follows a stand-in with the text "good"; its file still has an older one. */
async function following() {
  const standIn = await startApiServer();
  standIn.edit(NAME, { config: "good" });
  const parsed = parseConfigMapFlag(NAME);
  if (!parsed.ok) throw new Error(parsed.message);
  const maps = [{ namespace: "kube-system", name: NAME }];
  const { log, taken } = recordedLog();
  const end = new AbortController();
  const server = { host: "127.0.0.1", port: String(standIn.port), credentials: standIn.credentials };
  const sources = createTwoSources({
    flag: parsed.value,
    source: describeConfigMaps(parsed.value, maps),
    located: { ok: true, server, namespace: "kube-system", maps },
    configPath: FILE,
    readFile: () => fileText("older"),
    cache: { read: () => undefined, write: () => {} },
    loadFollow: async () => follow,
    changed: () => {},
    random: () => 0,
    now: systemClock.now,
    sleep: (ms, signal) => systemClock.sleep(Math.min(ms, PAUSE_MS), signal),
    log,
  });
  sources.readConfig();
  sources.open(end.signal);
  const inForce = () => textOf(sources.readConfig());
  await eventually(() => expect([inForce(), sources.view().up]).toEqual(["good", true]));
  const close = async () => {
    end.abort();
    await standIn.close();
  };
  return { standIn, sources, inForce, taken, close };
}

const ROLE = "it needs a Role with list and watch on this name";
const answer = (status: number, body: string) => (response: ServerResponse) =>
  response.writeHead(status, { "content-type": "text/html" }).end(body);

type Row = readonly [what: string, act: (response: ServerResponse) => unknown, sentence: string];
const ROWS: readonly Row[] = [
  ["no Role, or one on another name", (one) => refuse(one, 403, 'cannot list resource "configmaps"'), ROLE],
  ["an expired token", (one) => refuse(one, 401, "Unauthorized"), "is the token of this cluster?"],
  ["too many requests", (one) => refuse(one, 429, "later"), "429 Too Many Requests: later"],
  [
    "a server that ends",
    (one) => refuse(one, 503, "shutting down"),
    "503 Service Unavailable: shutting down",
  ],
  ["a version of the past", (one) => refuse(one, 410, "Expired"), "410 Gone: Expired"],
  ["a proxy's page", answer(200, "<html>Log in</html>"), "<html>Log in"],
  ["a proxy's redirection", answer(302, ""), "302 Found"],
  ["garbage", answer(200, "\u0000\u0001{"), "not"],
  ["an object of another kind", answer(200, '{"kind":"PodList","items":[]}'), "not"],
  ["10 MiB of nothing", answer(200, " ".repeat(10 * 1024 * 1024)), "not"],
  ["17 MiB", answer(200, "x".repeat(17 * 1024 * 1024)), "16 MiB"],
  ["half an answer", (one) => one.writeHead(200).write("{", () => one.destroy()), ""],
  ["a broken connection", (one) => one.destroy(), ""],
];

describe.concurrent("the last good text stays", () => {
  test.each(cells(ROWS, (_, i) => i % 4 === 0))("%s", async (_what, act, sentence) => {
    const { standIn, sources, inForce, taken, close } = await following();
    standIn.answer = (_request, response) => {
      act(response);
      return true;
    };
    standIn.drop();
    const lines: string[] = [];
    const warnings = () => {
      lines.push(...taken());
      return lines.filter((line) => line.includes("cannot follow"));
    };
    await eventually(() => expect(warnings()).not.toEqual([]));
    expect(warnings()[0]).toContain(sentence);
    expect(warnings()[0]).toContain("kube-system/ip-masq-agent");
    const asked = standIn.seen.length;
    await eventually(() => expect(standIn.seen.length).toBeGreaterThan(asked + 2));
    expect(warnings()).toHaveLength(1);
    expect(inForce()).toBe("good");
    expect(sources.view().up).toBe(false);

    standIn.answer = () => false;
    standIn.edit(NAME, { config: "newer" });
    await eventually(() => expect([inForce(), sources.view().up]).toEqual(["newer", true]));
    await close();
  });
});
