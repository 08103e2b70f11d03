/**
 * Neighbours in the node's network who use netlink against the agent: one without any privilege takes the ports that it could
 * want, one with CAP_NET_ADMIN sends messages that are not from the kernel. In the environment: FLOOD_MS, how long at least (0).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import {
  config,
  describeKernel,
  expectVerdicts,
  flags,
  labTest,
  logged,
  programmed,
} from "../../lab/network/fixture.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { FLAGS, programmed as programmedTable } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";

const { FLOOD_MS = "0" } = process.env;

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8"], resyncInterval: "1h" });
const VERDICTS = { "10.10.0.1": "pod", "8.8.8.8": "node" } as const;

interface Backend {
  readonly flags: readonly string[];
  readonly programmed: (lab: Lab, agent: Agent) => Promise<unknown>;
}

const BACKENDS: Readonly<Record<string, Backend>> = {
  iptables: { flags: flags("nft"), programmed: (lab: Lab) => programmed(lab, "nft") },
  nftables: { flags: FLAGS, programmed: programmedTable },
};

/**
 * Takes all ports that libraries choose from for the first processes of a container, the pid with a counter in the upper ten bits;
 * says how many, and holds them until it is killed.
 */
const TAKE_PORTS = `
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
for pid in range(1, 11):
  for counter in range(1024):
    try:
      s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
      s.bind((counter << 22 | pid, 0))
      held.append(s)
    except OSError:
      pass
sys.stdout.write(f"{len(held)}\\n"); sys.stdout.flush()
time.sleep(600)
`;

/** Sends junk, and forged ends of commits, to every netfilter socket and to the group of commits, until its second file exists; its first one says that it has begun. */
const FLOOD = `
import os, socket, struct, sys, time
ports = [int(line.split()[2]) for line in open("/proc/net/netlink") if line.split()[1] == "12"]
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
attribute = lambda type, value: struct.pack("<HH", 4 + len(value), type) + value
header = struct.pack("=IHHIIBBH", 48, 0x0a0f, 0, 0, 0, 0, 0, 0)
who = attribute(2, struct.pack(">I", 1)) + attribute(3, b"forger".ljust(8, bytes(1)))
sent = refused = generation = 0
end = time.time() + int(sys.argv[1]) / 1000
while time.time() < end or not os.path.exists(sys.argv[3]):
  generation = generation % 300 + 1
  forged = header + attribute(1, struct.pack(">I", generation)) + who
  for destination in [(port, 0) for port in ports] + [(0, 1 << 6)]:
    for message in (forged, bytes([255]) * 60000, b""):
      try:
        s.sendto(message, destination)
        sent += 1
      except OSError:
        refused += 1
  open(sys.argv[2], "w")
print(len(ports), sent, refused)
`;

describeKernel("hostile neighbours on netlink", () => {
  for (const [name, backend] of Object.entries(BACKENDS)) {
    labTest(
      `${name}: netlink ports that an unprivileged process took do not block the agent`,
      async ({ lab }) => {
        const unprivileged = [findTool("setpriv"), "--bounding-set=-all", "python3", "-c", TAKE_PORTS];
        expect(await firstNumber(lab.inside("node", ...unprivileged))).toBeGreaterThan(10_000);
        lab.volume.write(CONFIG);
        const wrapper = [findTool("unshare"), "--pid", "--fork", "--kill-child"];
        const agent = lab.startAgent({ flags: backend.flags, wrapper });
        await backend.programmed(lab, agent);
        await expectVerdicts(lab, VERDICTS);
        await healedInTime(lab, agent, backend);
        expect([...logged(agent, "E"), ...logged(agent, "W", "netlink")]).toEqual([]);
      },
    );

    labTest(
      `${name}: messages that are not from the kernel are ignored, and end nothing`,
      async ({ lab }) => {
        lab.volume.write(CONFIG);
        const agent = lab.startAgent({ flags: backend.flags });
        await backend.programmed(lab, agent);
        await healedInTime(lab, agent, backend);
        const [begun = "", enough = ""] = ["begun", "enough"].map((name) => join(lab.directory, name));
        const flood = lab.inNode("python3", ["-c", FLOOD, FLOOD_MS, begun, enough]);
        await eventually(() => expect(existsSync(begun)).toBe(true));
        await healedInTime(lab, agent, backend);
        writeFileSync(enough, "");
        const { code, stdout } = await flood;
        const [ports = 0, sent = 0, refused = 0] = stdout.split(" ").map(Number);
        expect({ code, attacked: ports > 0, sent: sent > 0, refused: refused > 0 }).toEqual({
          code: 0,
          attacked: true,
          sent: true,
          refused: true,
        });
        await healedInTime(lab, agent, backend);
        await expectVerdicts(lab, VERDICTS);
        expect(agent.log()).not.toContain("forger");
        expect(logged(agent, "E")).toEqual([]);
      },
    );
  }
});

/** Starts a process that ends with the lab; returns what it says first. */
async function firstNumber([file = "", ...args]: readonly string[]): Promise<number> {
  const { stdout } = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [chunk] = await once(stdout, "data");
  return Number(chunk);
}

/** Takes all rules away and waits until they are back, which only an agent that hears of it does in time. */
async function healedInTime(lab: Lab, agent: Agent, backend: Backend): Promise<void> {
  const before = agent.log().split("healed: ").length;
  // Until its events are open, an agent looks once more by itself.
  await eventually(() => expect(agent.log()).toContain("serving at"));
  expect(await lab.inNode("nft", ["flush", "ruleset"])).toMatchObject({ code: 0 });
  await eventually(() => expect(agent.log().split("healed: ").length).toBeGreaterThan(before));
  await backend.programmed(lab, agent);
}
