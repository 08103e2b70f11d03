/** `cleanup` next to foreign rules: it removes all of ours, and foreign rules stay to the byte. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { holdAddress } from "../../../src/presence/names.ts";
import { cells } from "../../lab/length.ts";
import { config, describeKernel, FAMILIES, labTest } from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { agentBundle, eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import { NODE24 } from "../../lab/node24.ts";

const BACKENDS: Readonly<Record<string, readonly string[]>> = {
  "iptables-nft": ["--iptables-mode=nft"],
  "iptables-legacy": ["--iptables-mode=legacy"],
  ipset: ["--iptables-mode=nft", "--ipset-threshold=1"],
  nftables: ["--backend=nftables"],
};
const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "2001:db8::/32"] });

/** Rules that others have, in every packet filter; the legacy one only where a test is about it. */
async function makeForeignRules(lab: Lab, legacy: boolean): Promise<void> {
  for (const variant of legacy ? (["nft", "legacy"] as const) : (["nft"] as const)) {
    for (const family of FAMILIES) {
      const { run } = lab.iptables(variant, family);
      await run("-N", "THEIRS");
      await run(
        "-A",
        "THEIRS",
        "-m",
        "comment",
        "--comment",
        "ip-masq-agent: somebody's words",
        "-j",
        "RETURN",
      );
      await run("-A", "POSTROUTING", "-m", "comment", "--comment", "theirs", "-j", "THEIRS");
    }
  }
  const table =
    "table inet theirs { set s { type ipv4_addr; elements = { 10.1.2.3 } }; chain c { type nat hook postrouting priority 100; ip daddr @s masquerade; }; }";
  expect(await lab.inNode("nft", ["-f", "-"], table)).toMatchObject({ code: 0 });
  expect(await lab.inNode("ipset", ["create", `${CHAIN}-theirs`, "hash:net"])).toMatchObject({ code: 0 });
}

/** All rules and sets of the node, without counters. */
async function everything(lab: Lab): Promise<string> {
  const script = `nft list ruleset; ipset save
    for f in ip ip6; do grep -qx nat /proc/net/\${f}_tables_names 2>/dev/null && \${f}tables-legacy-save; done; true`;
  const { stdout } = await lab.inNode("sh", ["-c", script]);
  return stdout.replace(/\[\d+:\d+\]|packets \d+ bytes \d+|^#.*$/gm, "");
}

function cleanup(lab: Lab, ...args: string[]) {
  return lab.program(["cleanup", ...args]);
}

async function runAgent(lab: Lab, ...flags: string[]) {
  lab.volume.write(CONFIG);
  const agent = lab.startAgent({ flags: ["--enable-ipv6", ...flags] });
  const groups = flags.includes("--backend=nftables") ? 1 : 2;
  await eventually(() => expect(agent.log().split(": programmed ").length).toBeGreaterThan(groups));
  return agent;
}

async function ours(lab: Lab): Promise<readonly string[]> {
  const all = [...(await iptablesState(lab)), ...(await nftablesState(lab))];
  return all.filter((line) => !/theirs|somebody/.test(line));
}

describeKernel("cleanup", () => {
  labTest.for(Object.entries(BACKENDS))("%s, once and twice", async ([name, flags], { lab }) => {
    await makeForeignRules(lab, name === "iptables-legacy");
    const before = await everything(lab);
    const agent = await runAgent(lab, ...flags);
    await agent.end("SIGKILL");
    const after = await everything(lab);
    expect(after).not.toBe(before);

    const dry = await cleanup(lab, "--dry-run");
    expect(dry).toMatchObject({ code: 0, stderr: "" });
    expect(await everything(lab)).toBe(after);

    const done = await cleanup(lab);
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toBe(dry.stdout.replaceAll("would remove", "removed"));
    expect({ [name]: done.stdout.trimEnd().split("\n") }).toMatchSnapshot();
    expect(await everything(lab)).toBe(before);

    expect(await cleanup(lab)).toEqual({
      code: 0,
      stdout: "this node has nothing of the agent\n",
      stderr: "",
    });
    expect(await everything(lab)).toBe(before);
  });

  labTest("a look leaves no trace on a node without rules", async ({ lab }) => {
    expect(await cleanup(lab)).toMatchObject({ code: 0, stdout: "this node has nothing of the agent\n" });
    expect(await everything(lab)).toBe("");
    const { stdout } = await lab.inNode("cat", ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]);
    expect(stdout).not.toContain("nat");
  });

  labTest("leftovers of several agents with different backends, in one go", async ({ lab }) => {
    for (const flags of Object.values(BACKENDS)) {
      const agent = await runAgent(lab, ...flags);
      await agent.end("SIGKILL");
    }
    const { run } = lab.iptables("nft");
    await run("-N", "EMPTY");
    const { code, stdout } = await cleanup(lab, "-o", "json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ dryRun: false, failed: [], back: [], warnings: [] });
    expect(await ours(lab)).toEqual([]);
    expect(await lab.iptables("nft").listing("EMPTY")).toBeDefined();
  });

  labTest("another chain name's rules stay and are mentioned, but for --all-chains", async ({ lab }) => {
    for (const flags of [["--iptables-mode=nft", "--ipset-threshold=1"], ["--backend=nftables"]]) {
      const agent = await runAgent(lab, "--masq-chain=OTHER", ...flags);
      await agent.end("SIGKILL");
      const before = await everything(lab);
      const first = await cleanup(lab);
      expect(first).toMatchObject({ code: 0, stdout: "this node has nothing of the agent\n" });
      expect(first.stderr).toMatch(/^warning: .* stays.*--all-chains removes it$/m);
      expect(await everything(lab)).toBe(before);
      expect(await cleanup(lab, "--all-chains")).toMatchObject({ code: 0, stderr: "" });
      expect(await ours(lab)).toEqual([]);
    }
  });

  labTest("a table of our name that is not ours is never touched", async ({ lab }) => {
    await lab.inNode("nft", ["add", "table", "inet", "ip-masq-agent"]);
    for (const args of [[], ["--all-chains"]]) {
      const { code, stderr } = await cleanup(lab, ...args);
      expect(code).toBe(0);
      expect(stderr).toContain("table inet ip-masq-agent stays: it has no comment");
    }
    expect(await nftablesState(lab)).not.toEqual([]);
  });

  labTest("a rule of others that leads to our chain keeps only that chain", async ({ lab }) => {
    const agent = await runAgent(lab, "--iptables-mode=nft");
    await agent.end("SIGKILL");
    await lab.iptables("nft").run("-A", "POSTROUTING", "-d", "192.0.2.9", "-j", CHAIN);
    const { code, stdout, stderr } = await cleanup(lab);
    expect(code).toBe(1);
    expect(stdout).toContain("removed IPv6: chain");
    expect(stderr).toMatch(/cannot remove IPv4: chain .*A foreign rule may lead to it/);
    expect(stderr).toContain(`iptables-nft -t nat -D POSTROUTING -d 192.0.2.9/32 -j ${CHAIN}`);
    // Empty and no longer led to by us, it lets everything return.
    expect(await lab.iptables("nft").listing(CHAIN)).toEqual([`-N ${CHAIN}`]);
  });

  labTest("without privileges, and without tools", async ({ lab }) => {
    const agent = await runAgent(lab, "--iptables-mode=nft");
    await agent.end("SIGKILL");
    const cap = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    const denied = await lab.inNode("setpriv", [...cap, process.execPath, agentBundle(), "cleanup"]);
    expect(denied).toMatchObject({ code: 1, stdout: "" });
    expect(denied.stderr).toMatch(/^ip-masq-agent cleanup: .*run as root[^\n]*\n$/);

    const bare = join(lab.directory, "bare");
    mkdirSync(bare);
    symlinkSync(process.execPath, join(bare, "node"));
    const without = await lab.inNode(findTool("env"), [`PATH=${bare}`, "node", agentBundle(), "cleanup"]);
    expect(without).toMatchObject({ code: 0, stdout: "this node has nothing of the agent\n" });
    expect(without.stderr).toContain(
      "IPv4: iptables-nft is not installed: chain IP-MASQ-AGENT stays if it exists",
    );

    // Only the plain name, as in small images.
    for (const tool of ["iptables", "ip6tables"]) {
      symlinkSync(findTool(`${tool}-nft`), join(bare, tool));
      symlinkSync(findTool(`${tool}-nft`), join(bare, `${tool}-restore`));
    }
    const plain = await lab.inNode(findTool("env"), [`PATH=${bare}`, "node", agentBundle(), "cleanup"]);
    expect(plain).toMatchObject({ code: 0, stderr: "" });
    expect(await ours(lab)).toEqual([]);
  });
});

const ADDRESS = JSON.stringify(holdAddress(CHAIN));
const HELD = `an agent seems to run on this node: a process that is not visible from here holds the socket of chain ${CHAIN}`;

/** A process in the node that is started from a file of this name with this script, and says when it is ready. */
async function startScript(lab: Lab, name: string, script: string) {
  const bundle = join(lab.directory, name);
  writeFileSync(bundle, script);
  const process = lab.startAgent({ bundle });
  await eventually(() => expect(process.log()).toContain("ready"));
  return process;
}

/** `cleanup` where no process of the node is seen, as in a pod. */
function cleanupInPod(lab: Lab, ...args: string[]) {
  const words = ["--pid", "--fork", "--mount-proc", process.execPath, agentBundle(), "cleanup", ...args];
  return lab.inNode("unshare", words);
}

describeKernel("cleanup beside an agent", { concurrent: true }, () => {
  const beside = [
    ["nftables", process.execPath],
    ["nftables", NODE24],
    ["iptables-nft", NODE24],
    ["iptables-legacy", process.execPath],
  ] as const;
  // Each backend, and each version of Node.
  labTest.for(cells(beside, (_, i) => i === 1 || i === 3))(
    "%s on %s: nothing is removed, but with --force",
    async ([name, node], { lab }) => {
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: ["--enable-ipv6", ...(BACKENDS[name] ?? [])], node });
      const groups = name === "nftables" ? 1 : 2;
      await eventually(() => expect(agent.log().split(": programmed ").length).toBe(groups + 1));
      const before = await everything(lab);

      for (const args of [[], ["--all-chains"], [`--masq-chain=${CHAIN}`]]) {
        const { code, stdout, stderr } = await cleanup(lab, ...args);
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(`an agent runs on this node: pid ${agent.pid} (`);
        expect(stderr).toMatch(/Nothing was removed: delete the DaemonSet first, or use --force .*\n$/);
        expect(stderr.split("\n")).toHaveLength(2);
      }
      const json = JSON.parse((await cleanup(lab, "-o", "json")).stdout) as Record<string, unknown>;
      expect(json).toMatchObject({ removed: [], refused: expect.stringContaining(`pid ${agent.pid}`) });
      const dry = await cleanup(lab, "--dry-run");
      expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining("would remove") });
      expect(dry.stderr).toContain(`an agent runs on this node: pid ${agent.pid} (`);
      // Another chain's agent would be another one.
      expect(await cleanup(lab, "--masq-chain=OTHER")).toMatchObject({ code: 0 });
      expect(await everything(lab)).toBe(before);

      // A legacy rule's going is noticed at the resync interval, which is as short; on a slow machine the agent may be later than the
      // second that the command waits for it.
      await eventually(async () => {
        const forced = await cleanup(lab, "--force");
        expect(forced.stdout).toContain("removed ");
        expect(forced).toMatchObject({ code: 1, stderr: expect.stringContaining("rules came back: ") });
      });
    },
  );

  labTest("an agent of another chain keeps its own from --all-chains", async ({ lab }) => {
    const agent = await runAgent(lab, "--backend=nftables", "--masq-chain=OTHER");
    expect(await cleanup(lab)).toMatchObject({ code: 0 });
    const all = await cleanup(lab, "--all-chains");
    expect(all).toMatchObject({ code: 1, stderr: expect.stringContaining(`pid ${agent.pid} (`) });
    expect(await nftablesState(lab)).not.toEqual([]);
  });

  labTest("one that is stopped runs", async ({ lab }) => {
    const agent = await runAgent(lab, "--backend=nftables");
    process.kill(agent.pid, "SIGSTOP");
    expect(await cleanup(lab)).toMatchObject({ code: 1, stdout: "" });
    expect(await nftablesState(lab)).not.toEqual([]);
  });

  labTest("one that holds no socket, but is seen", async ({ lab }) => {
    await (await runAgent(lab, "--backend=nftables")).end("SIGKILL");
    const old = await startScript(
      lab,
      "ip-masq-agent.cjs",
      'console.log("ready"); setInterval(() => {}, 1e9);',
    );
    expect(await cleanup(lab)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`pid ${old.pid} (`),
    });
    await old.end("SIGKILL");
    expect(await cleanup(lab)).toMatchObject({ code: 0, stderr: "" });
  });

  labTest("one that holds no socket and is not seen: its rules are there again", async ({ lab }) => {
    await (await runAgent(lab, "--backend=nftables")).end("SIGKILL");
    const table = `"add table inet ip-masq-agent { comment \\"ip-masq-agent chain=${CHAIN}\\"; }"`;
    const script = `console.log("ready"); const again = () => setTimeout(add, 100);
      const add = () => require("node:child_process").execFile("nft", [${table}], again); add();`;
    await startScript(lab, "old.cjs", script);
    await eventually(async () => {
      const { code, stderr } = await cleanup(lab);
      expect(code).toBe(1);
      expect(stderr).toContain("rules came back: table inet ip-masq-agent. An agent is running on this node");
    });
  });

  labTest("a process that holds the socket and is not an agent does not block cleanup", async ({ lab }) => {
    await (await runAgent(lab, "--backend=nftables")).end("SIGKILL");
    const other = await startScript(
      lab,
      "other.cjs",
      `require("node:net").createServer().listen(${ADDRESS}, () => console.log("ready"));`,
    );
    const { code, stdout, stderr } = await cleanup(lab);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "removed table inet ip-masq-agent\n" });
    expect(stderr).toMatch(new RegExp(`^warning: pid ${other.pid} \\(.*and is not an agent: ignored\n$`));
  });

  labTest("from a pod, an agent has ten seconds to end", async ({ lab }) => {
    const agent = await runAgent(lab, "--backend=nftables");
    const startedAt = performance.now();
    const refused = await cleanupInPod(lab);
    expect(performance.now() - startedAt).toBeGreaterThan(9_000);
    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(HELD) });
    expect(refused.stderr).toContain("delete the DaemonSet first, or use --force");
    expect(await nftablesState(lab)).not.toEqual([]);
    const dry = await cleanupInPod(lab, "--dry-run");
    expect(dry).toMatchObject({ code: 0, stderr: expect.stringContaining(HELD) });

    const waiting = cleanupInPod(lab);
    setTimeout(() => agent.end("SIGTERM"), 2_000);
    expect(await waiting).toEqual({ code: 0, stdout: "removed table inet ip-masq-agent\n", stderr: "" });
    expect(await ours(lab)).toEqual([]);
  });
});
