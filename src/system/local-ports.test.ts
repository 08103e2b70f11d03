import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { formatRange } from "../core/ports.ts";
import { readLocalPorts } from "./local-ports.ts";

/** A proc with these settings. */
function proc(range: string, reserved: string): string {
  const root = mkdtempSync(join(tmpdir(), "proc-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const directory = join(root, "sys/net/ipv4");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "ip_local_port_range"), range);
  writeFileSync(join(directory, "ip_local_reserved_ports"), reserved);
  return root;
}

test.each([
  ["32768\t60999\n", "\n", "32768-60999"],
  ["1024 65535", "", "1024-29999,32768-65535"],
  ["32768 60999", "40000", "32768-39999,40001-60999"],
  ["32768 60999", "32768,60999,50000-50009", "32769-49999,50010-60998"],
  ["32768 60999", "1-40000,39000-45000", "45001-60999"],
  ["29999 32768", "", "29999,32768"],
  ["50000 50000", "", "50000"],
  ["1 1023", "", "1-1023"],
])("%j without %j is %s", (range, reserved, expected) => {
  const ports = readLocalPorts(proc(range, reserved));
  expect(ports.ok && ports.ranges.map(formatRange).join()).toBe(expected);
});

test.each([
  ["30000 32767", "", /range \(30000-32767\) has no port left without .* \(none\) and 30000-32767/],
  ["40000 40009", "40000-40009", /\(40000-40009\) has no port left .*\(40000-40009\)/],
  ["", "", /has no port left/],
])("%j without %j is none", (range, reserved, message) => {
  expect(readLocalPorts(proc(range, reserved))).toEqual({
    ok: false,
    message: expect.stringMatching(message),
  });
});

test("what cannot be read is said by its name", () => {
  expect(readLocalPorts("/nowhere")).toEqual({
    ok: false,
    message: expect.stringMatching(/cannot be read: .*ip_local_port_range/),
  });
});
