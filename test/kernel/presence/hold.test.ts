/** Several agents in one network namespace: none removes what a living one has, and the last one clears away. */
import { readdirSync } from "node:fs";
import { expect } from "vitest";
import { TURN_NAME } from "../../../src/presence/in-turn.ts";
import { holdAddress } from "../../../src/presence/names.ts";
import { command } from "../../lab/command.ts";
import { cells } from "../../lab/length.ts";
import { config, describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { NODE24 } from "../../lab/node24.ts";

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16"] });
const VERDICTS = { "10.10.0.1": "pod", "8.8.8.8": "node" } as const;
const OTHER = "another agent seems to run";

interface Side {
  readonly flags: readonly string[];
  readonly rules: (lab: Lab) => Promise<readonly string[]>;
}

const NFTABLES: Side = { flags: ["--backend=nftables"], rules: nftablesState };
const IPTABLES: Side = { flags: ["--iptables-mode=nft"], rules: iptablesState };
const LEGACY: Side = { flags: ["--iptables-mode=legacy"], rules: iptablesState };

/** Starts an agent and waits until it has looked at its rules more than once. */
async function begin(lab: Lab, flags: readonly string[], options: Parameters<Lab["startAgent"]>[0] = {}) {
  const agent = lab.startAgent({ flags: ["--http-address=", "--v=4", ...flags], ...options });
  await passes(agent, 3);
  return agent;
}

/** Waits for so many more passes. */
async function passes(agent: Agent, more: number): Promise<void> {
  const count = () => agent.log().split("pass (").length;
  const until = count() + more;
  await eventually(() => expect(count()).toBeGreaterThanOrEqual(until));
}

/** Waits until an agent has warned of something; it does so once, and after the pass in which it has found it. */
async function warned(agent: Agent, text: string): Promise<string> {
  await eventually(() => expect(logged(agent, "W", text)).not.toEqual([]));
  const [line = "", ...more] = logged(agent, "W", text);
  expect(more).toEqual([]);
  return line;
}

async function present(lab: Lab, ...sides: readonly Side[]): Promise<void> {
  for (const side of sides) expect((await side.rules(lab)).length).toBeGreaterThan(2);
}

describeKernel("two agents of one chain, one backend each", () => {
  const PAIRS: Readonly<Record<string, readonly [Side, Side]>> = {
    "iptables-nft, then nftables": [IPTABLES, NFTABLES],
    "nftables, then iptables-nft": [NFTABLES, IPTABLES],
    "iptables-legacy, then nftables": [LEGACY, NFTABLES],
  };
  const NODES = {
    "this Node, then Node 24": [process.execPath, NODE24],
    "Node 24, then this": [NODE24, process.execPath],
  } as const;
  const cases = Object.entries(PAIRS).flatMap(([sides, pair]) =>
    Object.entries(NODES).map(([nodes, both], i) => ({ sides, pair, nodes, both, signal: i })),
  );

  // Each pair once, and each order of the versions.
  labTest.for(cells(cases, (_, i) => [0, 3, 4].includes(i)))(
    "$sides; $nodes",
    async ({ pair, both, signal }, { lab }) => {
      lab.volume.write(CONFIG);
      const [first, second] = pair;
      const one = await begin(lab, first.flags, { node: both[0] });
      const two = await begin(lab, second.flags, { node: both[1] });
      await passes(two, 5);
      await present(lab, first, second);
      await expectVerdicts(lab, VERDICTS);
      expect(await warned(two, OTHER)).toContain(`pid ${one.pid} (`);
      expect(await warned(two, OTHER)).toContain(first.flags[0]);
      expect(two.log()).not.toContain("removed rules of");

      await one.end(signal === 0 ? "SIGTERM" : "SIGKILL");
      await eventually(async () => expect(await first.rules(lab)).toEqual([]));
      await present(lab, second);
      await expectVerdicts(lab, VERDICTS);
      // The line comes after the rules are gone.
      await eventually(() => expect(two.log()).toContain("the other agent of chain IP-MASQ-AGENT has ended"));
      expect([...logged(one, "E"), ...logged(two, "E")]).toEqual([]);
    },
  );
});

describeKernel("agents of one chain", () => {
  labTest("a holder leaves alone what one that waits for it has", async ({ lab }) => {
    // A bad configuration puts off what waits until rules are in force.
    lab.volume.write("nonMasqueradeCIDRs: [bad]");
    const one = await begin(lab, ["--backend=iptables", "--iptables-mode=nft"]);
    const other = lab.startAgent({ flags: ["--config=/nowhere", "--http-address=", "--backend=nftables"] });
    await eventually(() => expect(other.log()).toContain(": programmed "));
    lab.volume.write(CONFIG);
    await eventually(() => expect(one.log()).toContain(": programmed "));
    await passes(one, 5);
    await present(lab, NFTABLES, IPTABLES);
    await warned(one, `pid ${other.pid} (`);
    await warned(other, `pid ${one.pid} (`);
    await other.end("SIGKILL");
    await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
    await present(lab, IPTABLES);
  });

  labTest(
    "three, with and without events: each takes its turn, and the last one has all",
    async ({ lab }) => {
      lab.volume.write(CONFIG);
      const one = await begin(lab, NFTABLES.flags);
      const two = await begin(lab, [...IPTABLES.flags, "--watch=false"]);
      const three = await begin(lab, LEGACY.flags);
      for (const agent of [two, three]) await warned(agent, OTHER);
      await one.end("SIGKILL");
      const ended = [two, three].map((agent) => () => agent.log().includes("has ended"));
      await eventually(() => expect(ended.filter((has) => has())).toHaveLength(1));
      await passes(two, 3);
      await present(lab, NFTABLES);
      const [taker, last] = ended[0]?.() === true ? [two, three] : [three, two];
      await taker?.end("SIGTERM");
      await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
      const removed = "removed rules of an agent with another backend: table inet ip-masq-agent";
      await eventually(() => expect(last?.log()).toContain(removed));
    },
  );

  labTest("one that is stopped is alive", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const one = await begin(lab, NFTABLES.flags);
    process.kill(one.pid, "SIGSTOP");
    const two = await begin(lab, IPTABLES.flags);
    await passes(two, 5);
    await present(lab, NFTABLES, IPTABLES);
    await one.end("SIGKILL");
    await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
  });

  labTest("one in another PID namespace is not seen, and that is said", async ({ lab }) => {
    lab.volume.write(CONFIG);
    await begin(lab, NFTABLES.flags);
    const wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const two = await begin(lab, IPTABLES.flags, { wrapper });
    await warned(two, `${OTHER}: a process that is not visible from here holds`);
    await present(lab, NFTABLES, IPTABLES);
  });

  labTest("other chains, and other network namespaces, are no other agent", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agents = [
      await begin(lab, IPTABLES.flags),
      await begin(lab, [...IPTABLES.flags, "--masq-chain=OTHER"]),
      await begin(lab, IPTABLES.flags, { wrapper: ["unshare", "--net"] }),
    ];
    for (const agent of agents) expect(logged(agent, "W", OTHER)).toEqual([]);
  });

  labTest.for(cells(["two words", "x".repeat(100), "名".repeat(30), "a\nb"], (_, i) => i > 1))(
    "a name like %j",
    async (chain, { lab }) => {
      lab.volume.write(CONFIG);
      const flags = ["--backend=nftables", `--masq-chain=${chain}`];
      const one = await begin(lab, flags);
      const two = await begin(lab, flags, { node: NODE24 });
      await warned(two, `pid ${one.pid} (`);
    },
  );
});

/** A process in the node that is no agent, and runs this script of Node's; it is ready once it has said so. */
async function stranger(
  lab: Lab,
  script: string,
  { name = "stranger", wrapper = [] }: { readonly name?: string; readonly wrapper?: readonly string[] } = {},
): Promise<Agent> {
  const file = `${lab.directory}/${name}.cjs`;
  await command("sh", ["-c", `cat > ${file} && chmod a+rx ${lab.directory} ${file}`], { stdin: script });
  const other = lab.startAgent({ bundle: file, wrapper });
  await eventually(() => expect(other.log()).toContain("ready"));
  return other;
}

const ADDRESS = JSON.stringify(holdAddress("IP-MASQ-AGENT"));
const HOSTILE = `require("node:net").createServer(() => {}).listen(${ADDRESS}, () => console.log("ready"));`;
const FLOOD = `
  let closed = 0;
  const open = () => require("node:net").connect(${ADDRESS}).on("error", () => {}).on("close", () => {
    if (++closed === 500) console.log("ready");
    open();
  });
  for (let i = 0; i < 50; i++) open();`;

/** Holds the names of an agent, of one that waits, and of one that adds a jump; all that a user without rights can do. */
const SQUATTER = `const { createServer } = require("node:net");
  const names = [${ADDRESS}, ${JSON.stringify(holdAddress("IP-MASQ-AGENT", "squatter"))}, ${JSON.stringify(TURN_NAME)}];
  let left = names.length;
  for (const name of names) createServer(() => {}).listen(name, () => --left || console.log("ready"));`;

const USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
const NO_AGENTS: Readonly<Record<string, readonly string[]>> = {
  "a user without rights, under an agent's name": USER,
  "root of a user namespace of its own, with all capabilities there": [
    ...USER,
    "unshare",
    "--user",
    "--map-root-user",
  ],
};
const CAPABLE = [...USER, "--inh-caps=+net_admin", "--ambient-caps=+net_admin"];

describeKernel("names that others hold", () => {
  // Under the name of an agent, so that only its user tells it from one.
  const squatter = (lab: Lab, wrapper: readonly string[]) =>
    stranger(lab, SQUATTER, { name: "ip-masq-agent", wrapper });
  // As in a pod: it sees no process of others.
  const POD = ["--pid", "--fork", "--kill-child", "--mount-proc"];
  const CLEANUP = [process.execPath, agentBundle(), "cleanup"];

  const noAgents = cells(Object.entries(NO_AGENTS), ([who]) => who.startsWith("root"));
  labTest.for(noAgents)("do not count if the holder is %s", async ([, wrapper], { lab }) => {
    lab.volume.write(CONFIG);
    await (await begin(lab, NFTABLES.flags)).end("SIGKILL");
    await squatter(lab, wrapper);
    const agent = await begin(lab, IPTABLES.flags);
    await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
    await present(lab, IPTABLES);
    await warned(agent, "of user 12345, holds");
    expect(logged(agent, "W", OTHER)).toEqual([]);
    await agent.end("SIGTERM");
    // Hidden agents are waited for, and then nothing is removed.
    const { code, stdout, stderr } = await lab.inNode("unshare", [...POD, ...CLEANUP]);
    expect([code, stdout]).toEqual([0, expect.stringContaining("removed")]);
    expect(stderr).toContain(
      "of user 12345, holds the socket of chain IP-MASQ-AGENT, and cannot be an agent: ignored",
    );
    expect(await iptablesState(lab)).toEqual([]);
  });

  labTest("count if the holder is root, or another user who may program rules", async ({ lab }) => {
    lab.volume.write(CONFIG);
    await (await begin(lab, NFTABLES.flags)).end("SIGKILL");
    const root = await squatter(lab, []);
    const refused = await lab.inNode("env", CLEANUP);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("Nothing was removed")]);
    await root.end("SIGKILL");
    const other = await squatter(lab, CAPABLE);
    const agent = await begin(lab, IPTABLES.flags);
    await passes(agent, 3);
    await warned(agent, `${OTHER}: pid ${other.pid} (`);
    await present(lab, NFTABLES, IPTABLES);
  });

  labTest("of a user without rights hide no agent from another", async ({ lab }) => {
    lab.volume.write(CONFIG);
    await squatter(lab, USER);
    const one = await begin(lab, NFTABLES.flags);
    const two = await begin(lab, IPTABLES.flags);
    await passes(two, 3);
    await present(lab, NFTABLES, IPTABLES);
    expect((await lab.inNode("env", CLEANUP)).code).toBe(1);
    await one.end("SIGKILL");
    await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
    await present(lab, IPTABLES);
  });
});

describeKernel("others at the socket", () => {
  labTest("who holds it keeps no agent from its rules, and is named", async ({ lab }) => {
    lab.volume.write(CONFIG);
    await (await begin(lab, NFTABLES.flags)).end("SIGKILL");
    const other = await stranger(lab, HOSTILE);
    const agent = await begin(lab, IPTABLES.flags);
    await lab.inNode("iptables-nft", ["-t", "nat", "-F", "IP-MASQ-AGENT"]);
    await eventually(() => expect(agent.log()).toContain("healed"));
    await present(lab, NFTABLES, IPTABLES);
    await warned(agent, `pid ${other.pid} (`);
    const { stdout } = await lab.program(["doctor", "--interval=0s"]);
    expect(stdout).toMatch(
      new RegExp(
        `warning .*pid ${other.pid} \\(.*is not an agent: the agent removes nothing that another backend has left`,
      ),
    );
    await other.end("SIGKILL");
    await eventually(async () => expect(await nftablesState(lab)).toEqual([]));
  });

  labTest("connections are closed, cost no descriptor, and keep nothing alive", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = await begin(lab, IPTABLES.flags);
    const open = () => readdirSync(`/proc/${agent.pid}/fd`).length;
    await passes(agent, 5);
    const before = open();
    const flood = await stranger(lab, FLOOD);
    await passes(agent, 5);
    await flood.end("SIGKILL");
    await eventually(() => expect(open()).toBeLessThanOrEqual(before));
    expect(await agent.end("SIGTERM")).toBe(143);
  });
});
