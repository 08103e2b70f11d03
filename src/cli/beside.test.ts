import { expect, test } from "vitest";
import { configOf, OPTIONS } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import { constantCidr } from "../core/cidr.ts";
import { compileRuleset } from "../core/ruleset.ts";
import { createSourceWarning } from "./beside.ts";

const network = (text: string, isLocal = true) => ({ cidr: constantCidr(text), from: "link cni0", isLocal });

/** What is said after passes with these configurations, and how often the node was asked. */
async function warned(
  texts: readonly string[],
  networks = [network("10.244.1.0/24"), network("10.244.0.0/16", false)],
) {
  const { log, taken } = recordedLog();
  let reads = 0;
  const warn = createSourceWarning(log, async () => {
    reads++;
    return networks;
  });
  const known = new Map<string, PassOutcome["current"]>();
  for (const text of texts) {
    const config = configOf(text);
    if (!known.has(text)) known.set(text, { config, source: "/c", hash: text });
    const rulesets = [compileRuleset("IPv4", config, OPTIONS)];
    const groups = [{ label: "IPv4", rulesets, inForce: true, changed: false }];
    await warn({ current: known.get(text), groups } as unknown as PassOutcome);
  }
  return { said: taken(), reads };
}

test("a network of the node's pods that the sources leave out is a warning, once for each configuration", async () => {
  const bad = "masqueradeSourceCIDRs: [10.245.0.0/16]";
  expect(await warned([bad, bad])).toEqual({
    said: [
      expect.stringMatching(
        /^W IPv4: pods of 10\.244\.1\.0\/24 \(link cni0\) are not masqueraded: .*: add 10\.244\.1\.0\/24/,
      ),
    ],
    reads: 1,
  });
});

test.each([
  ["without sources nothing is asked", "masqLinkLocal: true", 0],
  ["sources with all pods", "masqueradeSourceCIDRs: [10.244.0.0/16]", 1],
  [
    "an exception that is meant",
    "masqueradeSourceCIDRs: [10.244.0.0/16]\nnonMasqueradeSourceCIDRs: [10.244.1.0/24]",
    1,
  ],
])("%s", async (_what, text, reads) => {
  expect(await warned([text])).toEqual({ said: [], reads });
});
