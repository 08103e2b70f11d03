import { expect, test } from "vitest";
import { CommandError } from "../system/command-error.ts";
import { findTools, isNotInstalled, type KernelInterface, kernelInterface, type Tools } from "./tools.ts";

/** A machine with these tools, each of a kernel interface. */
const machine =
  (tools: Readonly<Record<string, KernelInterface>>) =>
  async ({ save }: Tools) => {
    const variant = tools[save];
    const script = { file: save, args: [], purpose: "asking", deadlineMs: 1 };
    if (variant === undefined) throw new CommandError(script, { why: "not there", code: "ENOENT" });
    return { variant };
  };

test.each([
  ["by its own name", { "iptables-nft-save": "nf_tables", "iptables-save": "legacy" }, "nft"],
  ["the plain one", { "iptables-save": "nf_tables" }, "path"],
  ["the plain one of the other variant", { "iptables-save": "legacy" }, undefined],
  ["of the other family only", { "ip6tables-nft-save": "nf_tables" }, undefined],
  ["none", {}, undefined],
] as const)("the tools of iptables-nft where there is %s", async (_, tools, mode) => {
  const found = findTools("nft", "IPv4", machine(tools));
  if (mode === undefined) await expect(found).rejects.toSatisfy(isNotInstalled);
  else expect(await found).toMatchObject({ mode });
});

test("a tool that is there and fails is not taken for one that is not installed", async () => {
  const broken = async ({ command: file }: Tools): Promise<{ variant: KernelInterface }> => {
    throw new CommandError({ file, args: [], purpose: "asking", deadlineMs: 1 }, { why: "exit status 4" });
  };
  await expect(findTools("legacy", "IPv6", broken)).rejects.toThrow("exit status 4");
});

test.each([
  ["iptables v1.8.9 (nf_tables)", "nf_tables"],
  ["iptables v1.8.9 (legacy)", "legacy"],
  ["iptables v1.6.2", "legacy"],
])("%s is of %s", (version, expected) => {
  expect(kernelInterface(version)).toBe(expected);
});
