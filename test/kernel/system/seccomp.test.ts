/**
 * The agent and all its tools under deploy/seccomp/ip-masq-agent.json, loaded as container runtimes load it. In the strict form
 * a call that the profile does not name kills who makes it: nothing can get by on a second way that happens to be there.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { command } from "../../lab/command.ts";
import { cells, times } from "../../lab/length.ts";
import {
  bothFamilies,
  config,
  describeKernel,
  expectVerdicts,
  flags,
  labTest,
  logged,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { agentBundle, eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { ipsets, iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import { FLAGS } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { NODE24 } from "../../lab/node24.ts";

const PROFILE = resolve("deploy/seccomp/ip-masq-agent.json");
const LIST = { nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"] };

/** What container runtimes refuse by themselves to a pod without CAP_SYS_ADMIN. */
const REFUSED_BY_DEFAULT =
  /^(add_key|bpf|clone3|fanotify_init|fs(config|mount|open|pick)|io_uring_.*|kcmp|kexec.*|key.*|.*_module|mount.*|move_.*|open_by_.*|open_tree|perf_.*|pidfd_getfd|pivot_root|process_.*|ptrace|quotactl.*|reboot|request_key|set(domain|host)name|setns|swap.*|syslog|umount2?|unshare|userfaultfd|.*mempolicy|mbind)$/;

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly args?: readonly object[];
}

const { syscalls } = JSON.parse(readFileSync(PROFILE, "utf8")) as { syscalls: readonly Rule[] };

function allowed(): readonly string[] {
  return syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW").flatMap(({ names }) => names);
}

/** A command line that runs `argv` under the profile. */
function confined(argv: readonly string[], ...options: readonly string[]): readonly string[] {
  return [findTool("python3"), resolve("test/lab/network/seccomp.py"), PROFILE, ...options, ...argv];
}

interface Side {
  readonly flags: readonly string[];
  /** Takes something of the rules away. */
  readonly spoil: (lab: Lab) => Promise<unknown>;
}

const flushAll = (lab: Lab) => lab.inNode("nft", ["flush", "ruleset"]);
const SIDES: Readonly<Record<string, Side>> = {
  nftables: { flags: FLAGS, spoil: flushAll },
  "iptables-nft": { flags: flags("nft"), spoil: flushAll },
  ipset: { flags: flags("nft", "--ipset-threshold=1"), spoil: flushAll },
  "iptables-legacy": {
    flags: flags("legacy"),
    spoil: (lab) => Promise.all(bothFamilies(lab, "legacy").map((iptables) => iptables.run("-F", CHAIN))),
  },
};

/** An agent's whole life: rules, a change, healing, HTTP, the commands beside it, its end. */
async function live(lab: Lab, { flags, spoil }: Side, node: string, ...options: readonly string[]) {
  lab.volume.write(config(LIST));
  const files = ["--logtostderr=false", "--alsologtostderr", `--log_dir=${lab.directory}`];
  const agent = lab.startAgent({ flags: [...flags, ...files], node, wrapper: confined([], ...options) });
  const run = (...args: readonly string[]) => {
    const [file = "", ...rest] = confined([node, agentBundle(), ...args], ...options);
    return lab.inNode(file, rest);
  };
  await saysOf(agent, "serving at", ": programmed ");
  await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node", "fd00:10::1": "pod" });
  lab.volume.write(config({ nonMasqueradeCIDRs: ["192.168.0.0/16", "fd00::/8"] }));
  await eventually(() => expectVerdicts(lab, { "10.10.0.1": "node", "192.168.5.5": "pod" }));
  await spoil(lab);
  await saysOf(agent, "healed: ");
  await eventually(() => expectVerdicts(lab, { "10.10.0.1": "node", "192.168.5.5": "pod" }));
  // The other family's turn comes later.
  for (const command of ["status", "diff"])
    await eventually(async () => expect(await run(command)).toMatchObject({ code: 0 }));
  const commands = [
    ["explain", "--live", "10.10.0.1", "192.168.5.5"],
    ["doctor", "--verbose"],
  ];
  // Tried again, since a child of the agent that has not become a tool yet is taken for another agent.
  for (const args of commands)
    await eventually(async () =>
      expect(await run(...args), args[0]).toEqual(await lab.inNode(node, [agentBundle(), ...args])),
    );
  const strange = logged(agent, "W").filter((line) => !line.includes("healed: "));
  expect([...logged(agent, "E"), ...strange]).toEqual([]);
  expect(await agent.end()).toBe(143);
  expect(await run("cleanup")).toMatchObject({ code: 0 });
  expect([await iptablesState(lab), await nftablesState(lab), await ipsets(lab)]).toEqual([[], [], []]);
}

const atLength = labTest.runIf(times(0, 1) === 1);

/** Waits until the agent has said all of it; one that has ended, or has failed in something, is not waited for. */
async function saysOf(agent: Agent, ...texts: readonly string[]): Promise<void> {
  let ending: unknown;
  void agent.ended.then((how) => (ending = how));
  const trouble = () => [...(ending === undefined ? [] : [`ended: ${ending}`]), ...logged(agent, "E")];
  await eventually(() => {
    if (trouble().length === 0) for (const text of texts) expect(agent.log()).toContain(text);
  });
  expect(trouble()).toEqual([]);
}

describeKernel("under the seccomp profile", () => {
  // The one with sets uses all tools of iptables-nft, too; legacy ones have a long list below. Node 24 shows nftables.
  for (const [name, side] of cells(Object.entries(SIDES), ([side]) => side === "ipset"))
    labTest(`${name}: an agent makes no call that the profile does not name`, async ({ lab }) => {
      await live(lab, side, process.execPath, "--strict");
    });

  for (const name of cells(["nftables", "iptables-nft"], (side) => side === "nftables"))
    labTest(`${name}: nor does Node 24`, async ({ lab }) => {
      await live(lab, SIDES[name] as Side, NODE24, "--strict");
    });

  labTest("nor does it with a long list, or when a tool hangs at its end", async ({ lab }) => {
    const cidrs = Array.from({ length: times(5_000, 20_000) }, (_, i) => `11.${i >> 8}.${i & 255}.0/25`);
    lab.volume.write(config({ nonMasqueradeCIDRs: cidrs, cidrLimit: cidrs.length }));
    const agent = lab.startAgent({ flags: flags("legacy"), wrapper: confined([], "--strict") });
    await saysOf(agent, "serving at", ": programmed ");
    const lock = join(lab.directory, "xtables.lock");
    void lab.inNode("flock", [lock, "sleep", "60"]);
    await eventually(async () =>
      expect(await lab.inNode("flock", ["-n", lock, "true"])).toMatchObject({ code: 1 }),
    );
    lab.volume.write(config(LIST));
    const child = () => lab.inNode("pgrep", ["-P", String(agent.pid)]);
    await eventually(async () => expect(await child()).toMatchObject({ code: 0 }));
    expect(await agent.end()).toBe(143);
  });

  labTest("nor does any tool of the image", async ({ lab }) => {
    const tools = ["iptables", "iptables-legacy", "ip6tables-nft"].map((tool) => [tool, "-t", "nat", "-S"]);
    const lists = ["nft list ruleset", "ipset list", "conntrack -L", "conntrack -C"].map((line) =>
      line.split(" "),
    );
    for (const argv of [...tools, ...lists]) {
      const [file = "", ...args] = confined(argv, "--strict");
      expect(await lab.inNode(file, args), argv.join(" ")).toMatchObject({ code: 0 });
    }
  });

  // The strict form forbids more, so the gate does without.
  atLength("as it is written: the same", async ({ lab }) => {
    await live(lab, SIDES["iptables-nft"] as Side, process.execPath);
  });

  const needed = ["inotify_add_watch", "sendmsg", "listen", "pipe2", "accept4", "wait4"];
  labTest.for(cells(needed, (name) => name === "sendmsg"))(
    "without %s this test fails",
    async (name, { lab }) => {
      const life = live(
        lab,
        SIDES["iptables-nft"] as Side,
        process.execPath,
        "--strict",
        `--without=${name}`,
      );
      await expect(life).rejects.toThrow();
    },
  );

  labTest("nothing beyond it can be had: no packet socket, namespace, mount or trace", async ({ lab }) => {
    const attempts = {
      socket: "import socket; socket.socket(17, 3)",
      unshare: "import ctypes, sys; sys.exit(ctypes.CDLL(None, use_errno=True).unshare(1 << 28) != 0)",
      mount: "import ctypes, sys; sys.exit(ctypes.CDLL(None).mount(b'x', b'/', b'tmpfs', 0, None) != 0)",
      ptrace: "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)",
    };
    for (const [name, script] of Object.entries(attempts)) {
      const [file = "", ...args] = confined(["python3", "-c", script]);
      expect(await lab.inNode(file, args), name).toMatchObject({ code: 1 });
      if (name !== "mount")
        expect(await lab.inNode("python3", ["-c", script]), name).toMatchObject({ code: 0 });
    }
  });
});

test("allows nothing that runtimes refuse by default, so that under RuntimeDefault the agent works as well", () => {
  expect(allowed().filter((name) => REFUSED_BY_DEFAULT.test(name))).toEqual([]);
  const conditions = syscalls.filter(({ args }) => args !== undefined).flatMap(({ names }) => names);
  expect(new Set(conditions)).toEqual(new Set(["clone", "socket"]));
});

test("names calls that exist, once, and for arm64 their counterparts", async () => {
  const [file = "", ...args] = confined([], "--names");
  const numbers = (await command(file, args)).trimEnd().split("\n");
  const onlyOnAmd64 = numbers
    .map((line) => line.split(" "))
    .filter(([, amd64, arm64]) => Number(amd64) < 0 || Number(arm64) < 0)
    .map(([name = ""]) => name);
  expect(Object.keys(COUNTERPARTS)).toEqual(expect.arrayContaining(onlyOnAmd64));
  for (const name of onlyOnAmd64) expect(allowed(), name).toContain(COUNTERPARTS[name] ?? name);
  const once = syscalls.filter(({ args }) => args === undefined).flatMap(({ names }) => names);
  expect(once).toHaveLength(new Set(once).size);
});

/** Calls that arm64 does not have, and what its C library makes instead; nothing for what only amd64 needs. */
const COUNTERPARTS: Readonly<Record<string, string | undefined>> = {
  access: "faccessat",
  alarm: "setitimer",
  arch_prctl: undefined,
  dup2: "dup3",
  epoll_wait: "epoll_pwait",
  lstat: "newfstatat",
  poll: "ppoll",
  readlink: "readlinkat",
  rename: "renameat",
  rmdir: "unlinkat",
  stat: "newfstatat",
  symlink: "symlinkat",
  unlink: "unlinkat",
  vfork: "clone",
};
