/**
 * Changes and watches the rules within a node, as a process of its own: Node cannot enter a namespace. It reads requests from
 * stdin, a line of JSON each, and answers with one. It watches the rules over netlink: the kernel sends an event for each
 * commit, and only then the probe reads whether they are right again.
 */
import { createInterface } from "node:readline";
import { NftablesError } from "../src/netlink/errors.ts";
import { listenToCommits } from "../src/netlink/events.ts";
import { type Nftables, openNftables } from "../src/netlink/socket/transport.ts";
import { CHAIN as RULES, TABLE } from "../src/nftables/sets.ts";
import { command } from "../test/lab/command.ts";
import { CHAIN } from "../test/lab/network/iptables.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { type BackendName, ruleHandles, SNAPSHOT } from "./snapshot.ts";

/** A task: put a text into the configuration, or change the rules as other programs do. */
export type Request =
  | { readonly do: "learn"; readonly text: string }
  | { readonly do: "swap"; readonly text: string }
  | { readonly do: "drift"; readonly kind: string };

/** Milliseconds until the rules were right, or why they are not. */
export type Reply = { readonly ms: number } | { readonly error: string };

/** After so long without a commit the agent has finished. */
const CALM_MS = 500;
const DEADLINE_MS = 30_000;
const UNSTEADY: readonly string[] = ["EINTR", "ENOENT"];

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
    "flush our chain": () => nft(`flush chain ${ours()} postrouting`),
    "delete one rule": async (nftables) =>
      nft(`delete rule ${ours()} postrouting handle ${(await steadily(() => ruleHandles(nftables)))[0]}`),
    "nft delete table": () => nft(`delete table ${ours()}`),
    "nft flush ruleset": () => nft("flush ruleset"),
    // The tool closes its socket, and the kernel accepts no other commit until it has cleaned up after it: some 9 ms. A
    // program that keeps its socket, such as an agent, does not cost that time.
    "delete one rule, socket kept": async (nftables) => {
      const [handle = 0] = await steadily(() => ruleHandles(nftables));
      await nftables.batch([{ op: "delete rule", ...RULES, handle }]);
    },
    "delete table, socket kept": (nftables) => nftables.batch([{ op: "delete table", ...TABLE }]),
  },
};

/** The changes for a backend, by name. */
export function driftKinds(backend: BackendName): readonly string[] {
  return Object.keys(DRIFTS[backend]);
}

/** Serves one agent, whose configuration is a volume that is made here; ends with its stdin. */
export async function probeChild(backend: BackendName, directory: string): Promise<void> {
  const volume = createVolume(directory);
  const nftables = await openNftables();
  const commits = await hearCommits();
  const snapshot = () => steadily(() => SNAPSHOT[backend](nftables));
  const learned = new Map<string, string>();
  let right = "";

  /** Waits until the rules are right; returns the time of the commit that made them so. */
  const healed = async (since: number): Promise<number> => {
    const deadline = performance.now() + DEADLINE_MS;
    for (let from = since; ; ) {
      const at = commits.newest();
      if (at > from) {
        from = at;
        if ((await snapshot()) === right) return at;
      }
      if (performance.now() > deadline) throw new Error(`not right within ${DEADLINE_MS} ms`);
      await commits.after(from, DEADLINE_MS);
    }
  };

  /** Waits for rules that are none of these; returns them. */
  const settled = async (others: ReadonlySet<string>): Promise<string> => {
    for (const deadline = performance.now() + DEADLINE_MS; performance.now() < deadline; ) {
      await commits.calm();
      const found = await snapshot();
      if (!others.has(found)) return found;
    }
    throw new Error(`no new rules within ${DEADLINE_MS} ms`);
  };

  const serve = async (request: Request): Promise<number> => {
    const startedAt = performance.now();
    switch (request.do) {
      case "learn":
        volume.write(request.text);
        learned.set(request.text, await settled(new Set(["", "no table", ...learned.values()])));
        return performance.now() - startedAt;
      case "swap":
        right = learned.get(request.text) ?? "";
        volume.write(request.text);
        return (await healed(startedAt)) - startedAt;
      case "drift": {
        right = await snapshot();
        const drifting = DRIFTS[backend][request.kind]?.(nftables);
        // The first commit is theirs.
        const [drifted] = await Promise.all([commits.after(startedAt, DEADLINE_MS), drifting]);
        return (await healed(drifted)) - drifted;
      }
    }
  };

  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const reply: Reply = await serve(JSON.parse(line)).then(
      (ms) => ({ ms }),
      (error: Error) => ({ error: error.message }),
    );
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  commits.close();
  process.exit();
}

interface Commits {
  /** The time of the last one. */
  readonly newest: () => number;
  /** Waits for the first one after a moment, or so long; returns its time. */
  readonly after: (moment: number, ms: number) => Promise<number>;
  /** Waits until there has been none for a while. */
  readonly calm: () => Promise<void>;
  readonly close: () => void;
}

async function hearCommits(): Promise<Commits> {
  let newest = performance.now();
  let hear = () => {};
  const lost = (error: unknown) => {
    throw error;
  };
  const commit = () => {
    newest = performance.now();
    hear();
  };
  // The socket closes when nothing refers to it any more.
  const listening = await listenToCommits(TABLE, {
    commit,
    missed: () => lost(new Error("commits were missed")),
    lost,
  });
  const after = (moment: number, ms: number) =>
    new Promise<number>((resolve) => {
      if (newest > moment) return resolve(newest);
      const timer = setTimeout(() => resolve(newest), ms);
      hear = () => {
        clearTimeout(timer);
        hear = () => {};
        resolve(newest);
      };
    });
  return {
    newest: () => newest,
    after,
    close: () => listening.close(),
    async calm() {
      for (let at = performance.now(); ; at = newest) if ((await after(at, CALM_MS)) <= at) return;
    },
  };
}

/** Reads again if other programs have changed, or removed, the object meanwhile. */
async function steadily<T>(read: () => Promise<T>): Promise<T> {
  for (const deadline = performance.now() + DEADLINE_MS; ; ) {
    try {
      return await read();
    } catch (error) {
      const isUnsteady = error instanceof NftablesError && UNSTEADY.includes(error.code);
      if (!isUnsteady || performance.now() > deadline) throw error;
    }
  }
}

function ours(): string {
  return `${TABLE.family} ${TABLE.table}`;
}

function iptables(...args: string[]): Promise<string> {
  return command("iptables-nft", ["-w", "5", "-t", "nat", ...args]);
}

function nft(...lines: string[]): Promise<string> {
  return command("nft", ["-f", "-"], { stdin: `${lines.join("\n")}\n` });
}
