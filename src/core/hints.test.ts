import { expect, test } from "vitest";
import { hintFor } from "./hints.ts";
import type { ProblemCode } from "./problem.ts";

function hint(code: ProblemCode, more: { key?: string; text?: string }): string {
  return hintFor({ code, path: "f", message: "", ...more }) ?? "-";
}

test.each([
  ["10.1.0.0/8", "10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?"],
  ["fd00::1/64", "fd00::1/64 has host bits: did you mean fd00::/64?"],
  ["10.0.0.1", "did you mean 10.0.0.1/32?"],
  ["fd00::1", "did you mean fd00::1/128?"],
  [" 10.0.0.0/8", "did you mean 10.0.0.0/8?"],
  ["10/8", "did you mean 10.0.0.0/8?"],
  ["172.16/12", "did you mean 172.16.0.0/12?"],
  ["172.16.1/12", "did you mean 172.16.0.0/12?"],
  ["10.0.0.0/255.0.0.0", "did you mean 10.0.0.0/8?"],
  ["10.0.0.0/255.255.255.255", "did you mean 10.0.0.0/32?"],
  ["10.0.0.0/255.0.255.0", "-"],
  ["010.00.0.0/8", "did you mean 10.0.0.0/8?"],
  ["10.0.0.0/8, 11.0.0.0/8", "write each CIDR as an entry of its own"],
  ["10.0.0.0/33", "-"],
  ["example.org", "-"],
  ["", "-"],
  ["10.0.0.0/8", "-"],
])("CIDR %j", (text, expected) => {
  expect(hint("cidr", { text })).toBe(expected);
});

test.each([
  ["nonMasqueradeCIDR", "did you mean nonMasqueradeCIDRs?"],
  ["nonMasquerade", "did you mean nonMasqueradeCIDRs?"],
  ["masqueradeCIDR", "did you mean masqueradeCIDRs?"],
  ["masqLinkLocalIpv4", "did you mean masqLinkLocalIPv6?"],
  ["resyncinterval ", "did you mean resyncInterval?"],
  ["cidr_limit", "did you mean cidrLimit?"],
  ["apiVersion", "-"],
  ["x".repeat(100_000), "-"],
])("unknown key %.20s", (key, expected) => {
  expect(hint("unknown-key", { key })).toBe(expected);
});

test("what is nearly a number of seconds", () => {
  expect(hint("duration", { text: "60" })).toBe('did you mean "60s"?');
  expect(hint("duration", { text: "1 minute" })).toContain("with a unit");
});
