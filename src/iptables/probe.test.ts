import { describe, expect, test } from "vitest";
import { CommandError } from "../system/command-error.ts";
import type { Answer, Script } from "../system/script.ts";
import { probe } from "./probe.ts";
import { toolsOf } from "./tools.ts";

const TOOLS = toolsOf("path", "IPv4");
const says = (stdout: string, exitCode = 0): Answer => ({ exitCode, stdout, stderr: "" });

/** Probes tools that answer so, and names those that were asked. */
async function probed(command: Answer, restore: Answer = says("", 2)) {
  const asked: string[] = [];
  const run = async (script: Script): Promise<Answer> => {
    asked.push([script.file, ...script.args].join(" "));
    const answer = script.file === TOOLS.command ? command : restore;
    if (answer.exitCode !== 0 && !script.accept?.includes(answer.exitCode)) throw new Error("not accepted");
    return answer;
  };
  return { asked, capabilities: await probe(TOOLS, run) };
}

test("it asks a modern tool once", async () => {
  expect(await probed(says("iptables v1.8.9 (nf_tables)\n"))).toMatchInlineSnapshot(`
    {
      "asked": [
        "iptables --version",
      ],
      "capabilities": {
        "check": true,
        "randomFully": true,
        "restoreWait": [
          "-w",
          "5",
        ],
        "variant": "nf_tables",
        "version": "1.8.9",
        "wait": [
          "-w",
          "5",
        ],
      },
    }
  `);
});

test("an old tool", async () => {
  expect(await probed(says("iptables v1.4.7\n"))).toMatchInlineSnapshot(`
    {
      "asked": [
        "iptables --version",
        "iptables-restore --version",
      ],
      "capabilities": {
        "check": false,
        "randomFully": false,
        "restoreWait": [],
        "variant": "legacy",
        "version": "1.4.7",
        "wait": [],
      },
    }
  `);
});

describe("version floors", () => {
  test.each([
    ["v1.4.10", false, "", false],
    ["v1.4.11", true, "", false],
    ["v1.4.19.1", true, "", false],
    ["v1.4.20", true, "-w", false],
    ["v1.4.21", true, "-w", false],
    ["v1.4.22", true, "-w 5", false],
    ["v1.6.1", true, "-w 5", false],
    ["v1.6.2", true, "-w 5", true],
    ["v1.10", true, "-w 5", true],
    ["v1.8", true, "-w 5", true],
    ["v2.0.0", true, "-w 5", true],
    ["v1.4", false, "", false],
  ])("%s", async (version, check, wait, randomFully) => {
    const { capabilities } = await probed(says(`iptables ${version}\n`));
    expect([capabilities.check, capabilities.wait.join(" "), capabilities.randomFully]).toEqual([
      check,
      wait,
      randomFully,
    ]);
  });
});

test.each([
  ["nothing", says("")],
  ["something else", says("hello\n")],
  ["one number", says("iptables v2\n")],
  ["a failure", says("iptables v1.8.9\n", 1)],
  ["any exit code", says("", 255)],
])("a tool that says %s is taken for the first with -C", async (_name, answer) => {
  const { capabilities } = await probed(answer);
  expect(capabilities).toMatchObject({ version: "1.4.11", check: true, wait: [], randomFully: false });
});

test.each([
  ["knows --version", says("iptables-restore v1.6.0\n"), ["-w"]],
  ["prints something else", says("?\n"), []],
  ["fails", says("iptables-restore v1.6.0\n", 1), []],
])("an old restore tool that %s", async (_name, restore, expected) => {
  const { capabilities } = await probed(says("iptables v1.6.1\n"), restore);
  expect(capabilities.restoreWait).toEqual(expected);
});

test.each([
  ["iptables v1.8.9 (nf_tables)", "nf_tables"],
  ["iptables v1.8.9 (legacy)", "legacy"],
  ["iptables v1.6.1", "legacy"],
])("%s is %s", async (line, variant) => {
  expect((await probed(says(`${line}\n`))).capabilities.variant).toBe(variant);
});

test("a version on the other stream counts too", async () => {
  const { capabilities } = await probed({ exitCode: 0, stdout: "", stderr: "iptables v1.8.9 (nf_tables)\n" });
  expect(capabilities).toMatchObject({ version: "1.8.9", variant: "nf_tables", randomFully: true });
});

test("a tool that is killed is taken for the first with -C; one that hangs is an error", async () => {
  const fails = (failure: { why: string; killedBy?: string }) => (script: Script) =>
    Promise.reject(new CommandError(script, failure));
  const killed = probe(TOOLS, fails({ why: "signal: SIGKILL", killedBy: "SIGKILL" }));
  expect(await killed).toMatchObject({ version: "1.4.11", check: true, restoreWait: [], randomFully: false });
  await expect(probe(TOOLS, fails({ why: "no end after 10000 ms, killed" }))).rejects.toThrow("no end");
});

test("a tool that is not there is an error", async () => {
  const run = (script: Script) =>
    Promise.reject(new CommandError(script, { why: "cannot start", code: "ENOENT" }));
  await expect(probe(TOOLS, run)).rejects.toThrow(/iptables is not in PATH/);
});
