import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { SourceError } from "../agent/config/file.ts";
import { readAll } from "./io.ts";

const never = new AbortController().signal;

test("everything up to the end", async () => {
  const bytes = await readAll(Readable.from([Buffer.from("a\n"), Buffer.from([0xff])]), never);
  expect([...bytes]).toEqual([0x61, 0x0a, 0xff]);
});

test("no more than a configuration can have", async () => {
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024 * 1024);
    })(),
  );
  await expect(readAll(endless, never)).rejects.toThrow(
    new SourceError("standard input", new Error("larger than 16 MiB: not a configuration")),
  );
});

test("a stream that fails", async () => {
  const failing = new Readable({
    read() {
      this.destroy(new Error("is a directory"));
    },
  });
  await expect(readAll(failing, never)).rejects.toThrow("standard input: is a directory");
});

test("waiting ends with the signal", async () => {
  const controller = new AbortController();
  const reading = readAll(new Readable({ read() {} }), controller.signal);
  controller.abort(new Error("told to end"));
  await expect(reading).rejects.toThrow("told to end");
});

test("a device without an end, named as the file that it is", async () => {
  const limits = { name: "/dev/zero", bytes: 1024 * 1024, what: "dump" };
  await expect(readAll(createReadStream("/dev/zero"), never, limits)).rejects.toThrow(
    "/dev/zero: larger than 1 MiB: not a dump",
  );
});
