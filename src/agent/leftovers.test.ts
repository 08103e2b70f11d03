import { expect, test } from "vitest";
import { OPTIONS, rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { createNode, DENIED, type FakeNode } from "../../test/lab/node.ts";
import type { Options } from "../core/ruleset.ts";
import { iptablesDriver } from "../iptables/driver.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import { probe } from "../iptables/probe.ts";
import { warnOfLeftovers } from "./leftovers.ts";
import { createReconciler } from "./reconcile.ts";

const backend = iptablesPlanner("path");

/** Runs one pass of an agent with these options, as if it had been there before. */
async function agentWas(node: FakeNode, options: Partial<Options>): Promise<void> {
  const { log } = recordedLog();
  const readConfig = () => ({ kind: "file", files: [] }) as const;
  const all = { ...OPTIONS, ...options };
  const driver = iptablesDriver(backend, all.masqChain, { run: node.run, probe, log });
  const world = { readConfig, now: () => 0, log, random: () => 0 };
  await createReconciler(driver, { ...OPTIONS, configPath: "/c", watch: true, ...options }, world)();
}

/** What an agent with these options warns of. */
async function warned(node: FakeNode, options: Partial<Options> = {}, verbosity = 0): Promise<string[]> {
  const { log, taken } = recordedLog(verbosity);
  const all = { ...OPTIONS, ...options };
  await warnOfLeftovers(backend, all, { run: node.run, probe, log });
  return taken();
}

test("on a node of its own there is nothing to say", async () => {
  const node = createNode();
  await agentWas(node, { enableIPv6: true });
  expect(await warned(node, { enableIPv6: true })).toEqual([]);
});

test("a renamed chain", async () => {
  const node = createNode();
  await agentWas(node, { masqChain: "OLD" });
  await agentWas(node, {});
  expect(await warned(node)).toMatchInlineSnapshot(`
    [
      "W IPv4: chain OLD and a jump to it remain from an earlier agent, although --masq-chain is IP-MASQ-AGENT: they stay active until you remove them",
    ]
  `);
});

test("IPv6 that was on", async () => {
  const node = createNode();
  await agentWas(node, { enableIPv6: true });
  expect(await warned(node)).toMatchInlineSnapshot(`
    [
      "W IPv6: chain IP-MASQ-AGENT and a jump to it remain from an earlier agent, although --enable-ipv6 is off: they stay active until you remove them",
    ]
  `);
});

test("looking changes nothing", async () => {
  const node = createNode();
  await agentWas(node, { masqChain: "OLD" });
  const before = structuredClone(node.IPv4.chains);
  node.taken();
  await warned(node);
  expect(node.taken()).toMatchInlineSnapshot(`
    [
      "iptables --version",
      "iptables -w 5 -S POSTROUTING -t nat",
      "ip6tables --version",
      "ip6tables -w 5 -S POSTROUTING -t nat",
    ]
  `);
  expect(node.IPv4.chains).toEqual(before);
});

test("a failed search shows only at --v=2", async () => {
  const node = createNode();
  node.interfere = ({ file, args }) =>
    file === "ip6tables" && !args.includes("--version") ? DENIED : undefined;
  expect(await warned(node)).toEqual([]);
  expect(await warned(node, {}, 2)).toMatchInlineSnapshot(`
    [
      "I IPv6: cannot look for leftovers of earlier agents: error listing POSTROUTING: exit status 4: Permission denied (you must be root) (this needs root, or the capabilities NET_ADMIN and NET_RAW: in Kubernetes, securityContext.capabilities.add)",
    ]
  `);
});

test("a foreign jump to a foreign chain is none of our business", async () => {
  const node = createNode();
  const { chain } = rulesetOf("IPv4", "", { masqChain: "FOREIGN" });
  node.IPv4.chains.set(chain, []);
  node.IPv4.chains.get("POSTROUTING")?.push(`-m addrtype ! --dst-type LOCAL -j ${chain}`);
  expect(await warned(node)).toEqual([]);
});
