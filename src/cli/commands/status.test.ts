import { EventEmitter, once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createNetServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { say } from "../../../test/lab/io.ts";
import { initialStatus, type PassReport, type Status, statusAfter } from "../../observe/status.ts";
import type { Clock } from "../../system/clock.ts";
import type { SeenAgent } from "../../system/processes.ts";
import { statusCommand } from "./status.ts";

const servers: { close: () => void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(server: Server | ReturnType<typeof createNetServer>): Promise<string> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** What the command says of a server that answers like this. */
async function ask(listener: RequestListener, ...args: string[]) {
  const address = await listen(createServer(listener));
  const said = await say(statusCommand, [`--http-address=${address}`, ...args]);
  return { ...said, err: said.err.replace(address, "ADDRESS") };
}

function answering(status: Status): RequestListener {
  return ({ method, url }, response) =>
    response.end(method === "GET" && url === "/status" ? JSON.stringify(status) : "");
}

const START = Date.UTC(2026, 0, 1);
const WELL = statusAfter(initialStatus("v1", { name: "iptables", why: "--backend" }, START), {
  at: START + 1_000,
  durationMs: 12.53,
  reason: "start",
  drift: 3,
  applied: 2,
  errors: [],
  backend: { name: "iptables", why: "--backend" },
  config: {
    source: "/etc/config/ip-masq-agent",
    hash: "abcdef",
    state: "accepted",
    problems: [],
    isNew: true,
  },
  current: { source: "/etc/config/ip-masq-agent", hash: "abcdef" },
  failures: [],
  families: ["IPv4", "IPv6"].map((family) => ({ family, inForce: true, cidrs: 5, intervals: 5 })),
  rules: ["IPv4", "IPv6"].map((label) => ({ label, inForce: true, cidrs: 5, changed: label === "IPv4" })),
  healed: [{ kind: "missing", process: "iptables-restore", count: 2 }],
  leaving: [],
});

test("an agent that is well", async () => {
  const { code, out, err } = await ask(answering(WELL));
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatchInlineSnapshot(`
    "agent      v1, since 2026-01-01T00:00:00.000Z
    backend    iptables (--backend)
    config     /etc/config/ip-masq-agent
    in force   abcdef (IPv4, IPv6)
    read last  abcdef (accepted) at 2026-01-01T00:00:01.000Z
    rules      IPv4: 5 CIDRs, in force, changed at 2026-01-01T00:00:01.000Z
    rules      IPv6: 5 CIDRs, in force
    last pass  2026-01-01T00:00:01.000Z (start), 12.5 ms: 3 differences repaired
    healed     2 (iptables-restore 2)
    "
  `);
});

test("whose packets rules are about", async () => {
  const scope = { sources: 2, interfaces: ["eth0", "bond+"] };
  const rules = [
    { label: "IPv4", inForce: true, cidrs: 5, scope, changed: false },
    { label: "IPv6", inForce: true, cidrs: 5, scope: { sources: 1, interfaces: [] }, changed: false },
  ];
  const { out } = await ask(answering(afterwards({ rules })));
  expect(out.split("\n").filter((line) => line.startsWith("rules"))).toEqual([
    "rules      IPv4: 5 CIDRs, 2 sources, through eth0 or bond+, in force, changed at 2026-01-01T00:00:01.000Z",
    "rules      IPv6: 5 CIDRs, 1 source, in force",
  ]);
});

/** The status after another pass of an agent that was well. */
function afterwards(more: Partial<PassReport>): Status {
  const { at: _, ...pass } = WELL.lastPass as NonNullable<Status["lastPass"]>;
  return statusAfter(WELL, {
    ...pass,
    at: START + 2_000,
    backend: WELL.backend,
    config: { source: "/c", hash: "ab", state: "refused", problems: ["/c:1:1: bad"], isNew: true },
    current: { source: "/etc/config/ip-masq-agent", hash: "abcdef" },
    failures: [],
    families: [],
    rules: [],
    healed: [],
    leaving: [],
    ...more,
  });
}

test("one that is not, with something that a terminal must not see", async () => {
  const ill = afterwards({
    errors: ["error programming chain: exit status 4", "bad\u001b[2J"],
    failures: ["tool", "config"],
    current: { source: "/etc\u001b[2J", hash: "abc\u001b[2Jdef" },
    families: [{ family: "IPv6\u001b[2J", inForce: true, cidrs: 1, intervals: 1 }],
    rules: [{ label: "IPv4", inForce: false, cidrs: 5, changed: false }],
  });
  const { code, out } = await ask(answering(ill));
  expect(code).toBe(1);
  expect(out).not.toContain("\u001b");
  expect(out).toMatchInlineSnapshot(`
    "agent      v1, since 2026-01-01T00:00:00.000Z
    backend    iptables (--backend)
    config     /c
    in force   abc?[2Jdef of /etc?[2J (IPv6?[2J)
    read last  ab (refused) at 2026-01-01T00:00:02.000Z
    rules      IPv4: 5 CIDRs, not in force, changed at 2026-01-01T00:00:01.000Z
    rules      IPv6: 5 CIDRs, not checked since 2026-01-01T00:00:01.000Z
    last pass  2026-01-01T00:00:02.000Z (start), 12.5 ms: failed
    healed     2 (iptables-restore 2)
    problem    /c:1:1: bad
    problem    error programming chain: exit status 4
    problem    bad?[2J
    "
  `);
});

test("rules that the last pass has not looked at are not told as in force", async () => {
  const unseen = afterwards({
    errors: ["/c: away"],
    config: { source: "/c", hash: null, state: "unreadable", problems: ["/c: away"], isNew: false },
    failures: ["source"],
  });
  const { code, out } = await ask(answering(unseen));
  expect(code).toBe(1);
  expect(out).not.toContain("\u001b");
  expect(out).toMatchInlineSnapshot(`
    "agent      v1, since 2026-01-01T00:00:00.000Z
    backend    iptables (--backend)
    config     /c
    in force   not known
    read last  nothing (unreadable)
    rules      IPv4: 5 CIDRs, not checked since 2026-01-01T00:00:01.000Z, changed at 2026-01-01T00:00:01.000Z
    rules      IPv6: 5 CIDRs, not checked since 2026-01-01T00:00:01.000Z
    last pass  2026-01-01T00:00:02.000Z (start), 12.5 ms: failed
    healed     2 (iptables-restore 2)
    problem    /c: away
    "
  `);
});

test("an agent of an older version is understood", async () => {
  const { state: _, inForce: __, ...config } = WELL.config;
  const rules = { IPv4: { inForce: true, cidrs: 5, lastChangeAt: null } };
  const { code, out } = await ask(answering({ ...WELL, config, rules }));
  expect(code).toBe(0);
  expect(out).toMatchInlineSnapshot(`
    "agent      v1, since 2026-01-01T00:00:00.000Z
    backend    iptables (--backend)
    config     /etc/config/ip-masq-agent
    read last  abcdef (accepted) at 2026-01-01T00:00:01.000Z
    rules      IPv4: 5 CIDRs, in force
    last pass  2026-01-01T00:00:01.000Z (start), 12.5 ms: 3 differences repaired
    healed     2 (iptables-restore 2)
    "
  `);
});

test("one that has just started is not well yet", async () => {
  expect((await ask(answering(initialStatus("v1", WELL.backend, START)))).code).toBe(1);
});

test("as JSON it is what the agent said", async () => {
  expect(JSON.parse((await ask(answering(WELL), "-o", "json")).out)).toEqual(WELL);
});

test.each<[string, RequestListener]>([
  ["another program", (_, response) => response.end("<html>")],
  ["another path", (_, response) => response.writeHead(404).end()],
  ["an answer without end", (_, response) => response.end("x".repeat(2_000_000))],
  [
    "one that breaks off",
    (_, response) => response.writeHead(200, { "content-length": "9" }).write("{", () => response.destroy()),
  ],
])("%s", async (name, listener) => {
  const { code, out, err } = await ask(listener);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect({ [name]: err }).toMatchSnapshot();
});

test("what does not speak HTTP", async () => {
  const address = await listen(createNetServer((socket) => socket.end("SSH-2.0-x\r\n")));
  const { code, err } = await say(statusCommand, [`--http-address=${address}`]);
  expect(code).toBe(1);
  expect(err).toContain("does not speak HTTP: is --http-address right?\n");
});

test("nothing there", async () => {
  const server = createServer();
  const address = await listen(server);
  server.close();
  await once(server, "close");
  const { code, err } = await say(statusCommand, [`--http-address=${address}`]);
  expect({ code, err: err.replace(address, "ADDRESS") }).toMatchInlineSnapshot(`
    {
      "code": 1,
      "err": "ip-masq-agent status: http://ADDRESS/status: nothing listens there: is the agent running, in this network namespace, and with this --http-address?
    ",
    }
  `);
});

test("no answer ends after some seconds", async () => {
  const slept: number[] = [];
  const asked = new EventEmitter();
  const clock: Clock = {
    now: () => 0,
    sleep: async (ms) => {
      slept.push(ms);
      await once(asked, "asked");
    },
  };
  const address = await listen(createServer(() => asked.emit("asked")));
  const { code, err } = await say(statusCommand, [`--http-address=${address}`], { clock });
  expect(code).toBe(1);
  expect(err).toBe(`ip-masq-agent status: http://${address}/status: no answer within 5 s\n`);
  expect(slept).toEqual([5_000]);
});

test("an agent that serves nothing, and one that is not there, cannot be asked", async () => {
  const go = { pid: 7, args: [], isOurs: false };
  const ours = { pid: 8, args: ["--masq-chain=A", "--http-address="], isOurs: true };
  const said = async (agents: readonly SeenAgent[], ...args: string[]) => {
    const { code, out, err } = await say(statusCommand, args, { agents });
    expect([code, out]).toEqual([1, ""]);
    return err.trimEnd().split("\n").at(-1);
  };
  expect(await said([go])).toMatchInlineSnapshot(
    `"ip-masq-agent status: the Go program with pid 7 cannot answer: its --http-address is empty, so nothing is served"`,
  );
  expect(await said([go, ours])).toMatchInlineSnapshot(
    `"ip-masq-agent status: the agent with pid 8 cannot answer: its --http-address is empty, so nothing is served"`,
  );
  expect(await said([ours], "--masq-chain=B")).toMatchInlineSnapshot(
    `"ip-masq-agent status: no agent with --masq-chain=B is visible: give its --http-address"`,
  );
});

test("a bad address is a usage error", async () => {
  expect((await say(statusCommand, ["--http-address=localhost"])).code).toBe(2);
  expect((await say(statusCommand, ["--http-address="])).code).toBe(2);
});
