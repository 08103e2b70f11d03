import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { describe, expect, test } from "vitest";
import { createPatientWriter } from "./world.ts";

/** A descriptor that takes `room` bytes at a time, or fails with the code. */
function descriptor(...answers: (number | string)[]) {
  let text = "";
  let sleeps = 0;
  const write = createPatientWriter(
    (bytes, from) => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (typeof answer === "string") throw Object.assign(new Error(answer), { code: answer });
      const taken = bytes.subarray(from, from + (answer ?? 0));
      text += Buffer.from(taken).toString();
      return taken.length;
    },
    () => {
      sleeps++;
    },
  );
  return { write, state: () => ({ text, sleeps }) };
}

describe("the writer of stderr", () => {
  test("writes on where a write was short", () => {
    const { write, state } = descriptor(3, 100);
    write("hello, world\n");
    expect(state()).toEqual({ text: "hello, world\n", sleeps: 0 });
  });

  test("waits for a full pipe", () => {
    const { write, state } = descriptor(3, "EAGAIN", "EAGAIN", 100);
    write("hello\n");
    expect(state()).toEqual({ text: "hello\n", sleeps: 2 });
  });

  test("waits in vain once, not for every line", () => {
    const { write, state } = descriptor("EAGAIN");
    write("one\n");
    const { sleeps } = state();
    write("two\n");
    write("three\n");
    expect(sleeps).toBe(100);
    expect(state()).toEqual({ text: "", sleeps });
  });

  test("waits again after the pipe has flowed", () => {
    const { write, state } = descriptor(...Array<string>(101).fill("EAGAIN"), 100, "EAGAIN", 100);
    write("lost\n");
    write("one\n");
    write("two\n");
    expect(state()).toEqual({ text: "one\ntwo\n", sleeps: 101 });
  });

  test.each(["EPIPE", "EBADF", "EIO"])("drops a line at %s", (code) => {
    const { write, state } = descriptor(code, 100);
    write("one\n");
    write("two\n");
    expect(state()).toEqual({ text: "two\n", sleeps: 0 });
  });
});

test("a process whose stderr has no reader lives on", () => {
  const bundled = buildSync({
    stdin: {
      contents: `import { processWorld } from "./world.ts";
        for (let i = 0; i < 3; i++) processWorld().writeStderr("line\\n");
        console.log("alive");`,
      resolveDir: import.meta.dirname,
      loader: "ts",
    },
    bundle: true,
    write: false,
    platform: "node",
  }).outputFiles[0]?.text;
  // The reader of the pipe ends at once; the writer waits until a write fails since it has.
  const gone = "trap '' PIPE; while echo x >&2; do :; done";
  const script = `exec 3>&1; { ${gone}; node -e "$1" 1>&3; } 2>&1 >/dev/null | true`;
  const shell = spawnSync("sh", ["-c", script, "sh", bundled ?? ""], {
    cwd: join(import.meta.dirname, "../.."),
  });
  expect(shell.stdout.toString()).toBe("alive\n");
});
