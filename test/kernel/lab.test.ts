/** Labs leave nothing behind, whichever way they end. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { command } from "../lab/command.ts";
import { describeKernel, labTest } from "../lab/network/fixture.ts";
import { agentBundle, createLab, eventually, type Lab } from "../lab/network/lab.ts";
import { leftovers } from "../lab/network/remains.ts";

/** Processes whose command line names a lab of the process with this id. */
function processesOf(pid: number): string[] {
  const lines = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine);
  return lines.filter((line) => line.includes(`ipmasq-${pid}-`));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    // It has ended since it was listed.
    return "";
  }
}

function expectNothingLeft(pid: number): void {
  expect(leftovers(pid)).toEqual({ namespaces: [], files: [] });
  expect(processesOf(pid)).toEqual([]);
}

/** The demo, as an example of a process with a lab; its own files are in another. */
async function startDemo({ directory }: Lab) {
  const script = join(directory, "demo.cjs");
  const options = ["--bundle", "--platform=node", "--target=node20", "--format=cjs", "--log-level=error"];
  await command("node_modules/.bin/esbuild", ["demo/run.ts", ...options, `--outfile=${script}`]);
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return ended;
  };
  return { pid: child.pid ?? -1, output: () => output, ended, end };
}

describeKernel("our command", () => {
  labTest("answers as its own process does, in its node", async ({ lab }) => {
    await lab.inNode("nft", [
      "add table inet other { chain post { type nat hook postrouting priority 90; ip daddr 8.8.8.8 accept; }; }",
    ]);
    for (const args of [
      ["explain", "--live", "--no-adopt", "--config=/dev/null", "8.8.8.8"],
      ["diff", "--no-adopt", "--config=-", "--backend=nftables"],
      ["status", "--no-adopt", "--nonsense"],
    ]) {
      const stdin = "nonMasqueradeCIDRs: [10.0.0.0/8]\n";
      const own = await lab.inNode(process.execPath, [agentBundle(), ...args], stdin);
      expect(own.stdout + own.stderr).not.toBe("");
      expect(await lab.program(args, { stdin })).toEqual(own);
    }
  });
});

describeKernel("a lab leaves nothing behind", () => {
  test("when it is closed, with an agent at work", async () => {
    const lab = await createLab();
    lab.startAgent();
    await lab.ask("tcp", "8.8.8.8");
    expect(leftovers().namespaces).toHaveLength(3);
    // The receiver, the client and the agent; a tool that the agent starts has the agent's command line for a moment.
    await eventually(() => expect(processesOf(process.pid)).toHaveLength(3));
    await lab.close();
    await eventually(() => expectNothingLeft(process.pid));
  });

  labTest("when the demo has run to its end, which it does without a wrong verdict", async ({ lab }) => {
    const demo = await startDemo(lab);
    expect(await demo.ended).toBe(0);
    expect(demo.output()).toContain("Everything is correct.");
    expect(demo.output()).not.toContain("WRONG");
    await eventually(() => expectNothingLeft(demo.pid));
  });

  labTest.for(["SIGINT", "SIGTERM"] as const)(
    "when the demo gets %s in its midst",
    async (signal, { lab }) => {
      const demo = await startDemo(lab);
      await eventually(() => expect(demo.output()).toContain("Start:"));
      expect(leftovers(demo.pid).namespaces).toHaveLength(3);
      expect(await demo.end(signal)).toBe(signal === "SIGINT" ? 130 : 143);
      await eventually(() => expectNothingLeft(demo.pid));
    },
  );

  labTest("when its process was killed: the next lab removes it", async ({ lab }) => {
    const demo = await startDemo(lab);
    await eventually(() => expect(leftovers(demo.pid).namespaces).toHaveLength(3));
    await demo.end("SIGKILL");
    const next = await createLab();
    await next.close();
    await eventually(() => expectNothingLeft(demo.pid));
  });
});
