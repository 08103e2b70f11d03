/**
 * Commands that root runs beside processes that call themselves ip-masq-agent: those of other users are not believed, and nothing is
 * opened by links that lead out of a container.
 */
import { chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";

/** What only root may read. */
const SECRET = "root:$6$secret:19000:0:99999:7:::";

/** Says that it is an agent in force, to whom asks. */
const FAKE = `
const { createServer } = require("node:http");
createServer((_, response) => response.end(process.env.ANSWER)).listen(10279, "127.0.0.1").on("error", () => {});
setTimeout(() => {}, 600000);
`;

const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
/** As a process of its own root and mounts: `chroot DIR` in Python, which then waits for its input to end. */
const CONTAINED = [
  "python3",
  "-c",
  "import os, sys, time; os.chroot(sys.argv[1]); os.chdir('/app'); time.sleep(600)",
];

const run = (lab: Lab, ...args: readonly string[]) => lab.program(args);

/** A file that only root may read. */
function secretIn({ directory }: Lab): string {
  const path = join(directory, "secret");
  writeFileSync(path, `${SECRET}\n`, { mode: 0o600 });
  return path;
}

/** Every command that takes flags from an agent, or asks it. */
const COMMANDS = ["status", "doctor", "diff", "explain 8.8.8.8", "explain --live 8.8.8.8", "render"];

describeKernel("a process that calls itself ip-masq-agent", () => {
  labTest("is not believed if it is another user's, however it is started", async ({ lab }) => {
    const secret = secretIn(lab);
    const bundle = join(lab.directory, "ip-masq-agent.cjs");
    writeFileSync(bundle, FAKE);
    // A setuid program keeps the name that its user gives it.
    const setuid = join(lab.directory, "ip-masq-agent");
    copyFileSync("/bin/sleep", setuid);
    chmodSync(setuid, 0o4755);
    const node = process.execPath;
    const flags = `--config=${secret} --masq-chain=EVIL --enable-ipv6`;
    const fakes: readonly (readonly string[])[] = [
      [node, bundle, "run", ...flags.split(" ")],
      ["bash", "-c", `exec '${setuid}' 600`],
      ["unshare", "-Ur", node, bundle, ...flags.split(" ")],
    ];
    for (const fake of fakes) {
      // The lab starts any command line as an agent.
      const agent = lab.startAgent({ wrapper: [...NOBODY, ...fake, "#"], env: { ANSWER: "{}" } });
      await eventually(async () =>
        expect((await run(lab, "diff")).stderr).toContain(`pid ${agent.pid} of user 65534`),
      );
      for (const line of COMMANDS) {
        const { stdout, stderr } = await run(lab, ...line.split(" "));
        expect([line, fake, stdout + stderr]).not.toEqual([line, fake, expect.stringMatching(/secret|EVIL/)]);
      }
      const cleanup = await run(lab, "cleanup", "--dry-run");
      expect(cleanup).toMatchObject({ code: 0, stdout: "this node has nothing of the agent\n" });
      await agent.end("SIGKILL");
    }
  });

  labTest("is not asked for its status if another user listens there", async ({ lab }) => {
    const agent = lab.startAgent();
    const answer = await eventually(async () => {
      const { code, stdout } = await run(lab, "status", "-o=json");
      expect(code).toBe(0);
      return stdout;
    });
    await agent.end();
    const bundle = join(lab.directory, "fake.cjs");
    writeFileSync(bundle, FAKE);
    // The same answer of root's is believed: it is the user that decides.
    for (const [wrapper, expected] of [
      [[], { code: 0, stderr: "" }],
      [
        NOBODY,
        {
          code: 1,
          stdout: "",
          stderr: expect.stringContaining("user 65534 listens there, neither root nor"),
        },
      ],
    ] as const) {
      const fake = lab.startAgent({
        wrapper: [...wrapper, process.execPath, bundle],
        env: { ANSWER: answer },
      });
      await eventually(async () =>
        expect((await run(lab, "status")).stderr).not.toContain("nothing listens"),
      );
      expect(await run(lab, "status")).toMatchObject(expected);
      expect(await run(lab, "status", "--http-address=localhost:10279")).toMatchObject(expected);
      await fake.end("SIGKILL");
    }
  });

  labTest("has its configuration read among its own files, wherever links lead", async ({ lab }) => {
    const secret = secretIn(lab);
    const root = join(lab.directory, "root");
    const at = join(root, "app/config");
    mkdirSync(join(root, "app/..1"), { recursive: true });
    writeFileSync(join(root, "app/..1/config"), "nonMasqueradeCIDRs: [10.7.0.0/16]\n");
    symlinkSync("..1", join(root, "app/..data"));
    const { pid } = lab.startAgent({ wrapper: [...CONTAINED, root] });
    await eventually(() =>
      // It is there last.
      expect(lab.inNode("test", ["-e", `/proc/${pid}/cwd/..data`])).resolves.toMatchObject({ code: 0 }),
    );
    const read = async (path: string) => {
      const { stdout, stderr } = await run(lab, "explain", "--no-adopt", `--config=${path}`, "10.7.0.1");
      const said = stdout + stderr;
      expect(said).not.toContain("secret:");
      if (said.includes("10.7.0.0/16")) return "its own";
      return said.includes("no such file")
        ? "none"
        : said.replaceAll(/\/proc\/\d+\/root|\/proc\/\d+\/cwd/g, "ROOT").trim();
    };
    const cases: Readonly<Record<string, string>> = {
      "..data/config": "its own",
      "/app/..data/config": "its own",
      "../../../app/..data/../..1/config": "its own",
      "/proc/self/root/app/..data/config": "none",
      [secret]: "none",
      [`../../../../../../../..${secret}`]: "none",
      [`/proc/1/root${secret}`]: "none",
    };
    const found: Record<string, readonly string[]> = {};
    for (const target of Object.keys(cases)) {
      rmSync(at, { force: true });
      symlinkSync(target, at);
      found[target] = [await read(`/proc/${pid}/root/app/config`), await read(`/proc/${pid}/cwd/config`)];
    }
    expect(found).toEqual(
      Object.fromEntries(Object.entries(cases).map(([target, what]) => [target, [what, what]])),
    );
  });
});
