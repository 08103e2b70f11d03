import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SETTINGS } from "../../test/lab/log.ts";
import { createLogger } from "./log.ts";
import type { LogSettings, LogWorld } from "./types.ts";
import { processWorld } from "./world.ts";

const START = new Date(2026, 0, 2, 3, 4, 5).getTime();
const SEVERITIES = ["info", "warning", "error", "fatal"] as const;

/** A world of text: what was written to stderr, and to which file. */
function fakeWorld() {
  const world = {
    time: START + 678.9,
    stderr: "",
    files: {} as Record<string, string>,
    links: {} as Record<string, string>,
    /** Paths that begin so cannot be opened. */
    missing: "/missing",
    /** Whether writes to files fail. */
    full: false,
  };
  const outside: LogWorld = {
    now: () => world.time,
    pid: 42,
    writeStderr: (text) => {
      world.stderr += text;
    },
    openFile(path, mode) {
      if (path.startsWith(world.missing))
        throw new Error(`ENOENT: no such file or directory, open '${path}'`);
      if (mode === "truncate") world.files[path] = "";
      world.files[path] ??= "";
      return {
        size: world.files[path].length,
        write(text) {
          if (world.full) throw new Error("ENOSPC: no space left on device, write");
          world.files[path] += text;
        },
        close: () => {},
      };
    },
    link: (target, path) => {
      world.links[path] = target;
    },
    place: () => ({ program: "agent", host: "node-1", user: "root", temporary: "/tmp", build: "node v20" }),
  };
  return { world, outside };
}

function logged(settings: Partial<LogSettings>, source = "agent/reconcile.ts") {
  const { world, outside } = fakeWorld();
  return { world, log: createLogger({ ...SETTINGS, ...settings }, source, outside) };
}

/** One line of each severity; the letters of those that went to stderr and to each file. */
function routes(settings: Partial<LogSettings>): { stderr: string; files: Record<string, string> } {
  const { world, log } = logged(settings);
  for (const severity of SEVERITIES) log[severity]("x");
  const letters = (text: string): string => text.replaceAll(/^(.).*\n/gm, "$1");
  const files = Object.entries(world.files).map(([path, text]) => [path, letters(text)]);
  return { stderr: letters(world.stderr), files: Object.fromEntries(files) };
}

describe("klog's lines", () => {
  test("have its header", () => {
    const { world, log } = logged({});
    log.info("ip-masq-agent version: v1");
    world.time = new Date(2026, 10, 22, 13, 14, 15).getTime();
    log.error("bad");
    log.named("cli/run.ts").fatal("worse");
    expect(world.stderr).toMatchInlineSnapshot(`
      "I0102 03:04:05.678900      42 reconcile.ts:0] ip-masq-agent version: v1
      E1122 13:14:15.000000      42 reconcile.ts:0] bad
      F1122 13:14:15.000000      42 run.ts:0] worse
      "
    `);
  });

  test("never print 1,000,000 microseconds", () => {
    const { world, log } = logged({});
    world.time = START + 999.9997;
    log.info("x");
    expect(world.stderr).toContain("05.999999 ");
  });

  test("may name the directory", () => {
    const { world, log } = logged({ addDirectory: true });
    log.warning("x");
    expect(world.stderr).toMatch(/ agent\/reconcile\.ts:0\] x\n$/);
  });

  test("are one for each message, whatever is in it, and end with a newline", () => {
    const { world, log } = logged({ skipHeaders: true });
    log.info("two\nlines");
    log.info("ended\n");
    log.info("");
    expect(world.stderr).toBe("two\\nlines\nended\n\n");
  });
});

test("what a line is about is in JSON alone, and never in the place of a field of the line's own", () => {
  const about = { family: "IPv4", kind: "missing", process: "nft", pid: 7, backend: undefined };
  const json = logged({ format: "json" });
  json.log.with(about).warning("w");
  json.log.with({ family: "IPv6" }).named("x.ts").with(about).error("e");
  json.log.info("after");
  const [warning, error, after] = json.world.stderr.split("\n").map((line) => JSON.parse(line || "{}"));
  const fields = { family: "IPv4", kind: "missing", process: "nft", pid: 7 };
  const ts = json.world.time;
  expect(warning).toEqual({
    ts,
    severity: "WARNING",
    caller: "agent/reconcile.ts:0",
    v: 0,
    msg: "w",
    ...fields,
  });
  expect(error).toEqual({ ts, severity: "ERROR", caller: "x.ts:0", msg: "e", err: "e", ...fields });
  expect(after).toEqual({ ts, severity: "INFO", caller: "agent/reconcile.ts:0", v: 0, msg: "after" });
  const [plain, text] = [logged({}), logged({})];
  plain.log.warning("w");
  text.log.with(about).warning("w");
  expect(text.world.stderr).toBe(plain.world.stderr);
});

test("JSON lines are component-base's, with a severity", () => {
  const { world, log } = logged({ format: "json", skipHeaders: true });
  log.info('say "hi"\n');
  log.info("detail", 4);
  log.warning("odd");
  log.error("bad config", new Error("line 3"));
  log.fatal("no cause");
  const lines = world.stderr.replaceAll(String(world.time), "1767323045678.9");
  expect(lines).toMatchInlineSnapshot(`
    "{"ts":1767323045678.9,"severity":"INFO","caller":"agent/reconcile.ts:0","v":0,"msg":"say \\"hi\\""}
    {"ts":1767323045678.9,"severity":"INFO","caller":"agent/reconcile.ts:0","v":4,"msg":"detail"}
    {"ts":1767323045678.9,"severity":"WARNING","caller":"agent/reconcile.ts:0","v":0,"msg":"odd"}
    {"ts":1767323045678.9,"severity":"ERROR","caller":"agent/reconcile.ts:0","msg":"bad config","err":"line 3"}
    {"ts":1767323045678.9,"severity":"FATAL","caller":"agent/reconcile.ts:0","msg":"no cause","err":"no cause"}
    "
  `);
});

describe("to stderr go", () => {
  const toFiles = { toStderr: false, file: "/log" };
  test.each<[string, Partial<LogSettings>, string]>([
    ["everything by default", {}, "IWEF"],
    ["everything, the threshold ignored", { stderrThreshold: 3 }, "IWEF"],
    ["what reaches the threshold, if it counts", { stderrThreshold: 2, ignoreThreshold: false }, "EF"],
    ["nothing above FATAL", { stderrThreshold: 4, ignoreThreshold: false }, ""],
    ["errors besides the file", toFiles, "EF"],
    ["what reaches the threshold besides the file", { ...toFiles, stderrThreshold: 1 }, "WEF"],
    ["everything with alsologtostderr", { ...toFiles, alsoToStderr: true, stderrThreshold: 3 }, "IWEF"],
    ["what reaches its own threshold", { ...toFiles, alsoToStderr: true, alsoToStderrThreshold: 3 }, "F"],
  ])("%s", (_, settings, letters) => {
    const routed = routes(settings);
    expect(routed.stderr).toBe(letters);
    expect(routed.files).toEqual(settings.toStderr === false ? { "/log": "IWEF" } : {});
  });
});

describe("files", () => {
  const file = (directory: string, tag: string) =>
    `${directory}/agent.node-1.root.log.${tag}.20260102-030405.42`;

  test("one for each severity, with the lines of the higher ones", () => {
    expect(routes({ toStderr: false, directory: "/logs", stderrThreshold: 9 })).toEqual({
      stderr: "",
      files: {
        [file("/logs", "INFO")]: "IWEF",
        [file("/logs", "WARNING")]: "WEF",
        [file("/logs", "ERROR")]: "EF",
        [file("/logs", "FATAL")]: "F",
      },
    });
  });

  test("each line in its own only, with one_output", () => {
    expect(Object.values(routes({ toStderr: false, oneOutput: true }).files)).toEqual(["I", "W", "E", "F"]);
  });

  test("are opened when they are due, lower ones with them, and linked", () => {
    const { world, log } = logged({ toStderr: false, directory: "/logs" });
    expect(world.files).toEqual({});
    log.warning("x");
    expect(world.links).toEqual({
      "/logs/agent.WARNING": "agent.node-1.root.log.WARNING.20260102-030405.42",
      "/logs/agent.INFO": "agent.node-1.root.log.INFO.20260102-030405.42",
    });
  });

  test.each(["", "/missing"])("are in the temporary directory with --log_dir=%j", (directory) => {
    expect(Object.keys(routes({ toStderr: false, directory }).files)).toContain(file("/tmp", "INFO"));
  });

  test("begin with klog's header, but not in JSON", () => {
    const { world, log } = logged({ toStderr: false, file: "/log", skipFileHeaders: false });
    log.info("x");
    expect(world.files["/log"]).toMatchInlineSnapshot(`
      "Log file created at: 2026/01/02 03:04:05
      Running on machine: node-1
      Binary: Built with node v20
      Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg
      I0102 03:04:05.678900      42 reconcile.ts:0] x
      "
    `);
    const json = logged({ toStderr: false, file: "/log", skipFileHeaders: false, format: "json" });
    json.log.info("x");
    expect(json.world.files["/log"]).toMatch(/^\{.*\}\n$/);
  });

  test("start again when a line would fill them: the single file is emptied", () => {
    const { world, log } = logged({ toStderr: false, file: "/log", maxFileBytes: 12, skipHeaders: true });
    world.files["/log"] = "before\n";
    log.info("four");
    expect(world.files["/log"]).toBe("four\n");
    log.info("five");
    expect(world.files["/log"]).toBe("four\nfive\n");
    log.info("é");
    expect(world.files["/log"]).toBe("é\n");
  });

  test("start again in a directory under a new name", () => {
    const { world, log } = logged({
      toStderr: false,
      directory: "/logs",
      maxFileBytes: 9,
      skipHeaders: true,
    });
    log.info("first");
    world.time += 1000;
    log.info("second");
    expect(Object.values(world.files)).toEqual(["first\n", "second\n"]);
    expect(world.links["/logs/agent.INFO"]).toContain("030406");
  });

  test("that cannot be had end the program, the message being on stderr", () => {
    const { world, log } = logged({ toStderr: false, file: "/missing/x.log", skipHeaders: true });
    expect(() => log.info("hello")).toThrow(
      "log: unable to create log: open /missing/x.log: no such file or directory",
    );
    expect(() => log.error("once")).toThrow("unable to create log");
    expect(world.stderr).toBe("hello\nonce\n");
  });

  test("that cannot be had in any directory say so", () => {
    const { world, log } = logged({ toStderr: false, directory: "/logs" });
    world.missing = "/";
    expect(() => log.info("hello")).toThrow(/^log: cannot create log: open \/tmp\/agent\..*: no such file/);
  });

  test("that are full lose nothing and stop nothing", () => {
    const { world, log } = logged({ toStderr: false, file: "/log", skipHeaders: true });
    log.info("one");
    world.full = true;
    log.info("two");
    log.error("three");
    world.full = false;
    log.info("four");
    expect(world.files["/log"]).toBe("one\nfour\n");
    expect(world.stderr).toBe("two\nthree\n");
  });

  test("that are full from the start stop nothing either", () => {
    const { world, log } = logged({
      toStderr: false,
      file: "/log",
      skipFileHeaders: false,
      skipHeaders: true,
    });
    world.full = true;
    log.info("one");
    expect(world.stderr).toBe("one\n");
  });

  test("that cannot be started again are retried", () => {
    const { world, log } = logged({
      toStderr: false,
      directory: "/logs",
      maxFileBytes: 9,
      skipHeaders: true,
    });
    log.info("first");
    world.missing = "/";
    log.info("second");
    expect(world.stderr).toBe("second\n");
    world.missing = "/missing";
    world.time += 1000;
    log.info("third");
    expect(Object.values(world.files)).toEqual(["first\n", "third\n"]);
  });
});

describe("verbosity", () => {
  const modules = [
    { pattern: "loop", level: 1 },
    { pattern: "re*", level: 4 },
    { pattern: "reconcile", level: 9 },
    { pattern: "[!a-c]x?", level: 2 },
    { pattern: "[^a-c]y\\*", level: 2 },
    { pattern: "[z-a]", level: 7 },
    { pattern: "[", level: 7 },
  ];
  test.each([
    ["agent/reconcile.ts", 4],
    ["agent/loop.ts", 3],
    ["core/loops.ts", 3],
    ["dy*.ts", 3],
    ["z", 3],
    ["[", 3],
  ])("of %s is %d", (source, most) => {
    const { log } = logged({ verbosity: 3, modules }, source);
    expect([log.v(most), log.v(most + 1)]).toEqual([true, false]);
  });

  test.each([
    ["dy*.ts", true],
    ["ay*.ts", false],
    ["dyz.ts", false],
    ["re/connect.ts", false],
  ])("%s matched by a glob: %s", (source, matched) => {
    const { log } = logged({ modules }, source);
    expect(log.v(1)).toBe(matched);
  });

  test("is decided for each source", () => {
    const { log } = logged({ modules }, "main.ts");
    expect([log.v(0), log.v(1), log.named("agent/loop.ts").v(1)]).toEqual([true, false, true]);
  });
});

test("on real files: appended to, linked, readable", () => {
  const directory = mkdtempSync(join(tmpdir(), "log-"));
  try {
    const settings = { ...SETTINGS, toStderr: false, stderrThreshold: 9, directory };
    for (const message of ["one", "two"]) {
      createLogger(settings, "main.ts", { ...processWorld(), now: () => START }).error(message);
    }
    expect(readdirSync(directory).filter((name) => !name.includes(".log."))).toEqual([
      "ip-masq-agent.ERROR",
      "ip-masq-agent.INFO",
      "ip-masq-agent.WARNING",
    ]);
    expect(readlinkSync(join(directory, "ip-masq-agent.INFO"))).toMatch(
      /^ip-masq-agent\..*\.20260102-030405\.\d+$/,
    );
    expect(readFileSync(join(directory, "ip-masq-agent.INFO"), "utf8")).toMatch(/^E.* one\nE.* two\n$/);
    const isDirectory = createLogger({ ...settings, file: directory }, "main.ts", {
      ...processWorld(),
      writeStderr: () => {},
    });
    expect(() => isDirectory.info("x")).toThrow(`unable to create log: open ${directory}: is a directory`);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
