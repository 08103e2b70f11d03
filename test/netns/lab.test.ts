/** Labs leave nothing behind, whichever way they end. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { command } from "./command.ts";
import { describeKernel, labTest } from "./fixture.ts";
import { createLab, eventually, leftovers } from "./lab.ts";

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

describeKernel("a lab leaves nothing behind", { timeout: 60_000 }, () => {
  test("when it is closed, with an agent at work", async () => {
    const lab = await createLab();
    lab.startAgent();
    await lab.ask("tcp", "8.8.8.8");
    expect(leftovers().namespaces).toHaveLength(3);
    // Two receivers, two clients and the agent.
    expect(processesOf(process.pid)).toHaveLength(5);
    await lab.close();
    expectNothingLeft(process.pid);
  });

  labTest.for(["SIGINT", "SIGTERM"] as const)(
    "when the demo gets %s in its midst",
    async (signal, { lab }) => {
      const script = join(lab.directory, "demo.cjs");
      const options = ["--bundle", "--platform=node", "--target=node20", "--format=cjs", "--log-level=error"];
      await command("node_modules/.bin/esbuild", ["demo/run.ts", ...options, `--outfile=${script}`]);
      const demo = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
      const pid = demo.pid ?? -1;
      let output = "";
      demo.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
      const ended = new Promise((resolve) => demo.on("exit", resolve));
      await eventually(() => expect(output).toContain("Start:"), 30_000);
      expect(leftovers(pid).namespaces).toHaveLength(3);
      demo.kill(signal);
      expect(await ended).toBe(signal === "SIGINT" ? 130 : 143);
      await eventually(() => expectNothingLeft(pid));
    },
  );

  labTest("when its process was killed: the next lab removes it", async ({ lab }) => {
    const script = join(lab.directory, "demo.cjs");
    const options = ["--bundle", "--platform=node", "--target=node20", "--format=cjs", "--log-level=error"];
    await command("node_modules/.bin/esbuild", ["demo/run.ts", ...options, `--outfile=${script}`]);
    const demo = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    const pid = demo.pid ?? -1;
    const ended = new Promise((resolve) => demo.on("exit", resolve));
    demo.stdout.resume();
    await eventually(() => expect(leftovers(pid).namespaces).toHaveLength(3), 30_000);
    demo.kill("SIGKILL");
    await ended;
    const next = await createLab();
    await next.close();
    await eventually(() => expectNothingLeft(pid));
  });
});
