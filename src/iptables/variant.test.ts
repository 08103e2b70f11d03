import { expect, test } from "vitest";
import type { Family } from "../core/cidr.ts";
import { CommandError } from "../system/command-error.ts";
import type { Answer, Script } from "../system/script.ts";
import { chooseVariant } from "./variant.ts";

/** A node where these `TOOL CHAIN` exist and these tools are not installed. */
async function chosen(
  chains: readonly string[],
  tables: Partial<Record<Family, readonly string[]>> = {},
  missing: readonly string[] = [],
) {
  const asked: string[] = [];
  const run = async (script: Script): Promise<Answer> => {
    asked.push(`${script.file} ${script.args.at(-1)}`);
    if (missing.includes(script.file))
      throw new CommandError(script, { why: "cannot start", code: "ENOENT" });
    const there = chains.includes(`${script.file} ${script.args.at(-1)}`);
    return { exitCode: there ? 0 : 1, stdout: "", stderr: "" };
  };
  return { variant: await chooseVariant(run, (family) => tables[family] ?? []), asked };
}

const LEGACY = { IPv4: ["nat", "mangle"], IPv6: ["mangle", ""] };

test.each<[string, readonly string[], Parameters<typeof chosen>[1], string]>([
  ["nothing at all", [], {}, "nft"],
  ["the hint in nft", ["iptables-nft KUBE-IPTABLES-HINT"], LEGACY, "nft"],
  ["the older hint in nft", ["iptables-nft KUBE-KUBELET-CANARY"], LEGACY, "nft"],
  ["the hint of IPv6 in nft", ["ip6tables-nft KUBE-IPTABLES-HINT"], LEGACY, "nft"],
  ["the hint in legacy", ["iptables-legacy KUBE-IPTABLES-HINT"], LEGACY, "legacy"],
  ["the older hint of IPv6 in legacy", ["ip6tables-legacy KUBE-KUBELET-CANARY"], LEGACY, "legacy"],
  [
    "the hint in both",
    ["iptables-nft KUBE-IPTABLES-HINT", "iptables-legacy KUBE-IPTABLES-HINT"],
    LEGACY,
    "nft",
  ],
  ["a legacy table without the hint", [], LEGACY, "nft"],
])("%s", async (_name, chains, tables, expected) => {
  expect((await chosen(chains, tables)).variant).toBe(expected);
});

test("a legacy tool does not read a missing mangle table, since that would create it", async () => {
  const { variant, asked } = await chosen(["iptables-legacy KUBE-IPTABLES-HINT"], {
    IPv4: ["nat", "filter"],
  });
  expect(variant).toBe("nft");
  expect(asked.filter((line) => line.includes("legacy"))).toEqual([]);
  const { asked: some } = await chosen([], { IPv6: ["mangle"] });
  expect(some.filter((line) => line.includes("legacy"))).toEqual([
    "ip6tables-legacy KUBE-IPTABLES-HINT",
    "ip6tables-legacy KUBE-KUBELET-CANARY",
  ]);
});

test("a variant that is not installed holds no chains", async () => {
  const missing = ["iptables-nft", "ip6tables-nft"];
  expect((await chosen(["iptables-legacy KUBE-IPTABLES-HINT"], LEGACY, missing)).variant).toBe("legacy");
});

test("it throws errors that are not failures of a command", async () => {
  const run = () => Promise.reject(new Error("broken"));
  await expect(chooseVariant(run, () => [])).rejects.toThrow("broken");
});
