import { expect, test } from "vitest";
import type { Script } from "../system/script.ts";
import { readRules } from "./rules.ts";

interface Rules {
  readonly nftables: { readonly leftOut: unknown; readonly nftables: unknown };
  readonly "iptables-nft-save": unknown;
}

/** The rules of a node with these tables, and the command lines that asked for them. */
async function readNode(sizes: Readonly<Record<string, number>>, answer: (line: string) => string) {
  const asked: string[] = [];
  const read = (await readRules({
    clock: { now: () => 0, sleep: () => new Promise(() => {}) },
    signal: new AbortController().signal,
    measure: async () => new Map(Object.entries(sizes)),
    run: async ({ file, args }: Script) => {
      const line = [file, ...args].join(" ");
      asked.push(line);
      return {
        exitCode: 0,
        stdout: line.endsWith("--version") ? "v1.8.9 (nf_tables)" : answer(line),
        stderr: "",
      };
    },
  })) as Rules;
  return { read, asked };
}

const empty = () => '{"nftables": []}';

test("nft is not asked for names that it would take for commands", async () => {
  const hostile = [
    "inet x; flush ruleset",
    "ip a b",
    'ip "q',
    "ip -f",
    "ip x\nflush ruleset",
    "ip $(id)",
    "ip ",
    "ip é",
  ];
  const { read, asked } = await readNode(
    Object.fromEntries([...hostile, "ip good"].map((name) => [name, 1])),
    empty,
  );
  expect(asked.filter((line) => line.startsWith("nft "))).toEqual(["nft -j list table ip good"]);
  expect(read.nftables.leftOut).toEqual(hostile);
});

test("a table with many rules is named and not listed, by no tool", async () => {
  const { read, asked } = await readNode({ "ip nat": 20_000, "ip6 nat": 3, "inet b": 5_001 }, empty);
  expect(asked.sort()).toEqual([
    "ip6tables-nft-save --version",
    "ip6tables-nft-save -t nat",
    "ipset save",
    "iptables-nft-save --version",
    "nft -j list table ip6 nat",
  ]);
  expect(read.nftables.leftOut).toEqual(["ip nat", "inet b"]);
  expect(read["iptables-nft-save"]).toEqual({
    nat: { unknown: "iptables-nft-save -t nat", why: "it has 20000 rules" },
  });
});

test("large sets are listed without their elements", async () => {
  const { read, asked } = await readNode({ "inet wide": 1 }, (line) =>
    line.includes(" -t ")
      ? '{"nftables": [{"set": {"name": "many"}}]}'
      : `{"nftables": ["${"x".repeat(9e6)}"]}`,
  );
  expect(asked.filter((line) => line.startsWith("nft "))).toEqual([
    "nft -j list table inet wide",
    "nft -j -t list table inet wide",
  ]);
  expect(read.nftables.nftables).toEqual([{ set: { name: "many" } }]);
});

test("no more tables are listed than anybody reads", async () => {
  const names = Array.from({ length: 1_000 }, (_, i) => `ip t${i}`);
  const { read, asked } = await readNode(Object.fromEntries(names.map((name) => [name, 1])), empty);
  expect(asked.filter((line) => line.startsWith("nft "))).toHaveLength(40);
  expect(read.nftables.leftOut).toHaveLength(960);
});
