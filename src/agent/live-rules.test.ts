import { expect, test } from "vitest";
import type { Script } from "../backend/backend.ts";
import { readLiveRules } from "./live-rules.ts";

const NFT = {
  nftables: [
    { table: { family: "ip", name: "nat" } },
    {
      chain: {
        family: "ip",
        table: "nat",
        name: "POSTROUTING",
        type: "nat",
        hook: "postrouting",
        prio: 100,
        policy: "accept",
      },
    },
    { rule: { family: "ip", table: "nat", chain: "POSTROUTING", expr: [{ masquerade: null }] } },
  ],
};

/** On stdout, as iptables-nft-save 1.8.9 says it, and on stderr. */
test.each([
  ["# Table `nat' is incompatible, use 'nft' tool.\n", ""],
  ["", "# Table `nat' is incompatible, use 'nft' tool.\n"],
])("a table that iptables cannot show is there, as nft shows it", async (stdout, stderr) => {
  const run = async ({ file, args }: Script) => {
    if (file === "nft") return { exitCode: 0, stdout: JSON.stringify(NFT), stderr: "" };
    return args.includes("--version")
      ? { exitCode: 0, stdout: "iptables-save v1.8.9 (nf_tables)\n", stderr: "" }
      : { exitCode: 0, stdout, stderr };
  };
  const { hooks, warnings } = await readLiveRules(
    run,
    async () => [],
    () => [],
  );
  expect(hooks.map(({ place, chains }) => [place, chains.get("POSTROUTING")?.length])).toEqual([
    ["table ip nat", 1],
  ]);
  expect(warnings.join("\n")).toContain("iptables-nft: not looked at: ");
  expect(warnings.join("\n")).toContain("rules made with nft");
  expect(warnings.join("\n")).not.toContain("no nat table");
});
