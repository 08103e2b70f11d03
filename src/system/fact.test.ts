import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseCni, readCni } from "../doctor/read-cni.ts";
import { readConntrack, readGrowth, readSysctls } from "../doctor/read-proc.ts";
import { parseConntrackCounters } from "./conntrack-stats.ts";
import { known, tryRead } from "./fact.ts";
import { ownUid } from "./owner.ts";
import { agentArguments, commandLine, readProcesses } from "./processes.ts";

const directory = mkdtempSync(join(tmpdir(), "doctor-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Another user than the one who runs the tests. */
const OTHER = ownUid() === 65_534 ? 65_533 : 65_534;

/** Writes files below a directory of its own; returns its path. */
function tree(name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, path, ".."), { recursive: true });
    writeFileSync(join(directory, name, path), text);
  }
  return join(directory, name);
}

/** Processes with these command lines, of our user unless said otherwise: real, effective, saved and file system's user id. */
function processes(name: string, lines: Readonly<Record<number, string>>, uids: readonly number[] = []) {
  const [uid = ownUid(), effective = uid, saved = uid, fs = uid] = uids;
  const status = `Name:\tx\nUid:\t${uid}\t${effective}\t${saved}\t${fs}\n`;
  const files = Object.entries(lines).flatMap(([pid, line]) => [
    [`${pid}/cmdline`, line],
    [`${pid}/status`, status],
  ]);
  return tree(name, Object.fromEntries(files));
}

const COUNTERS =
  "entries  clashres found insert_failed drop\n00000005  00000000 00000010 00000001 0000000a\n00000005  00000000 00000000 00000002 00000000\n";

describe("facts that may be missing", () => {
  test("nothing there is no failure, a refusal is unknown, a mistake of ours is thrown", () => {
    const fail = (code?: string) => () => {
      throw Object.assign(new Error(`${code}: no`), code === undefined ? {} : { code });
    };
    expect(tryRead("x", fail("ENOENT"))).toEqual({ value: undefined });
    expect(tryRead("x", fail("EACCES"))).toEqual({ unknown: "x", why: "EACCES: no", cause: "permission" });
    expect(tryRead("x", fail("EIO"))).toEqual({ unknown: "x", why: "EIO: no" });
    expect(() => tryRead("x", fail())).toThrow("undefined: no");
  });
});

describe("/proc", () => {
  test("conntrack's counters are summed over the CPUs", () => {
    expect(parseConntrackCounters(COUNTERS)).toMatchObject({ found: 16, insert_failed: 3, drop: 10 });
    expect(parseConntrackCounters("")).toEqual({ "": 0 });
  });

  test("a kernel that tracks nothing, and one without these counters", async () => {
    const { signal } = new AbortController();
    const none = tree("none", { "sys/x": "" });
    expect(readConntrack(none)).toEqual({ value: undefined });
    expect(await readGrowth(none, 0, signal)).toEqual({ value: undefined });
    const files = {
      "sys/net/netfilter/nf_conntrack_count": "7\n",
      "sys/net/netfilter/nf_conntrack_max": "9\n",
    };
    const uncounted = tree("uncounted", files);
    expect(readConntrack(uncounted)).toEqual({ value: { count: 7, max: 9 } });
    // It is asked over netlink: twice, unless the first answer is none.
    const answers = [{ insert_failed: 1 }, { insert_failed: 5 }];
    const ask = async () => ({ value: answers.shift() ?? {} });
    expect(await readGrowth(uncounted, 0, signal, ask)).toEqual({
      value: { before: { insert_failed: 1 }, after: { insert_failed: 5 }, intervalMs: 0 },
    });
    const unknown = { unknown: "conntrack's counters", why: "EPERM", minor: true } as const;
    expect(await readGrowth(uncounted, 0, signal, async () => unknown)).toEqual(unknown);
    const never = () => Promise.reject(new Error("asked"));
    expect(await readGrowth(none, 0, signal, never)).toEqual({ value: undefined });
    const counted = tree("counted", { ...files, "net/stat/nf_conntrack": COUNTERS });
    const counters = parseConntrackCounters(COUNTERS);
    expect(await readGrowth(counted, 0, signal, never)).toEqual({
      value: { before: counters, after: counters, intervalMs: 0 },
    });
  });

  test("sysctls by their names", () => {
    const proc = tree("sysctls", { "sys/net/ipv4/ip_forward": "1\n" });
    expect(readSysctls(proc)).toMatchObject({
      "net.ipv4.ip_forward": { value: "1" },
      "net.core.wmem_max": { unknown: "net.core.wmem_max", minor: true },
    });
  });

  test("kubelets by their command lines", () => {
    const lines = { 12: "/usr/bin/kubelet\0--v=2\0", 13: "hyperkube\0kubelet\0", 14: "vi\0kubelet\0" };
    const proc = processes("kubelets", lines);
    tree("kubelets", { "x/cmdline": "kubelet\0" });
    expect(readProcesses(proc)).toEqual({
      value: {
        kubelets: [
          ["/usr/bin/kubelet", "--v=2"],
          ["hyperkube", "kubelet"],
        ],
        agents: [],
        strangers: [],
        hidden: [],
        clusterCidrs: [],
      },
    });
    expect(readProcesses(join(directory, "missing"))).toMatchObject({ unknown: "other processes" });
  });

  test("agents, ours and the Go program's; a program that only starts one is none", () => {
    const proc = processes("agents", {
      21: "tini\0--\0node\0/app/ip-masq-agent.cjs\0--v=2\0",
      22: "node\0/app/ip-masq-agent.cjs\0--v=2\0",
      23: "/ip-masq-agent\0foo\0--v=2\0",
      24: "node\0/app/ip-masq-agent.cjs\0status\0",
      25: "/app/ip-masq-agent\0--v=3\0",
      26: "/app/ip-masq-agent\0--v=4\0",
    });
    // Anything can be started under any name.
    symlinkSync("/usr/bin/sudo", join(proc, "26/exe"));
    // What runs a script that is named like the Go program.
    symlinkSync("/usr/bin/node (deleted)", join(proc, "25/exe"));
    expect(readProcesses(proc)).toMatchObject({
      value: {
        agents: [
          { pid: 22, args: ["--v=2"], isOurs: true },
          { pid: 23, args: ["foo", "--v=2"], isOurs: false },
          { pid: 25, args: ["--v=3"], isOurs: true },
        ],
      },
    });
  });

  test("a child of an agent that is not yet the tool that it is to run is no second agent", () => {
    const line = "node\0/app/ip-masq-agent.cjs\0--v=2\0";
    const proc = processes("children", { 31: line, 32: line, 33: line });
    tree("children", {
      "31/stat": "31 (node) S 1 31 31 0\n",
      "32/stat": "32 (no) de) R 31 32 31 0\n",
      "33/stat": "",
    });
    expect(known(readProcesses(proc))?.agents.map(({ pid }) => pid)).toEqual([31, 33]);
  });

  test.each<[string, readonly number[], "agents" | "strangers"]>([
    ["ours", [], "agents"],
    ["another user's", [OTHER], "strangers"],
    ["a setuid program that another user has started", [OTHER, ownUid(), ownUid(), ownUid()], "strangers"],
    ["a program of ours that can change users", [ownUid(), OTHER, OTHER, OTHER], "strangers"],
    ["one that can change back", [ownUid(), ownUid(), OTHER, ownUid()], "strangers"],
  ])("who calls itself an agent or a kubelet counts only if it is ours: %s", (name, uids, kind) => {
    const lines = {
      21: "node\0/app/ip-masq-agent.cjs\0",
      22: "kubelet\0",
      23: "kube-proxy\0--cluster-cidr=10.0.0.0/8\0",
    };
    const { agents, strangers, kubelets, clusterCidrs } =
      known(readProcesses(processes(name, lines, uids))) ?? {};
    const isOurs = kind === "agents";
    expect([agents, kubelets, clusterCidrs].map((found) => found?.length)).toEqual(
      Array(3).fill(isOurs ? 1 : 0),
    );
    expect(strangers).toEqual(isOurs ? [] : [{ pid: 21, uid: uids[0] }]);
  });

  test("root's kubelet is believed by everybody, but what is in users of its own is not", () => {
    const proc = processes("users", { 21: "kubelet\0", 22: "kubelet\0" }, [0]);
    for (const [who, users] of Object.entries({ self: "user:[1]", 21: "user:[1]", 22: "user:[2]" })) {
      mkdirSync(join(proc, who, "ns"), { recursive: true });
      symlinkSync(users, join(proc, who, "ns/user"));
    }
    expect(known(readProcesses(proc))?.kubelets).toHaveLength(1);
  });

  test("a command line without end is read to a length", () => {
    const proc = processes("long", { 21: `kubelet\0${"x\0".repeat(1_000_000)}` });
    expect(commandLine(proc, 21)).toHaveLength(64 * 1024 - 3);
  });

  test.each<[string, readonly string[] | undefined]>([
    ["node /app/ip-masq-agent.cjs", []],
    ["node /app/ip-masq-agent.cjs  --v=2", ["", "--v=2"]],
    ["node --max-old-space-size=64 dist/ip-masq-agent.cjs run --enable-ipv6", ["--enable-ipv6"]],
    ["/ip-masq-agent --masq-chain=X", ["--masq-chain=X"]],
    ["/usr/bin/node /app/ip-masq-agent.cjs doctor --verbose", undefined],
    ["vi ip-masq-agent", undefined],
    ["node other.cjs ip-masq-agent", undefined],
    ["", undefined],
  ])("an agent's arguments: %s", (line, expected) => {
    expect(agentArguments(line.split(" "))).toEqual(expected);
  });
});

describe("CNI", () => {
  test.each<[string, readonly string[]]>([
    ['{"type": "bridge", "ipMasq": true}', ["bridge"]],
    ['{"type": "bridge", "ipMasq": false}', []],
    ['{"plugins": [{"type": "ptp", "ipMasq": true}, {"type": "portmap"}]}', ["ptp"]],
    ['{"type": "flannel", "delegate": {"ipMasq": true}}', ["without a type"]],
    ['{"type": "bridge", "ipMasq": "true"}', []],
    ["[]", []],
    ["null", []],
    // Podman's containers are no pods.
    ['{"plugins": [{"type": "bridge", "bridge": "cni-podman0", "ipMasq": true}]}', []],
  ])("%s", (text, expected) => {
    expect(parseCni("x", text)).toEqual({ path: "x", masquerading: expected, ranges: [], isMeta: false });
  });

  test.each<[string, readonly string[]]>([
    ['{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}', ["10.1.0.0/24"]],
    [
      '{"plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00::/64"}]]}}]}',
      ["10.244.0.0/24", "fd00::/64"],
    ],
    [
      '{"type": "flannel", "delegate": {"ipam": {"type": "host-local", "subnet": "10.2.0.0/16"}}}',
      ["10.2.0.0/16"],
    ],
    ['{"type": "bridge", "ipam": {"type": "dhcp", "subnet": "10.3.0.0/16"}}', []],
    [
      '{"type": "bridge", "bridge": "cni-podman0", "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}}',
      [],
    ],
    ['{"ipam": {"type": "host-local", "ranges": "x", "subnet": 7}}', []],
  ])("what pods get of %s", (text, expected) => {
    expect(parseCni("x", text).ranges).toEqual(expected);
  });

  test("broken files, files of other names, a missing directory", () => {
    const path = tree("cni", { "20-b.conf": "{", "10-a.conflist": '{"plugins": 1}', "notes.txt": "{" });
    const files = known(readCni(path)) ?? [];
    expect(files.map((file) => [file.path.slice(path.length), file.fault !== undefined])).toEqual([
      ["/10-a.conflist", false],
      ["/20-b.conf", true],
    ]);
    expect(readCni(join(directory, "missing"))).toEqual({ value: undefined });
    expect(readCni(join(path, "20-b.conf"))).toEqual({ value: undefined });
  });
});
