import { describe, expect, test } from "vitest";
import { missingCapabilities, parseEffective, renderNeed } from "./capabilities.ts";

const ALL = 0x1ffffffffffn;
const ADMIN = 1n << 12n;
const RAW = 1n << 13n;

test("the effective set, out of all that the kernel says of a process", () => {
  const status =
    "Name:\tnode\nCapInh:\t0000000000000000\nCapEff:\t0000000000003000\nCapBnd:\t000001ffffffffff\n";
  expect(parseEffective(status)).toBe(ADMIN | RAW);
  expect(parseEffective("Name:\tnode\n")).toBeUndefined();
});

test.each([
  [0n, ["NET_ADMIN", "NET_RAW"]],
  [ALL & ~ADMIN, ["NET_ADMIN"]],
  [ALL & ~RAW, ["NET_RAW"]],
  [ADMIN | RAW, []],
])("of %i these are missing: %j", (effective, missing) => {
  expect(missingCapabilities(effective)).toEqual(missing);
});

describe("what is said names what is missing alone", () => {
  const add = "in Kubernetes, securityContext.capabilities.add";
  test.each([
    ["nobody", false, 0n, `this needs root, or the capabilities NET_ADMIN and NET_RAW: ${add}`],
    ["not root, with one", false, ADMIN, `this needs root, or the capability NET_RAW: ${add}`],
    ["root without", true, 0n, `this needs the capabilities NET_ADMIN and NET_RAW: ${add}`],
    ["root without NET_ADMIN", true, RAW, `this needs the capability NET_ADMIN: ${add}`],
    ["root without NET_RAW", true, ADMIN, `this needs the capability NET_RAW: ${add}`],
    [
      "tools that inherit nothing",
      false,
      ALL,
      `this needs root, or the capabilities NET_ADMIN and NET_RAW: ${add}`,
    ],
    [
      "all of it",
      true,
      ALL,
      "this process is root and has NET_ADMIN and NET_RAW: a user namespace, a seccomp profile, a security module or another process' nftables table (flag owner) forbids it",
    ],
    ["not known", false, undefined, `this needs root, or the capabilities NET_ADMIN and NET_RAW: ${add}`],
  ])("%s", (_, root, effective, text) => {
    expect(renderNeed({ root, effective })).toBe(text);
  });
});

test.each([
  [true, ADMIN, undefined, "this process is root and has NET_ADMIN: a user namespace, "],
  [true, RAW, undefined, "this needs the capability NET_ADMIN: "],
  [false, ALL, ADMIN, "this process' tools have NET_ADMIN: a user namespace, "],
  [false, ALL, 0n, "this needs root, or the capability NET_ADMIN: "],
])("a tool that speaks netlink needs no more: root %s, %i, tools %i", (root, effective, ambient, text) => {
  expect(renderNeed({ root, effective, ambient }, ["NET_ADMIN"])).toContain(text);
});
