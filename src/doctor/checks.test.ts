import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { facts } from "../../test/lab/doctor.ts";
import { CHECKS, countOf, diagnose, hasAtLeast } from "./checks.ts";
import type { Finding } from "./finding.ts";

const names = CHECKS.map(({ name }) => name);

test("each check is a file with its name, and each file is in the table", () => {
  const files = readdirSync("src/doctor/checks", { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
    .map((path) => path.replace(/^.*\/|\.ts$/g, ""));
  expect([...names].sort()).toEqual(files.sort());
});

const { settings, sysctls } = facts();
const sick = facts({
  settings: { ...settings, toPorts: [{ first: 30_000n, last: 30_001n }] },
  capabilities: { value: 0n },
  sysctls: { ...sysctls, "net.ipv4.ip_forward": { value: "0" } },
});

function heads(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ severity, check }) => `${severity} ${check}`);
}

test("the gravest first, in the checks' order", () => {
  const findings = diagnose(sick);
  expect(heads(findings)).toEqual([
    "error capabilities",
    "error forwarding",
    "warning ports",
    "info invalid",
    "info versions",
    "info versions",
  ]);
  expect(countOf(findings, "error")).toBe(2);
});

test("checks that are ignored say nothing, and all others do", () => {
  for (const name of names)
    expect(heads(diagnose(sick, [name]))).toEqual(
      heads(diagnose(sick)).filter((head) => !head.endsWith(` ${name}`)),
    );
});

test("a severity includes those that are graver", () => {
  const has = (findings: readonly Finding[]) =>
    (["error", "warning", "info"] as const).map((severity) => hasAtLeast(findings, severity));
  const finding = (severity: Finding["severity"]) => ({ check: "x", severity, message: "" });
  expect(has([])).toEqual([false, false, false]);
  expect(has([finding("info")])).toEqual([false, false, true]);
  expect(has([finding("info"), finding("warning")])).toEqual([false, true, true]);
  expect(has([finding("error")])).toEqual([true, true, true]);
});
