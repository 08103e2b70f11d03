/** Kernels in memory for simulations: iptables-nft's tables with their tools and images, and our nftables table. */

import { FAMILIES, type Family } from "../../../src/core/cidr.ts";
import { iptablesDriver } from "../../../src/iptables/driver.ts";
import { createNetlinkView } from "../../../src/iptables/netlink-view.ts";
import { iptablesPlanner, jumpComment } from "../../../src/iptables/plan.ts";
import { probe } from "../../../src/iptables/probe.ts";
import { NftablesError } from "../../../src/netlink/errors.ts";
import type { Query } from "../../../src/netlink/query.ts";
import type { Nftables } from "../../../src/netlink/socket/transport.ts";
import { nftablesDriver } from "../../../src/nftables/driver.ts";
import { planTable } from "../../../src/nftables/plan.ts";
import { CHAIN as NFT_CHAIN } from "../../../src/nftables/sets.ts";
import { CommandError } from "../../../src/system/command-error.ts";
import type { Script } from "../../../src/system/script.ts";
import { rulesetOf } from "../config.ts";
import { recordedLog } from "../log.ts";
import { createNode, type FakeNode } from "../node.ts";
import type { Kernel } from "./simulation.ts";
import { applyBatch, type Model, stateOf } from "./table.ts";

const CHAIN = "IP-MASQ-AGENT";
const BOTH = "IPv4 and IPv6";
const MAX_BYTES = 400_000;
const { log } = recordedLog();

const rulesetsOf = (text: string) => FAMILIES.map((family) => rulesetOf(family, text, { enableIPv6: true }));

/** A kernel whose rules others may change. */
export interface Damaged extends Kernel {
  /** What others may do, by name. */
  readonly damages: Readonly<Record<string, () => void>>;
  /** The next run of a tool, or the next transaction, fails. */
  readonly failOnce: () => void;
  /** From now on the tools of a family fail, or no longer do; and how often they were run. */
  readonly broken: Set<Family>;
  /** The tools of a family hang until their deadline. */
  readonly hanging: Set<Family>;
  readonly runs: Map<Family, number>;
  /** The number of our jumps, at most one in each family. */
  readonly jumps: () => number;
}

export function iptablesKernel(): Damaged {
  const node = createNode();
  const broken = new Set<Family>();
  const hanging = new Set<Family>();
  const runs = new Map<Family, number>();
  const wanted = new Map<string, Readonly<Record<Family, string>>>();
  let fails = false;
  const ownRules = (of: FakeNode, family: Family) =>
    [
      ...(of[family].chains.get("POSTROUTING") ?? []).filter((one) => one.includes(CHAIN)),
      "",
      ...(of[family].chains.get(CHAIN) ?? ["no chain"]),
    ].join("\n");
  /** What an undisturbed agent makes of a configuration. */
  const rulesOf = (text: string): Readonly<Record<Family, string>> => {
    const known = wanted.get(text);
    if (known !== undefined) return known;
    const fresh = createNode();
    const backend = iptablesPlanner("path");
    const capabilities = {
      version: "1.8.9",
      variant: "nf_tables",
      check: true,
      wait: [],
      restoreWait: [],
      randomFully: true,
    } as const;
    for (const ruleset of rulesetsOf(text)) {
      const nat = fresh[ruleset.family];
      const steps = backend.plan(ruleset, capabilities, { rules: undefined, jump: false }).steps;
      for (const step of steps) if (nat.run(step).exitCode === 1 && step.otherwise) nat.run(step.otherwise);
    }
    const found = { IPv4: ownRules(fresh, "IPv4"), IPv6: ownRules(fresh, "IPv6") };
    wanted.set(text, found);
    return found;
  };
  const flush = (family: Family) => {
    node[family].chains.clear();
    node[family].chains.set("POSTROUTING", []);
  };
  const rules = (family: Family) => node[family].chains.get(CHAIN);
  return {
    driver({ commitLog, signal, sleep, step, generation }) {
      const run = async (script: Script) => {
        const { args, file } = script;
        const family = file.startsWith("ip6") ? "IPv6" : "IPv4";
        runs.set(family, (runs.get(family) ?? 0) + 1);
        if (hanging.has(family)) {
          step();
          await sleep(script.deadlineMs, signal);
          throw new CommandError(script, { why: `no end after ${script.deadlineMs} ms, killed` });
        }
        const commits = file.endsWith("restore") || args.some((one) => one === "-N" || one === "-A");
        step(commits && !broken.has(family) ? family : undefined);
        if (fails || broken.has(family)) {
          fails = false;
          node.interfere = () => ({ exitCode: 4, stdout: "", stderr: "busy" });
        }
        try {
          return await node.run(script);
        } finally {
          node.interfere = () => undefined;
        }
      };
      const view = createNetlinkView(CHAIN, async () => images(node, step, generation), signal);
      return iptablesDriver(iptablesPlanner("path"), CHAIN, {
        run,
        probe,
        log,
        view,
        claim: commitLog.claim,
      });
    },
    labels: FAMILIES,
    wrong: (text) => FAMILIES.filter((family) => ownRules(node, family) !== rulesOf(text)[family]),
    damages: {
      "flush ruleset": () => FAMILIES.forEach(flush),
      "delete IPv4's table": () => flush("IPv4"),
      "delete IPv6's table": () => flush("IPv6"),
      "flush the chain": () => rules("IPv4")?.splice(0),
      "delete a rule": () => rules("IPv6")?.shift(),
      "add a rule": () => rules("IPv4")?.unshift("-j ACCEPT"),
      "delete the jump": () => node.IPv4.chains.set("POSTROUTING", []),
      "something else": () => node.IPv4.chains.set("OTHER", []),
    },
    failOnce: () => {
      fails = true;
    },
    broken,
    hanging,
    runs,
    jumps: () =>
      Math.max(
        ...FAMILIES.map(
          (family) =>
            node[family].chains.get("POSTROUTING")?.filter((one) => one.includes(CHAIN)).length ?? 0,
        ),
      ),
  };
}

/** iptables-nft's rules as netlink shows them. */
function images(node: FakeNode, step: () => void, generation: () => number): Nftables {
  const image = (parts: readonly string[]) => parts.map((part) => `${part.length}:${part}`).join();
  const jump = image([
    `match\0comment\0${jumpComment(CHAIN)}\0`,
    "match\0addrtype\0\0\0\x04\0\x02\0\0\0",
    "counter\0",
    `immediate\0\xff\xff\xff\xfd\0\0\0\0${CHAIN}\0`,
  ]);
  return {
    async read<T>({ what }: Query<T>) {
      step();
      const [, , family, , chain = ""] = what.split(" ");
      const { chains } = family === "ip" ? node.IPv4 : node.IPv6;
      const found = (chains.get(chain) ?? []).map((rule) =>
        rule.includes(jumpComment(CHAIN)) ? jump : image([rule]),
      );
      return found as T;
    },
    batch: async () => {},
    generation: async () => {
      step();
      return generation();
    },
    maxBatchBytes: MAX_BYTES,
    close: () => {},
  };
}

export function nftablesKernel(): Damaged {
  let model: Model;
  let fails = false;
  const answer = (what: string): unknown => {
    const { table, chains, sets, rules } = stateOf(model);
    const [kind = "", ...name] = what.split(" ");
    if (table === undefined) {
      if (["elements", "sets", "table"].includes(kind))
        throw new NftablesError({ code: "ENOENT", what, why: "not there" });
      return [];
    }
    if (kind === "table") return table;
    if (kind === "sets") return sets.map(({ set }) => set);
    if (kind === "elements") return sets.find(({ set }) => set.set === name.at(-1))?.elements ?? [];
    if (kind === "objects" || kind === "flowtables") return [];
    return kind === "chains" ? chains : rules;
  };
  const change = (how: (table: NonNullable<Model>) => Model) => () => {
    if (model !== undefined) model = how(model);
  };
  const inSet = (
    name: string,
    elements: (all: NonNullable<Model>["sets"][string]["elements"]) => typeof all,
  ) =>
    change((table) => {
      const set = table.sets[name];
      return set === undefined
        ? table
        : { ...table, sets: { ...table.sets, [name]: { ...set, elements: elements(set.elements) } } };
    });
  const inChain = (rules: (all: NonNullable<Model>["chains"][string]["rules"]) => typeof all) =>
    change((table) => {
      const chain = table.chains[NFT_CHAIN.chain];
      return chain === undefined
        ? table
        : {
            ...table,
            chains: { ...table.chains, [NFT_CHAIN.chain]: { ...chain, rules: rules(chain.rules) } },
          };
    });
  return {
    driver({ commitLog, signal, now, step, generation }) {
      const nftables: Nftables = {
        async read<T>({ what }: Query<T>) {
          step();
          return answer(what) as T;
        },
        async batch(operations) {
          if (fails) {
            step();
            fails = false;
            throw new NftablesError({ code: "EBUSY", what: "transaction", why: "busy" });
          }
          step(BOTH);
          model = applyBatch(model, operations);
        },
        generation: async () => {
          step();
          return generation();
        },
        maxBatchBytes: MAX_BYTES,
        close: () => {},
      };
      const between: NonNullable<Parameters<typeof nftablesDriver>[2]>["between"] = (span) =>
        commitLog.between(span, signal);
      return nftablesDriver(CHAIN, signal, {
        open: async () => nftables,
        now,
        between,
        claim: commitLog.claim,
      });
    },
    labels: [BOTH],
    wrong: (text) =>
      planTable(rulesetsOf(text), stateOf(model), MAX_BYTES).steps.length === 0 ? [] : [BOTH],
    damages: {
      "flush ruleset": () => {
        model = undefined;
      },
      "flush the chain": inChain(() => []),
      "delete a rule": inChain((rules) => rules.slice(1)),
      "delete the chain": change((table) => ({ ...table, chains: {} })),
      "flush a set": inSet("keep-ipv4", () => []),
      "add an element": inSet("keep-ipv6", (all) =>
        [...all, { first: 1n << 120n, last: (1n << 120n) + 1n }].sort((a, b) => (a.first < b.first ? -1 : 1)),
      ),
      "make it dormant": change((table) => ({ ...table, dormant: true })),
      "something else": () => {},
    },
    failOnce: () => {
      fails = true;
    },
    broken: new Set(),
    hanging: new Set(),
    runs: new Map(),
    jumps: () => 0,
  };
}
