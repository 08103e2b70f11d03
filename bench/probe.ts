/**
 * Changes and watches the rules within a node. The kernel sends an event for each commit, and only then the probe reads over netlink,
 * in some hundred microseconds, whether the rules are right again.
 */
import { EventEmitter, once } from "node:events";
import { jumpComment } from "../src/iptables/plan.ts";
import { NftablesError } from "../src/netlink/errors.ts";
import { listenToCommits } from "../src/netlink/events.ts";
import { ruleImages, rules } from "../src/netlink/query.ts";
import { type Nftables, openNftables } from "../src/netlink/socket/transport.ts";
import { CHAIN as RULES, TABLE } from "../src/nftables/sets.ts";
import { readWholeTable } from "../src/nftables/table-reader.ts";
import { command } from "../test/lab/command.ts";
import { CHAIN } from "../test/lab/network/iptables.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { serveTask } from "./task.ts";

export type BackendName = "iptables" | "nftables";

/** Put a text into the configuration, or change the rules as other programs do. The answer: milliseconds until the rules were right. */
export type Request =
  | { readonly do: "learn"; readonly text: string }
  | { readonly do: "swap"; readonly text: string }
  | { readonly do: "drift"; readonly kind: string };

/** After so long without a commit the agent has finished. */
const CALM_MS = 500;
const DEADLINE_MS = 30_000;
const OURS = `${TABLE.family} ${TABLE.table}`;
const never = new AbortController().signal;

/** Changes by other programs, each in one commit. */
const DRIFTS: Readonly<
  Record<BackendName, Readonly<Record<string, (nftables: Nftables) => Promise<unknown>>>>
> = {
  iptables: {
    "flush our chain": () => iptables("-F", CHAIN),
    "delete the jump": () => iptables("-D", "POSTROUTING", "1"),
    "delete one rule": () => iptables("-D", CHAIN, "2"),
    "nft delete table ip nat": () => nft("delete table ip nat"),
    "nft flush ruleset": () => nft("flush ruleset"),
  },
  nftables: {
    "flush our chain": () => nft(`flush chain ${OURS} postrouting`),
    "delete one rule": async (nftables) =>
      nft(`delete rule ${OURS} postrouting handle ${await firstHandle(nftables)}`),
    "nft delete table": () => nft(`delete table ${OURS}`),
    "nft flush ruleset": () => nft("flush ruleset"),
    // The tool closes its socket, and the kernel accepts no other commit until it has cleaned up after it: some 9 ms. A
    // program that keeps its socket, such as an agent, does not cost that time.
    "delete one rule, socket kept": async (nftables) =>
      nftables.batch([{ op: "delete rule", ...RULES, handle: await firstHandle(nftables) }]),
    "delete table, socket kept": (nftables) => nftables.batch([{ op: "delete table", ...TABLE }]),
  },
};

/** The changes for a backend, by name. */
export function driftKinds(backend: BackendName): readonly string[] {
  return Object.keys(DRIFTS[backend]);
}

/** The rules as one text, which is equal if they are. For IPv4: an agent with default options programs no other family. */
const SNAPSHOT: Readonly<Record<BackendName, (nftables: Nftables) => Promise<string>>> = {
  async iptables(nftables) {
    const nat = { family: "ip", table: "nat" } as const;
    const own = await nftables.read(ruleImages({ ...nat, chain: CHAIN }));
    const all = await nftables.read(ruleImages({ ...nat, chain: "POSTROUTING" }));
    return [...own, ...all.filter((image) => image.includes(jumpComment(CHAIN)))].join("\n");
  },
  async nftables(nftables) {
    const { table, chains, sets, rules } = await readWholeTable(nftables, never);
    const of = sets.map((one) => canonical(one)).toSorted();
    return table === undefined ? "" : canonical({ dormant: table.dormant, chains, sets: of, rules });
  },
};

/** Without parts that differ each time: handles, counters, and which of its two names a set has. */
function canonical(found: unknown): string {
  const ignored = ["handle", "packets", "bytes", "count"];
  return JSON.stringify(found, (key, value) =>
    ignored.includes(key) ? undefined : typeof value === "bigint" ? String(value) : value,
  ).replace(/keep-(ipv\d)-next/g, "keep-$1");
}

/** Serves one agent, whose configuration is a volume that is made here. */
export async function probe(backend: string = "", directory: string = ""): Promise<void> {
  const [volume, nftables, commits] = [createVolume(directory), await openNftables(), await hearCommits()];
  const snapshot = () => steadily(() => SNAPSHOT[backend as BackendName](nftables));
  const learned = new Map<string, string>();
  let right = "";

  /** Waits until the rules are right; returns the time of the commit that made them so. */
  const healed = async (since: number): Promise<number> => {
    const deadline = performance.now() + DEADLINE_MS;
    for (let from = since; performance.now() < deadline; ) {
      const at = await commits.after(from, DEADLINE_MS);
      if (at > from && (await snapshot()) === right) return at;
      from = at;
    }
    throw new Error(`not right within ${DEADLINE_MS} ms`);
  };

  /** Waits for rules that are none of those that were learned; returns them. */
  const settled = async (): Promise<string> => {
    for (const deadline = performance.now() + DEADLINE_MS; performance.now() < deadline; ) {
      await commits.calm();
      const found = await snapshot();
      if (found !== "" && ![...learned.values()].includes(found)) return found;
    }
    throw new Error(`no new rules within ${DEADLINE_MS} ms`);
  };

  await serveTask<Request>(async (request) => {
    const startedAt = performance.now();
    switch (request.do) {
      case "learn":
        volume.write(request.text);
        learned.set(request.text, await settled());
        return performance.now() - startedAt;
      case "swap":
        right = learned.get(request.text) ?? "";
        volume.write(request.text);
        return (await healed(startedAt)) - startedAt;
      case "drift": {
        right = await snapshot();
        const drifting = DRIFTS[backend as BackendName][request.kind]?.(nftables);
        // The first commit is theirs.
        const [drifted] = await Promise.all([commits.after(startedAt, DEADLINE_MS), drifting]);
        return (await healed(drifted)) - drifted;
      }
    }
  });
}

/** Hears of commits until the process ends. */
async function hearCommits() {
  const events = new EventEmitter();
  let newest = performance.now();
  const lost = (error: unknown) => {
    throw error;
  };
  const listening = await listenToCommits(TABLE, {
    commit() {
      newest = performance.now();
      events.emit("commit", newest);
    },
    missed: () => lost(new Error("commits were missed")),
    lost,
  });
  /** The time of the newest commit, as soon as there is one after a moment, or after so long. */
  const after = async (moment: number, ms: number): Promise<number> => {
    if (newest > moment) return newest;
    const [at] = await once(events, "commit", { signal: AbortSignal.timeout(ms) }).catch(() => [newest]);
    return at;
  };
  return {
    // The socket closes when nothing refers to it any more.
    listening,
    after,
    /** Waits until there has been none for a while. */
    async calm() {
      for (let at = newest; (await after(at, CALM_MS)) > at; ) at = newest;
    },
  };
}

async function firstHandle(nftables: Nftables): Promise<number> {
  const [first] = await steadily(() => nftables.read(rules(RULES)));
  return first?.handle ?? 0;
}

/** Reads again if other programs have changed, or removed, the object meanwhile. */
async function steadily<T>(read: () => Promise<T>): Promise<T> {
  for (const deadline = performance.now() + DEADLINE_MS; ; ) {
    try {
      return await read();
    } catch (error) {
      const isUnsteady = error instanceof NftablesError && ["EINTR", "ENOENT"].includes(error.code);
      if (!isUnsteady || performance.now() > deadline) throw error;
    }
  }
}

function iptables(...args: string[]): Promise<string> {
  return command("iptables-nft", ["-w", "5", "-t", "nat", ...args]);
}

function nft(line: string): Promise<string> {
  return command("nft", ["-f", "-"], { stdin: `${line}\n` });
}
