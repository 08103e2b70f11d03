import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig } from "../../../src/agent/config/file.ts";

const directory = mkdtempSync(join(tmpdir(), "container-path-"));
afterAll(() => rmSync(directory, { recursive: true }));
mkdirSync(join(directory, "..2026_1"));
writeFileSync(join(directory, "..2026_1/ip-masq-agent"), "text");
symlinkSync("..2026_1", join(directory, "..data"));
symlinkSync("..data/ip-masq-agent", join(directory, "ip-masq-agent"));
symlinkSync("loop", join(directory, "loop"));
symlinkSync(join(directory, "ip-masq-agent"), join(directory, "absolute"));
symlinkSync("/dev/null", join(directory, "device"));
// `readConfig` gives names that start like this.
const ROOT = `/proc/${process.pid}/root`;
const CWD = `/proc/${process.pid}/cwd`;

function read(path: string): string {
  try {
    const { kind, files } = readConfig(path, true);
    return [kind, ...files.map(({ bytes }) => Buffer.from(bytes).toString())].join(" ");
  } catch (error) {
    return (error as Error).message.replace(path, "PATH");
  }
}

test.each([
  [`${ROOT}${directory}/ip-masq-agent`, "file text"],
  [`${ROOT}${directory}`, "directory text"],
  [`${ROOT}${directory}/absolute`, "file text"],
  [`${ROOT}/../..${directory}/../../../../../..${directory}/absolute`, "file text"],
  [`${CWD}/../../../../../../../../${directory}/absolute`, "file text"],
  [`${ROOT}${directory}/none`, "file"],
  [`${ROOT}${directory}/loop`, "open PATH: too many symbolic links encountered (ELOOP)"],
  [`${ROOT}${directory}/ip-masq-agent/x`, "open PATH: not a directory (ENOTDIR)"],
  [`${ROOT}${directory}/device`, "PATH: is neither a file nor a directory"],
  // The largest number that a pid can have.
  ["/proc/4194304/root/etc/hostname", "PATH: the process has ended"],
])("%s", (path, expected) => {
  const open = readdirSync("/proc/self/fd").length;
  expect(read(path)).toBe(expected);
  expect(readdirSync("/proc/self/fd")).toHaveLength(open);
});

test("a directory that is only named like a process' is none", () => {
  mkdirSync(join(directory, "12"));
  symlinkSync(directory, join(directory, "12/root"));
  expect(read(join(directory, "12/root/ip-masq-agent"))).toBe("file text");
});
