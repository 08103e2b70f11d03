/** `kubectl ip-masq` with a stand-in for kubectl; `make e2e` tries it on a cluster. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test as plain } from "vitest";
import { attempt, type CommandResult } from "../lab/command.ts";
import { cells, times } from "../lab/length.ts";
import { eventually } from "../lab/network/lab.ts";

const PLUGIN = resolve("deploy/kubectl/kubectl-ip_masq");
const OLD = 'nonMasqueradeCIDRs:\n- 10.0.0.0/8\n# a "comment" with \\ and a tab\t\n';
const NEW = "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 192.0.2.0/24\n";
const PREVIOUS = "ip-masq-agent/previous";

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName: string; readonly volumes?: readonly object[] };
  readonly status: object;
  readonly [more: string]: unknown;
}

interface Stand {
  /** The environment of such a call. Temporary files go to `temporary`. */
  readonly environment: (cluster: object | undefined, seconds?: string) => NodeJS.ProcessEnv;
  readonly temporary: string;
  /** The plugin on this cluster, or on the one as the last call has left it; there is no terminal. */
  readonly plugin: (
    cluster: object | undefined,
    args: readonly string[],
    more?: { readonly stdin?: string; readonly seconds?: string },
  ) => Promise<CommandResult>;
  /** The cluster as it is now. */
  readonly read: () => ReturnType<typeof JSON.parse>;
  /** The calls of the stand-in so far. */
  readonly calls: () => string;
  /** The path of a file with a new configuration. */
  readonly write: (text: string) => string;
}

/** Longer than a stand-in takes on a slow machine. Where one hangs it is waited for. */
const ANSWER_SECONDS = "60";
const HANGS = { seconds: "10" };

const test = plain.extend<{ stand: Stand }>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest wants to see that it needs no other fixture
  stand: async ({}, use) => {
    const directory = mkdtempSync(join(tmpdir(), "kubectl-"));
    const file = join(directory, "cluster");
    const temporary = join(directory, "temporary");
    mkdirSync(temporary);
    function environment(cluster: object | undefined, seconds = ANSWER_SECONDS) {
      if (cluster !== undefined) writeFileSync(file, JSON.stringify(cluster));
      const stand = { KUBECTL: resolve("test/kubectl/stand-in.mjs"), CLUSTER: file };
      return { ...process.env, ...stand, IP_MASQ_ANSWER_SECONDS: seconds, TMPDIR: temporary };
    }
    await use({
      environment,
      temporary,
      async plugin(cluster, args, { stdin = "", seconds } = {}) {
        const env = environment(cluster, seconds);
        return attempt("setsid", ["-w", "sh", PLUGIN, ...args], { env, stdin });
      },
      read: () => JSON.parse(readFileSync(file, "utf8")),
      calls: () => (existsSync(`${file}.calls`) ? readFileSync(`${file}.calls`, "utf8") : ""),
      write(text) {
        const path = join(directory, "new");
        writeFileSync(path, text);
        return path;
      },
    });
    rmSync(directory, { recursive: true });
  },
});

/** Each call of the stand-in starts a process. */
const atLength = test.runIf(times(0, 1) === 1);

function pod(node: string, more: object = { follows: true }): Pod {
  const ready = (more as { ready?: string }).ready ?? "True";
  return {
    metadata: { name: `agent-${node}` },
    spec: { nodeName: node },
    status: {
      conditions: [
        { type: "Initialized", status: "True" },
        { type: "Ready", status: ready },
      ],
    },
    ...more,
  };
}

function configMap(config: string, annotations: object = {}) {
  const managedFields = [{ manager: "kubectl-edit", time: "2026-01-02T03:04:05Z" }];
  return { metadata: { resourceVersion: "7", annotations, managedFields }, data: { config } };
}

/** The report of a node's agent; `owner` is the UID of its pod. */
function lease(node: string, digest: string, state = "ok", why = "", owner?: string) {
  return {
    metadata: {
      name: `ip-masq-agent-${node}`,
      labels: { "ip-masq-agent/state": state, "ip-masq-agent/config": digest },
      annotations: { "ip-masq-agent/why": why },
      ...(owner && { ownerReferences: [{ uid: owner }] }),
    },
    spec: { holderIdentity: node },
  };
}

/** The digest that the stand-in's agents have of a text. */
const hashOf = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

describe("status", { concurrent: true }, () => {
  test("when all follow", async ({ stand: { plugin } }) => {
    const pods = [pod("a"), pod("b")];
    const { code, stdout } = await plugin({ configMap: configMap(OLD), pods }, ["status"]);
    expect(stdout).toMatch(
      /^kube-system\/ip-masq-agent {2}version 7 {2}changed 2026-01-02T03:04:05Z by kubectl-edit\n2 of 2 nodes follow it \(digest [0-9a-f]{16}\)\n$/,
    );
    expect(code).toBe(0);
  });

  test("names who is behind, refuses, fails and does not answer", async ({ stand: { plugin } }) => {
    const problems = ['f:3:5: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned'];
    const pods = [
      pod("good"),
      pod("old-1", { text: NEW }),
      pod("old-2", { text: NEW }),
      pod("refuses", { follows: true, state: "refused", problems }),
      pod("fails", { follows: true, errors: ['iptables: "no" such file'] }),
      pod("gone", { exec: "refused" }),
      pod("hangs", { exec: "hangs" }),
    ];
    const { code, stdout } = await plugin({ configMap: configMap(OLD), pods, wanted: 8 }, ["status"], HANGS);
    const lines = stdout.split("\n");
    expect(lines[1]).toMatch(/^1 of 7 nodes follow it/);
    expect(lines.at(-2)).toBe("1 of 8 nodes have no agent yet");
    expect(stdout).toMatch(/^behind {9}2 {2}old-1, old-2: has digest [0-9a-f]{16}$/m);
    expect(stdout).toContain(`refused        1  refuses: ${problems[0]}\n`);
    expect(stdout).toContain('failing        1  fails: iptables: "no" such file\n');
    expect(stdout).toContain("no answer      1  gone: unable to upgrade connection: pod does not exist\n");
    expect(stdout).toMatch(/^no answer +1 {2}hangs/m);
    expect(code).toBe(1);
  });

  test("asks the Leases where there are some, and only the others", async ({ stand: { plugin, calls } }) => {
    const hash = hashOf(OLD);
    const nodes = Array.from({ length: 30 }, (_, i) => `node-${i}`);
    const leases = [
      ...nodes.map((node, i) =>
        i < 5 ? lease(node, hash, "refused", "line 3: no CIDR") : lease(node, hash),
      ),
      // Its agent is no longer there.
      lease("removed", hash, "failing"),
    ];
    const pods = [...nodes.map((node) => pod(node, { exec: "hangs" })), pod("without")];
    pods.push(pod("any"));
    const { code, stdout } = await plugin(
      { configMap: configMap(OLD), pods: [pod("any"), ...pods.slice(0, -1)], leases },
      ["status"],
    );
    expect(stdout).toContain(`27 of 32 nodes follow it (digest ${hash})`);
    expect(stdout).toContain("refused        5  node-0, node-1, node-2 and 2 more: line 3: no CIDR\n");
    expect(stdout).not.toContain("removed");
    expect(code).toBe(1);
    expect(calls().match(/ status /g)).toHaveLength(2);
    const all = await plugin(undefined, ["status", "--all"]);
    expect(all.stdout).toContain(
      "refused        5  node-0, node-1, node-2, node-3, node-4: line 3: no CIDR\n",
    );
  });

  test("a Lease of the pod before says nothing, and one that is behind may be a minute old", async ({
    stand: { plugin, calls },
  }) => {
    const pods = ["a", "b", "c", "d"].map((node) => ({
      ...pod(node),
      metadata: { name: `agent-${node}`, uid: node },
    }));
    const leases = [
      lease("a", hashOf(OLD), "ok", "", "a"),
      lease("b", hashOf(OLD), "failing", "no", "before"),
      lease("c", hashOf(NEW), "ok", "", "c"),
    ];
    const cluster = { configMap: configMap(OLD), pods, leases };
    const { code, stdout } = await plugin(cluster, ["status"]);
    expect(stdout).toMatch(/^4 of 4 nodes follow it/m);
    expect(code).toBe(0);
    expect(
      calls()
        .match(/agent-. -- ip-masq-agent status/g)
        ?.toSorted(),
    ).toEqual(["b", "c", "d"].map((node) => `agent-${node} -- ip-masq-agent status`));
    const mute = pods.map((one) => ({ ...one, exec: one.metadata.uid === "a" ? undefined : "refused" }));
    const behind = await plugin({ ...cluster, pods: mute }, ["status"]);
    expect(behind.stdout).toMatch(/^behind {9}1 {2}c: has digest/m);
    expect(behind.stdout).toMatch(/^no answer {6}2 {2}b, d: /m);
  });

  test("a Lease speaks for its own node alone, and its text is only a text", async ({
    stand: { plugin },
  }) => {
    const hash = hashOf(OLD);
    const ready = (node: string) => ({
      ...pod(node, { exec: "refused" }),
      metadata: { name: node, uid: node },
    });
    const forged = `no\tway\u001b[2J\u009b1m${"x".repeat(5_000)}\nok\t${hash}\tvictim\t\tlease\nip-masq-agent-victim\tok\t${hash}`;
    const leases = [
      lease("evil", hash, "refused", forged, "evil"),
      { ...lease("evil", hash, "ok"), spec: { holderIdentity: "victim" } },
      lease("victim", hash, "failing", "its own words", "victim"),
    ];
    const pods = [ready("evil"), ready("victim"), pod("good")];
    const { stdout } = await plugin({ configMap: configMap(OLD), pods, leases: [leases[0], leases[2]] }, [
      "status",
    ]);
    expect(stdout).toContain(`1 of 3 nodes follow it`);
    expect(stdout).toContain("failing        1  victim: its own words\n");
    expect(stdout).toContain("refused        1  evil: no\n");
    const escapes = lease("evil", hash, "refused", forged.replace("\t", " "), "evil");
    const taken = await plugin({ configMap: configMap(OLD), pods, leases: [escapes, leases[1]] }, ["status"]);
    expect(taken.stdout).toContain("no answer      1  victim: ");
    expect(taken.stdout).not.toMatch(/[^\n -~]|x{1000}/);
  });

  test("a Lease says nothing of a pod that is not ready: it is asked, if there are few", async ({
    stand: { plugin, write },
  }) => {
    const pods = [
      pod("a"),
      pod("starts", { ready: "False", follows: true }),
      pod("down", { ready: "Unknown", exec: "refused" }),
    ];
    const leases = ["a", "starts", "down"].map((node) => lease(node, hashOf(OLD)));
    const { code, stdout } = await plugin({ configMap: configMap(OLD), pods, leases }, ["status"]);
    expect(stdout).toContain("2 of 3 nodes follow it");
    expect(stdout).toContain("not ready      1  down: its pod is not ready\n");
    expect(code).toBe(1);
    const { stdout: after } = await plugin(undefined, ["apply", "--yes", "--timeout=60", write(NEW)]);
    expect(after).toContain("not ready      1  down: its pod is not ready\n");
  });

  test("without a ConfigMap, without a ready agent, without any", async ({ stand: { plugin } }) => {
    const none = await plugin({ pods: [pod("a", { ready: "False", text: "" })] }, ["status"]);
    expect(none.stdout).toContain(
      "kube-system/ip-masq-agent does not exist: agents use their defaults\n1 of 1 nodes follow it",
    );
    const nobody = await plugin({ pods: [] }, ["status"]);
    expect(nobody).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no pod in kube-system has the label"),
    });
    const forbidden = await plugin({ pods: [], denied: ["get pods"] }, ["status"]);
    expect(forbidden.stderr).toContain(
      'cannot list the agents\' pods in kube-system: pods is forbidden: User "me" cannot get pods',
    );
    const old = await plugin({ configMap: configMap(OLD), pods: [pod("a")], isOld: true }, ["status"]);
    expect(old.stderr).toBe(
      "kubectl ip-masq: cannot read the ConfigMap kube-system/ip-masq-agent: unknown flag: --show-managed-fields\n",
    );
  });
});

/** An agent's pod that mounts this ConfigMap. */
function mounting(name: string, one: Pod, key = "config"): Pod {
  const config = { name: "config", configMap: { name, items: [{ key, path: "ip-masq-agent" }] } };
  return { ...one, spec: { ...one.spec, volumes: [{ name: "xtables-lock" }, config] } };
}

describe("the agents' own ConfigMap", { concurrent: true }, () => {
  test("is the one that their pods mount, and its key, too", async ({ stand: { plugin } }) => {
    const pods = ["a", "b"].map((node) =>
      mounting("pool-ip-masq-agent", pod(node, { text: OLD }), "list.yaml"),
    );
    const map = { ...configMap(OLD), data: { "list.yaml": OLD } };
    const { stdout } = await plugin({ configMap: map, pods, name: "pool-ip-masq-agent" }, ["status"]);
    expect(stdout).toMatch(/^kube-system\/pool-ip-masq-agent {2}version 7 .*\n2 of 2 nodes follow it/);
    const other = await plugin(undefined, ["status", "--config-map=x", "-n", "egress"]);
    expect(other.stdout).toMatch(/^egress\/x does not exist/);
  });

  test("is one for each pool of nodes: each has its table, and apply wants to know which", async ({
    stand: { plugin, write },
  }) => {
    const pods = [mounting("x", pod("a")), mounting("y", pod("b")), mounting("y", pod("c", { text: NEW }))];
    const leases = [lease("b", hashOf(OLD))];
    const { code, stdout } = await plugin({ configMap: configMap(OLD), pods, leases }, ["status"]);
    expect(stdout.replaceAll(hashOf(OLD), "OLD").replaceAll(hashOf(NEW), "NEW")).toBe(
      [
        "kube-system/x  version 7  changed 2026-01-02T03:04:05Z by kubectl-edit",
        "1 of 1 nodes follow it (digest OLD)",
        "kube-system/y  version 7  changed 2026-01-02T03:04:05Z by kubectl-edit",
        "1 of 2 nodes follow it (digest OLD)",
        "STATE      NODES  WHY",
        "behind         1  c: has digest NEW",
        "",
      ].join("\n"),
    );
    expect(code).toBe(1);
    const { stderr } = await plugin(undefined, ["apply", "--yes", write(NEW)]);
    expect(stderr).toContain(
      "agents have several ConfigMaps (x: 1 pods, y: 2 pods): choose agents by --selector",
    );
  });

  atLength(
    "without the key agents use their defaults or unite files, and one in binaryData is not read",
    async ({ stand: { plugin, write } }) => {
      const { metadata } = configMap("");
      const other = { metadata, data: { notes: '"config":' } };
      const none = await plugin({ configMap: other, pods: [pod("a", { text: "" })] }, ["status"]);
      expect(none.stdout).toMatch(
        /^kube-system\/ip-masq-agent has no key config: agents use their defaults\n1 of 1/,
      );
      const files = { metadata, data: { "ip-masq-a": OLD, "ip-masq-b": NEW } };
      const united = await plugin({ configMap: files, pods: [pod("a", { text: OLD })] }, ["status"]);
      expect(united.stdout).toMatch(
        /^kube-system\/ip-masq-agent has no key config, but files .*\n1 of 1 nodes/,
      );
      const { stderr: refused } = await plugin(undefined, ["apply", "--yes", write(NEW)]);
      expect(refused).toContain("apply writes one text (--key)");
      const binary = { configMap: { ...other, binaryData: { config: "AA==" } }, pods: [pod("a")] };
      const { stderr } = await plugin(binary, ["status"]);
      expect(stderr).toContain("the key config of kube-system/ip-masq-agent is in binaryData");
    },
  );
});

test.concurrent("pods that have ended are no agents, and of two on a node the ready one is asked", async ({
  stand: { plugin },
}) => {
  const named = (name: string, one: Pod) => ({ ...one, metadata: { name } });
  const pods = [
    named("evicted", { ...pod("a"), status: { phase: "Failed" } }),
    named("starts", pod("a", { ready: "False", exec: "refused" })),
    named("ready", pod("a", { echo: true })),
  ];
  const { stdout } = await plugin({ pods }, ["doctor", "--node=a"]);
  expect(stdout).toContain("ip-masq-agent doctor");
  const ended = { configMap: configMap(OLD), pods: [...pods.slice(0, 1), pod("b")] };
  expect((await plugin(ended, ["status"])).stdout).toMatch(/^1 of 1 nodes follow it/m);
});

describe("explain asks the agent on the pod's node", { concurrent: true }, () => {
  const workload = (host?: boolean) => ({
    spec: { nodeName: "b", ...(host === undefined ? {} : { hostNetwork: host }) },
    status: { podIPs: [{ ip: "10.244.1.2" }, { ip: "fd00::2" }] },
  });
  const cluster = (more: object) => ({
    pods: [pod("a"), pod("b", { echo: true })],
    workloads: {
      ...{ "shop/web": workload(), "shop/host": workload(true) },
      "shop/six": { spec: { nodeName: "b" }, status: { podIPs: [{ ip: "fd00::2" }] } },
      ...more,
    },
  });

  const asked = [
    ["8.8.8.8:53", "10.244.1.2"],
    ["[2001:db8::1]:443", "fd00::2"],
    ["2001:db8::1", "fd00::2"],
    ["example.com", "10.244.1.2"],
    ["https://example.com:8443/a:b", "10.244.1.2"],
    ["https://[2001:db8::1]:443/", "fd00::2"],
    ["2001:db8::/32", "fd00::2"],
    ["198.51.100.0/24", "10.244.1.2"],
  ] as const;
  test.for(cells(asked, (_, i) => i < 2))("%s", async ([destination, source], { stand: { plugin } }) => {
    const { code, stdout } = await plugin(cluster({}), ["explain", "-n", "shop", "web", destination]);
    expect(stdout).toBe(
      `pod web on node b (10.244.1.2 fd00::2)\nip-masq-agent explain --live --source=${source} ${destination}\n`,
    );
    expect(code).toBe(0);
  });

  atLength("a name, of a pod with IPv6 only", async ({ stand: { plugin } }) => {
    const { stdout } = await plugin(cluster({}), ["explain", "-n", "shop", "six", "example.com"]);
    expect(stdout).toContain("--source=fd00::2 example.com");
  });

  test("a pod in the node's network, and one that is not there", async ({ stand: { plugin } }) => {
    const host = await plugin(cluster({}), ["explain", "-n", "shop", "host", "8.8.8.8"]);
    expect(host.stderr).toContain("pod host is in the network of its node b");
    const missing = await plugin(cluster({}), ["explain", "-n", "shop", "x", "8.8.8.8"]);
    expect(missing).toMatchObject({
      code: 1,
      stderr: 'kubectl ip-masq: cannot read pod x: pods "x" not found\n',
    });
  });
});

test.concurrent("doctor, ports and report run on one node or on all", async ({ stand: { plugin } }) => {
  const cluster = { pods: [pod("a", { echo: true }), pod("b", { echo: true })] };
  expect(await plugin(cluster, ["doctor"])).toMatchObject({ code: 2 });
  const one = await plugin(cluster, ["doctor", "--node", "b", "--", "-o", "json"]);
  expect(one).toMatchObject({ code: 0, stdout: "== b\nip-masq-agent doctor -o json\n" });
  const all = await plugin(cluster, ["report", "--all", "--", "--redact"]);
  expect(all.stdout).toBe("ip-masq-agent report --redact\n".repeat(2));
  expect(await plugin(cluster, ["ports", "--node=c"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("no agent runs on node c"),
  });
});

test.concurrent("flags of all commands come before or after its name, with blanks in them; after -- come the agent's", async ({
  stand: { plugin, read },
}) => {
  const cluster = { pods: [pod("a", { echo: true })] };
  const { stdout } = await plugin(cluster, [
    "--context=my context",
    "doctor",
    "--kubeconfig",
    "/home/me/my files/*",
    "--",
    "--key=k",
    "help",
  ]);
  expect(stdout).toBe("== a\nip-masq-agent doctor --key=k help\n");
  expect(read().connection).toEqual(["my context", "/home/me/my files/*"]);
  for (const words of [["--help"], ["help"], ["explain", "--help"]])
    expect(await plugin(cluster, words)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("Usage:"),
    });
  for (const words of [[], ["apply", "--key"], ["--context", "x"], ["--"], ["sta tus"]])
    expect(await plugin(cluster, words)).toMatchObject({ code: 2, stdout: "" });
});

describe("nothing outlives a call", { concurrent: true }, () => {
  const alone = { configMap: configMap(OLD), pods: [pod("a")] };

  test("that ends", async ({ stand: { plugin } }) => {
    const seconds = `${600 + process.pid}.5`;
    await plugin(alone, ["status"], { seconds });
    const helpers = async () => (await attempt("pgrep", ["-f", `^sleep ${seconds}`])).stdout;
    await eventually(async () => expect(await helpers()).toBe(""));
  });

  test.for(cells([["doctor", "--all"], ["status"]], ([name]) => name === "status"))(
    "that a terminal interrupts: %s",
    async (words, { stand: { environment, calls, temporary } }) => {
      const seconds = `${700 + process.pid}.${words.length}`;
      const env = environment({ ...alone, pods: [pod("a", { exec: "hangs" })] }, seconds);
      const child = spawn("sh", [PLUGIN, ...words], { env, detached: true, stdio: "ignore" });
      const ended = once(child, "exit");
      await eventually(() => expect(calls()).toMatch(/ exec /));
      // All that runs gets it, but what a shell has put into the background ignores it.
      process.kill(-(child.pid ?? 0), "SIGINT");
      expect(await ended).toEqual([130, null]);
      const left = async () => (await attempt("pgrep", ["-g", `${child.pid}`])).stdout;
      await eventually(async () => expect(await left()).toBe(""));
      expect(readdirSync(temporary)).toEqual([]);
    },
  );

  test("whose reader has gone", async ({ stand: { environment, temporary } }) => {
    const line = ["-c", 'sh "$@" | true', "sh", PLUGIN, "status"];
    const { stderr } = await attempt("sh", line, { env: environment(alone) });
    expect(stderr).toBe("");
    await eventually(() => expect(readdirSync(temporary)).toEqual([]));
  });
});

describe("apply", { concurrent: true }, () => {
  const cluster = (more: object = {}) => ({ configMap: configMap(OLD), pods: [pod("a"), pod("b")], ...more });

  test("checks, shows, writes to the byte, hurries the kubelets, and follows", async ({
    stand: { plugin, read, calls, write },
  }) => {
    const { code, stdout } = await plugin(cluster(), ["apply", "--yes", write(NEW)]);
    expect(stdout).toContain("accepted: 2 CIDRs");
    expect(stdout).toContain("192.0.2.0/24");
    expect(stdout).toContain("2 of 2 nodes follow it");
    expect(code).toBe(0);
    expect(read().configMap).toMatchObject({
      data: { config: NEW },
      metadata: { annotations: { [PREVIOUS]: OLD } },
    });
    expect(calls()).toContain("annotate pods");
    const back = await plugin(undefined, ["apply", "--rollback", "--yes"]);
    expect(back.code).toBe(0);
    expect(read().configMap).toMatchObject({
      data: { config: OLD },
      metadata: { annotations: { [PREVIOUS]: NEW } },
    });
  });

  test("what the agent refuses is not written", async ({ stand: { plugin, read } }) => {
    const { code, stdout, stderr } = await plugin(cluster(), ["apply", "--yes", "-"], {
      stdin: "nonMasqueradeCIDRs: [10.1.0.0/8]",
    });
    expect(stdout).toContain("10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?");
    expect(stderr).toContain("the agent refuses it: nothing was written");
    expect(code).toBe(1);
    expect(read().configMap.data.config).toBe(OLD);
  });

  test("without a terminal and --yes nothing is written, dangerous or not", async ({
    stand: { plugin, read, write },
  }) => {
    const dangerous = "nonMasqueradeCIDRs: [169.254.0.0/16]\nmasqLinkLocal: true\n";
    for (const text of cells([NEW, dangerous], (one) => one === dangerous)) {
      const { code, stderr } = await plugin(cluster(), ["apply", write(text)]);
      expect(stderr).toContain("nobody to ask: no terminal; --yes answers");
      expect(code).toBe(1);
      expect(read().configMap.data.config).toBe(OLD);
    }
  });

  test("a node that is down, and one that refuses, do not hold it up", async ({
    stand: { plugin, write },
  }) => {
    const pods = [
      // The first one that is asked.
      pod("gone", { exec: "refused" }),
      pod("a"),
      pod("down", { exec: "hangs" }),
      pod("no", { follows: true, state: "refused", problems: ["f: no"] }),
    ];
    const { code, stdout } = await plugin(cluster({ pods }), ["apply", "--yes", write(NEW)], HANGS);
    expect(stdout).toContain("accepted: 2 CIDRs");
    expect(stdout).toContain("1 of 4 nodes follow it");
    expect(stdout).toMatch(/no answer +1 {2}down/);
    expect(stdout).toMatch(/refused +1 {2}no: f: no/);
    expect(code).toBe(1);
  });

  test("an edit of somebody else meanwhile is not overwritten", async ({
    stand: { plugin, read, write },
  }) => {
    const { code, stderr } = await plugin(cluster({ rival: true }), ["apply", "--yes", write(NEW)]);
    expect(stderr).toContain("not written: the object has been modified");
    expect(code).toBe(1);
    expect(read().configMap.data.config).toBe(OLD);
  });

  atLength(
    "the annotations that the policy asks for are set after a question",
    async ({ stand: { plugin, read, write } }) => {
      const annotations = { "ip-masq-agent/allow-wide": "true", "ip-masq-agent/allow-removal": "3" };
      const asked = Object.entries(annotations).map(
        ([key, value]) => `if so, set the annotation ${key}: "${value}"`,
      );
      const policy = { annotations, why: `${asked[0]}: 0.0.0.0/0; 3 of 4 CIDRs would be gone; ${asked[1]}` };
      const { code } = await plugin(cluster({ policy }), ["apply", "--yes", write(NEW)]);
      expect(code).toBe(0);
      expect(read().configMap.metadata.annotations).toMatchObject(annotations);
    },
  );

  atLength(
    "a new ConfigMap, and the text that is there already",
    async ({ stand: { plugin, read, write } }) => {
      const created = await plugin({ pods: [pod("a")] }, ["apply", "--yes", write(NEW)]);
      expect(created.code).toBe(0);
      expect(read().configMap.data.config).toBe(NEW);
      const again = await plugin(undefined, ["apply", write(NEW)]);
      expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("has this text already") });
    },
  );

  test("a manifest's text", async ({ stand: { plugin, read, write } }) => {
    const manifest = JSON.stringify({
      kind: "ConfigMap",
      apiVersion: "v1",
      metadata: { name: "x" },
      data: { config: NEW },
    });
    expect((await plugin(cluster(), ["apply", "--yes", write(manifest)])).code).toBe(0);
    expect(read().configMap.data.config).toBe(NEW);
  });

  test("rolls back only what it can", async ({ stand: { plugin, read } }) => {
    const never = await plugin(cluster(), ["apply", "--rollback", "--yes"]);
    expect(never.stderr).toContain("it was not written by apply");
    const annotations = { [PREVIOUS]: NEW, "ip-masq-agent/applied": "1 2" };
    const edited = await plugin(cluster({ configMap: configMap(OLD, annotations) }), ["apply", "--rollback"]);
    expect(edited.stderr).toContain("nobody to ask");
    const forced = await plugin(cluster({ configMap: configMap(OLD, annotations) }), [
      "apply",
      "--rollback",
      "--yes",
    ]);
    expect(forced.code).toBe(0);
    expect(read().configMap.data.config).toBe(NEW);
  });

  atLength("a text too long to be kept is said so", async ({ stand: { plugin, read, write } }) => {
    const long = `${OLD}${"#".repeat(210_000)}\n`;
    const { code, stdout } = await plugin(cluster({ configMap: configMap(long) }), [
      "apply",
      "--yes",
      write(NEW),
    ]);
    expect(stdout).toContain("too long to be kept");
    expect(code).toBe(0);
    expect(read().configMap.metadata.annotations).not.toHaveProperty(PREVIOUS);
  });

  test("without rights for exec or for annotations it says which", async ({ stand: { plugin, write } }) => {
    const noExec = await plugin(cluster({ denied: ["exec"] }), ["apply", "--yes", write(NEW)]);
    expect(noExec.stderr).toContain(
      'none of 2 ready agents can check it (agent-b is forbidden: User "me" cannot exec): nothing was written',
    );
    const noHurry = await plugin(cluster({ denied: ["annotate"] }), ["apply", "--yes", write(NEW)]);
    expect(noHurry.stdout).toContain("cannot annotate their pods (pods is forbidden");
    expect(noHurry.code).toBe(0);
  });
});

const MISUSES: readonly (readonly [args: readonly string[], code: number])[] = [
  [[], 2],
  [["help"], 0],
  [["statsu"], 2],
  [["status", "x"], 2],
  [["apply"], 2],
  [["apply", "--timeout=x", "f"], 2],
  [["apply", "f", "--rollback"], 2],
  [["--context"], 2],
];
test.concurrent.for(cells(MISUSES, (_, i) => i < 3))(
  "%j ends with %d",
  async ([args, expected], { stand: { calls, plugin } }) => {
    const { code, stdout, stderr } = await plugin({ pods: [] }, args);
    expect(code).toBe(expected);
    expect(stdout + stderr).not.toBe("");
    // It asks nothing of the cluster.
    expect(calls()).toBe("");
  },
);
