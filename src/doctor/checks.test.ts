import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { facts } from "../../test/lab/doctor.ts";
import { CHECKS, countOf, diagnose } from "./checks.ts";

test("every check is described in docs/doctor.md, in the order in which findings are shown", () => {
  const rows = readFileSync("docs/doctor.md", "utf8").matchAll(/^\| `([a-z-]+)` \|/gm);
  expect([...rows].map(([, name]) => name)).toEqual(Object.keys(CHECKS));
});

test("the gravest first, in the checks' order", () => {
  const { settings, sysctls } = facts();
  const findings = diagnose(
    facts({
      settings: { ...settings, toPorts: [{ first: 30_000n, last: 30_001n }] },
      capabilities: { value: 0n },
      sysctls: { ...sysctls, "net.ipv4.ip_forward": { value: "0" } },
    }),
  );
  expect(findings.map(({ severity, check }) => `${severity} ${check}`)).toEqual([
    "error capabilities",
    "error forwarding",
    "warning ports",
    "info invalid",
    "info versions",
    "info versions",
  ]);
  expect(countOf(findings, "error")).toBe(2);
});
