/**
 * What runs in a network namespace of its own, for nftables.test.ts: Node cannot enter one itself. Takes a line of
 * JSON with a request on stdin and answers with one; ends with its stdin, and the namespace with it.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { encodeBatch } from "../../../src/netlink/encode.ts";
import { NftablesError } from "../../../src/netlink/errors.ts";
import { type Commit, listenToCommits } from "../../../src/netlink/events.ts";
import type * as values from "../../../src/netlink/operations.ts";
import * as query from "../../../src/netlink/query.ts";
import { type Nftables, openNftables } from "../../../src/netlink/socket/transport.ts";
import { splitBatches } from "../../../src/netlink/split.ts";

/** Everything that the kernel says of a table. */
export interface Listing {
  readonly table: values.ObservedTable;
  readonly chains: readonly values.ObservedChain[];
  readonly sets: readonly {
    readonly set: values.ObservedSet;
    readonly elements: readonly values.ElementInterval[];
  }[];
  readonly rules: readonly values.ObservedRule[];
}

/** What can be asked of a runner, by name: arguments and answer. */
export interface Calls {
  /** Opens the socket; tells how large a batch may be. */
  open: [argument: { readonly bufferBytes?: number }, answer: number];
  /** Applies batches one after another; tells how long each took, in milliseconds. */
  batches: [argument: readonly (readonly values.Operation[])[], answer: number[]];
  split: [argument: readonly values.Operation[], answer: (readonly values.Operation[])[]];
  list: [argument: values.TableName, answer: Listing];
  generation: [argument: null, answer: number];
  /** The images of a chain's rules, read until two readings agree (see src/iptables/netlink-view.ts); none if there is no such chain. */
  images: [argument: values.ChainName, answer: string[]];
  /** How long packing takes, in milliseconds. */
  encode: [argument: readonly values.Operation[], answer: number];
  /** Runs `nft` with these arguments and this input. */
  nft: [argument: { readonly args: readonly string[]; readonly stdin: string }, answer: string];
  /**
   * Listens to commits and keeps nothing but the events, collects garbage, runs `nft` with this input, and answers
   * with the name of the process of the first commit that is heard, or undefined after a minute.
   */
  heard: [argument: string, answer: string | undefined];
  /** The most memory that the process has had, in megabytes. */
  peakMb: [argument: null, answer: number];
}

export interface Reply {
  readonly value?: unknown;
  readonly error?: {
    readonly name: string;
    readonly message: string;
    readonly code?: string;
    readonly op?: string;
  };
}

/** JSON has no big integers: they are texts that end in n, as nothing else here does. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `${each}n` : each));
}

export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, each) =>
    typeof each === "string" && /^-?\d+n$/.test(each) ? BigInt(each.slice(0, -1)) : each,
  );
}

let opened: Nftables | undefined;

async function connection(): Promise<Nftables> {
  opened ??= await openNftables();
  return opened;
}

const CALLS: { [K in keyof Calls]: (argument: Calls[K][0]) => Promise<Calls[K][1]> } = {
  async open(options) {
    opened = await openNftables(options);
    return opened.maxBatchBytes;
  },
  async batches(batches) {
    const nft = await connection();
    const times: number[] = [];
    for (const batch of batches) {
      const startedAt = performance.now();
      await nft.batch(batch);
      times.push(performance.now() - startedAt);
    }
    return times;
  },
  split: async (operations) => splitBatches(operations, (await connection()).maxBatchBytes),
  async list(name) {
    const nft = await connection();
    const table = await nft.read(query.table(name));
    const chains = await nft.read(query.chains(name));
    const sets = [];
    // The kernel's count of elements is not part of what was asked for, and absent before Linux 6.16.
    for (const { count: _, ...set } of await nft.read(query.sets(name))) {
      const key = set.key as values.SetKey;
      sets.push({ set, elements: await nft.read(query.elements({ ...name, set: set.set, key })) });
    }
    const rules = [];
    for (const { chain } of chains) rules.push(...(await nft.read(query.rules({ ...name, chain }))));
    return { table, chains, sets, rules };
  },
  generation: async () => (await connection()).generation(),
  async images(chain) {
    const nft = await connection();
    const read = async () => (await nft.read(query.ruleImages(chain))).map((image) => JSON.stringify(image));
    for (let before = await read(); ; ) {
      const images = await read();
      if (images.join() === before.join()) return images;
      before = images;
    }
  },
  async encode(operations) {
    const startedAt = performance.now();
    encodeBatch(operations, 1);
    return performance.now() - startedAt;
  },
  nft: ({ args, stdin }) =>
    new Promise((resolve, reject) => {
      const child = execFile("nft", args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(stderr)),
      );
      child.stdin?.on("error", () => {});
      child.stdin?.end(stdin);
    }),
  async heard(stdin) {
    const commits: string[] = [];
    const events = {
      commit: ({ process }: Commit) => void commits.push(process),
      missed() {},
      lost(error: unknown) {
        throw error;
      },
    };
    await listenToCommits({ family: "inet", table: "x" }, events);
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let i = 0; i < 5; i++) {
      collect();
      await setTimeout(10);
    }
    await CALLS.nft({ args: ["-f", "-"], stdin });
    for (let left = 6_000; left > 0 && commits.length === 0; left--) await setTimeout(10);
    return commits[0];
  },
  async peakMb() {
    const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    return Number(kilobytes) / 1024;
  },
};

async function answer(line: string): Promise<Reply> {
  const { call, argument } = fromJson(line) as { call: keyof Calls; argument: never };
  try {
    return { value: await CALLS[call](argument) };
  } catch (error) {
    if (error instanceof NftablesError) {
      const { name, message, code, operation } = error;
      return { error: { name, message, code, ...(operation === undefined ? {} : { op: operation.op }) } };
    }
    if (error instanceof Error) return { error: { name: error.name, message: error.message } };
    throw error;
  }
}

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${toJson(await answer(line))}\n`);
  }
  process.exit();
}

// The tests import this file's types and helpers; it serves only as a process of its own.
if (process.argv[2] === "serve")
  main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exit(1);
  });
