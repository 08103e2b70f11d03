import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { createNat, type Nat, walk } from "../../test/lab/memory/nat.ts";
import type { Plan } from "../backend/step.ts";
import {
  ADDRESS_BITS,
  type Cidr,
  FAMILIES,
  type Family,
  formatAddress,
  lastAddress,
  parseAddress,
  parseCidr,
} from "../core/cidr.ts";
import { type Drift, renderDrift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Answer, Script } from "../system/script.ts";
import { iptablesPlanner, renderRestore } from "./plan.ts";
import type { Capabilities } from "./planner.ts";

const MODERN: Capabilities = {
  version: "1.8.9",
  variant: "nf_tables",
  check: true,
  wait: ["-w", "5"],
  restoreWait: ["-w", "5"],
  randomFully: true,
};
/** CentOS 6's. */
const ANCIENT: Capabilities = {
  version: "1.4.7",
  variant: "legacy",
  check: false,
  wait: [],
  restoreWait: [],
  randomFully: false,
};
const backend = iptablesPlanner("path");
const RULESET = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/8]");
const V6 = { enableIPv6: true };

/** Inspects, and returns the plan. */
function planFor(nat: Nat, ruleset: Ruleset, capabilities = MODERN): Plan<Script> {
  const answers: Answer[] = [];
  for (const script of backend.inspection(ruleset, capabilities)) {
    const answer = nat.run(script);
    answers.push(answer);
    if (answer.exitCode !== 0) break;
  }
  return backend.plan(ruleset, capabilities, backend.parse(ruleset, capabilities, answers));
}

/** Carries out a plan; rejects the same input as iptables. */
function carryOut(nat: Nat, { steps }: Plan<Script>): void {
  for (const step of steps) {
    let answer = nat.run(step);
    if (answer.exitCode === 1 && step.otherwise !== undefined) answer = nat.run(step.otherwise);
    if (answer.exitCode !== 0 && !step.accept?.includes(answer.exitCode)) throw new Error(answer.stderr);
  }
}

function programmed(ruleset: Ruleset, capabilities = MODERN): Nat {
  const nat = createNat(ruleset.family);
  carryOut(nat, planFor(nat, ruleset, capabilities));
  return nat;
}

const lines = (drift: readonly Drift[]): string[] => drift.map(renderDrift);
const commandLine = ({ file, args, stdin }: Script): string =>
  [file, ...args, ...(stdin === undefined ? [] : ["<"])].join(" ");

test.each([
  ["path", "IPv4", "iptables iptables-restore"],
  ["path", "IPv6", "ip6tables ip6tables-restore"],
  ["nft", "IPv4", "iptables-nft iptables-nft-restore"],
  ["legacy", "IPv6", "ip6tables-legacy ip6tables-legacy-restore"],
] as const)("the tools of %s for %s", (variant, family, names) => {
  const { command, restore } = iptablesPlanner(variant).tools(family);
  expect(`${command} ${restore}`).toBe(names);
});

describe("a fresh node", () => {
  test("chain, jump, rules, in this order", () => {
    const { steps, drift } = planFor(createNat("IPv4"), RULESET);
    expect(steps.map(commandLine)).toMatchInlineSnapshot(`
      [
        "iptables -w 5 -N IP-MASQ-AGENT -t nat",
        "iptables -w 5 -C POSTROUTING -t nat -m comment --comment ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT",
        "iptables-restore -w 5 --noflush <",
      ]
    `);
    expect(steps.map(({ otherwise }) => otherwise && commandLine(otherwise))).toMatchInlineSnapshot(`
      [
        undefined,
        "iptables -w 5 -A POSTROUTING -t nat -m comment --comment ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT",
        undefined,
      ]
    `);
    expect(steps[2]?.stdin).toMatchInlineSnapshot(`
      "*nat
      :IP-MASQ-AGENT - [0:0]
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 169.254.0.0/16 -j RETURN
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/8 -j RETURN
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully
      COMMIT
      "
    `);
    expect(lines(drift)).toEqual([
      "chain IP-MASQ-AGENT was missing",
      "the jump from POSTROUTING to IP-MASQ-AGENT was missing",
    ]);
  });

  test("old tools: no -C, no -w, no --random-fully", () => {
    const nat = createNat("IPv4");
    const inspected = backend.inspection(RULESET, ANCIENT).map(commandLine);
    const { steps } = planFor(nat, RULESET, ANCIENT);
    expect([...inspected, ...steps.map(commandLine)]).toMatchInlineSnapshot(`
      [
        "iptables -S IP-MASQ-AGENT -t nat",
        "iptables -S POSTROUTING -t nat",
        "iptables -N IP-MASQ-AGENT -t nat",
        "iptables -A POSTROUTING -t nat -m comment --comment ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT",
        "iptables-restore --noflush <",
      ]
    `);
    expect(steps.map(({ otherwise }) => otherwise)).toEqual([undefined, undefined, undefined]);
    expect(steps[2]?.stdin).not.toContain("--random-fully");
  });

  test("a wait without seconds for tools from 1.4.20", () => {
    const steps = backend.inspection(RULESET, { ...MODERN, wait: ["-w"] });
    expect(steps.map(({ args }) => args.slice(0, 2))).toEqual([
      ["-w", "-S"],
      ["-w", "-C"],
    ]);
  });

  test("the deadline grows with the rules", () => {
    const cidrs = Array.from({ length: 2_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const many = rulesetOf("IPv4", JSON.stringify({ nonMasqueradeCIDRs: cidrs, cidrLimit: 5000 }));
    const deadline = (ruleset: Ruleset) => planFor(createNat("IPv4"), ruleset).steps[2]?.deadlineMs ?? 0;
    expect(deadline(many) - deadline(RULESET)).toBe(1_999);
  });
});

describe.each([
  ["modern tools", MODERN],
  ["old tools", ANCIENT],
])("%s: what was programmed is in sync", (_name, capabilities) => {
  test.each<[string, Family, string]>([
    ["defaults", "IPv4", ""],
    [
      "IPv6",
      "IPv6",
      "nonMasqueradeCIDRs: ['FD00:0::/8', '2001:db8::1.2.3.4/128', '::1.2.3.4/128', '1::2:3:0:0:4/128']",
    ],
    [
      "other texts",
      "IPv4",
      "nonMasqueradeCIDRs: [10.0.0.0/010, 0.0.0.0/00, 0.0.0.0/0, 10.1.2.3/32, 10.1.2.3/32]",
    ],
    ["nothing", "IPv4", "nonMasqueradeCIDRs: []\nmasqLinkLocal: true"],
    ["exceptions", "IPv4", "masqueradeCIDRs: [10.1.0.0/16, 169.254.169.254/32]"],
  ])("%s", (_case, family, text) => {
    for (const toPorts of [
      [],
      [
        { first: 1n, last: 1n },
        { first: 1024n, last: 29999n },
        { first: 3n, last: 3n },
      ],
    ]) {
      const ruleset = rulesetOf(family, text, { ...V6, toPorts });
      const nat = programmed(ruleset, capabilities);
      expect(planFor(nat, ruleset, capabilities)).toEqual({ drift: [], steps: [] });
    }
  });

  test("a chain with another name", () => {
    const ruleset = rulesetOf("IPv4", "", { masqChain: "MY-CHAIN" });
    const nat = programmed(ruleset, capabilities);
    expect([...nat.chains.keys()]).toEqual(["POSTROUTING", "MY-CHAIN"]);
    expect(planFor(nat, ruleset, capabilities).steps).toEqual([]);
  });
});

describe("drift", () => {
  const CHAIN = "IP-MASQ-AGENT";
  const FOREIGN = "-d 1.2.3.4/32 -j ACCEPT";
  const PROGRAM = 'programming chain "IP-MASQ-AGENT"';
  const JUMP = "checking the jump from POSTROUTING to IP-MASQ-AGENT";
  const withoutRandomFully = (line: string) => line.replace(" --random-fully", "");
  test.each<[string, (nat: Nat) => void, readonly string[], readonly string[]]>([
    [
      "chain flushed",
      (nat) => nat.chains.set(CHAIN, []),
      [
        'rule 1 of IP-MASQ-AGENT was missing [-m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 169.254.0.0/16 -j RETURN]',
        'rule 2 of IP-MASQ-AGENT was missing [-m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/8 -j RETURN]',
        'rule 3 of IP-MASQ-AGENT was missing [-m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully]',
      ],
      [PROGRAM],
    ],
    [
      "foreign rule first",
      (nat) => nat.chains.get(CHAIN)?.unshift(FOREIGN),
      [`rule 1 of IP-MASQ-AGENT was unexpected [${FOREIGN}]`],
      [PROGRAM],
    ],
    [
      "jump gone",
      (nat) => nat.chains.set("POSTROUTING", [FOREIGN]),
      ["the jump from POSTROUTING to IP-MASQ-AGENT was missing"],
      [JUMP],
    ],
    [
      "everything gone",
      (nat) => {
        nat.chains.set("POSTROUTING", []);
        nat.chains.delete(CHAIN);
      },
      ["chain IP-MASQ-AGENT was missing", "the jump from POSTROUTING to IP-MASQ-AGENT was missing"],
      ['creating chain "IP-MASQ-AGENT"', JUMP, PROGRAM],
    ],
    [
      "a second jump stays",
      (nat) => nat.chains.get("POSTROUTING")?.push(nat.chains.get("POSTROUTING")?.[0] ?? ""),
      [],
      [],
    ],
    ["foreign rules around the jump stay", (nat) => nat.chains.get("POSTROUTING")?.unshift(FOREIGN), [], []],
  ])("%s", (_name, tamper, drift, purposes) => {
    for (const capabilities of [MODERN, ANCIENT]) {
      const nat = programmed(RULESET, capabilities);
      tamper(nat);
      const foreign = nat.chains.get("POSTROUTING")?.filter((rule) => rule === FOREIGN);
      const plan = planFor(nat, RULESET, capabilities);
      expect(lines(plan.drift)).toEqual(capabilities.check ? drift : drift.map(withoutRandomFully));
      const asOldToolsDo = (purpose: string) => purpose.replace("checking", "appending");
      expect(plan.steps.map(({ purpose }) => purpose)).toEqual(
        capabilities.check ? purposes : purposes.map(asOldToolsDo),
      );
      carryOut(nat, plan);
      expect(planFor(nat, RULESET, capabilities)).toEqual({ drift: [], steps: [] });
      expect(nat.chains.get("POSTROUTING")?.filter((rule) => rule === FOREIGN)).toEqual(foreign);
    }
  });

  test("a jump that is added between inspection and plan is not doubled", () => {
    const nat = programmed(RULESET);
    const jump = nat.chains.get("POSTROUTING") ?? [];
    nat.chains.set("POSTROUTING", []);
    const plan = planFor(nat, RULESET);
    nat.chains.set("POSTROUTING", [...jump]);
    carryOut(nat, plan);
    expect(nat.chains.get("POSTROUTING")).toEqual(jump);
  });

  test("a refused restore leaves the chain as it was", () => {
    const nat = programmed(RULESET);
    const before = structuredClone(nat.chains);
    const bad = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/08]");
    expect(() => carryOut(nat, planFor(nat, bad))).toThrow("invalid mask `08' specified");
    expect(nat.chains).toEqual(before);
  });
});

describe("leftovers", () => {
  const jumpTo = (chain: string) =>
    programmed(rulesetOf("IPv4", "", { masqChain: chain })).chains.get("POSTROUTING") ?? [];

  test.each<[string, readonly string[], string | undefined, readonly string[]]>([
    ["nothing", [], "OURS", []],
    ["only ours", ["OURS"], "OURS", []],
    ["an older name", ["OLD", "OURS", "OLD"], "OURS", ["OLD"]],
    ["any, where none is ours", ["OLD", "OURS"], undefined, ["OLD", "OURS"]],
  ])("%s", (_name, chains, own, expected) => {
    const nat = createNat("IPv4");
    nat.chains.set("POSTROUTING", [
      "-j MASQUERADE",
      ...chains.flatMap(jumpTo),
      "-m comment --comment OLD -j OLD",
    ]);
    const answer = nat.run(backend.inspectLeftovers("IPv4", MODERN));
    expect(backend.parseLeftovers(own, answer)).toEqual(expected);
  });
});

/** What the configuration means: the longest prefix decides. Without exceptions that is: any entry that contains the address. */
function naiveVerdict(
  family: Family,
  keep: readonly string[],
  except: readonly string[],
  address: bigint,
): "return" | "masquerade" {
  const hits = [...keep, ...except].filter((text) => containsIn(family, address)(text));
  const longest = hits.toSorted((a, b) => Number(b.split("/")[1]) - Number(a.split("/")[1]))[0];
  return longest !== undefined && keep.includes(longest) ? "return" : "masquerade";
}

const containsIn = (family: Family, address: bigint) => (text: string) => {
  const cidr = parseCidr(text) as Cidr;
  return cidr.family === family && cidr.base <= address && address <= lastAddress(cidr);
};

/** Blocks near one another, so that they nest and collide. */
const cidrsOf = (family: Family) => {
  const width = ADDRESS_BITS[family];
  const origin = family === "IPv4" ? "10.0.0.0" : "fd00::";
  const base = parseAddress(origin)?.value ?? 0n;
  return fc.tuple(fc.nat({ max: 15 }), fc.integer({ min: 0, max: 4 })).map(([at, hostBits]) => {
    const block = (BigInt(at) >> BigInt(hostBits)) << BigInt(hostBits);
    return `${formatAddress(family, base + block)}/${width - hostBits}`;
  });
};

describe.each(FAMILIES)("%s: the chain treats every address as the configuration means it", (family) => {
  const cidr = cidrsOf(family);
  const config = fc.record({
    nonMasqueradeCIDRs: fc.uniqueArray(cidr, { maxLength: 8 }),
    masqueradeCIDRs: fc.uniqueArray(cidr, { maxLength: 6 }),
  });
  const origin = parseAddress(family === "IPv4" ? "10.0.0.0" : "fd00::")?.value ?? 0n;

  test.each([
    ["without ports", []],
    [
      "with ports",
      [
        { first: 1024n, last: 29999n },
        { first: 32768n, last: 65535n },
      ],
    ],
  ])("%s", (_name, toPorts) => {
    fc.assert(
      fc.property(config, ({ nonMasqueradeCIDRs, masqueradeCIDRs }) => {
        const exceptions = masqueradeCIDRs.filter((text) => !nonMasqueradeCIDRs.includes(text));
        const text = JSON.stringify({ nonMasqueradeCIDRs, masqueradeCIDRs: exceptions });
        const ruleset = rulesetOf(family, text, { ...V6, toPorts });
        const nat = programmed(ruleset);
        const rules = nat.chains.get(ruleset.chain) ?? [];
        const seen: string[] = [];
        const expected: string[] = [];
        for (let i = -1n; i <= 16n; i++) {
          const shares = walk(rules, { protocol: "tcp", isTo: containsIn(family, origin + i) });
          seen.push(...[...shares.keys()].map((verdict) => `${i} ${verdict}`));
          const keeps = naiveVerdict(family, nonMasqueradeCIDRs, exceptions, origin + i) === "return";
          const verdicts =
            toPorts.length === 0 ? ["MASQUERADE"] : ["MASQUERADE 1024-29999", "MASQUERADE 32768-65535"];
          expected.push(...(keeps ? ["RETURN"] : verdicts).map((verdict) => `${i} ${verdict}`));
        }
        expect(seen).toEqual(expected);
        expect(planFor(nat, ruleset).steps).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
});

test("with ports, the ranges share the flows by their sizes; other protocols get any port", () => {
  const toPorts = [
    { first: 1n, last: 10n },
    { first: 101n, last: 130n },
    { first: 201n, last: 260n },
  ];
  const ruleset = rulesetOf("IPv4", "masqueradeCIDRs: [10.1.0.0/16]", { toPorts });
  const rules = programmed(ruleset).chains.get(ruleset.chain) ?? [];
  const address = parseAddress("10.1.2.3")?.value ?? 0n;
  const shares = walk(rules, { protocol: "udp", isTo: containsIn("IPv4", address) });
  expect([...shares].map(([verdict, share]) => `${verdict}: ${share.toFixed(6)}`)).toEqual([
    "MASQUERADE 1-10: 0.100000",
    "MASQUERADE 101-130: 0.300000",
    "MASQUERADE 201-260: 0.600000",
  ]);
  expect([...walk(rules, { protocol: "icmp", isTo: containsIn("IPv4", address) }).keys()]).toEqual([
    "MASQUERADE",
  ]);
});

test("with ports, exceptions leave only returning rules, in address order", () => {
  const toPorts = [{ first: 1n, last: 2n }];
  const ruleset = rulesetOf("IPv4", "nonMasqueradeCIDRs: [10.0.0.0/30]\nmasqueradeCIDRs: [10.0.0.1/32]", {
    toPorts,
  });
  const destinations = [...renderRestore(ruleset, MODERN).matchAll(/-d (\S+) -j (\S+)/g)].map((m) =>
    m.slice(1).join(" "),
  );
  expect(destinations).toMatchInlineSnapshot(`
    [
      "10.0.0.0/32 RETURN",
      "10.0.0.2/31 RETURN",
      "169.254.0.0/16 RETURN",
    ]
  `);
});

test("planning does not change a ruleset", () => {
  const ruleset = rulesetOf("IPv4", "masqueradeCIDRs: [10.1.0.0/16]", { toPorts: [{ first: 1n, last: 2n }] });
  const before = structuredClone(ruleset);
  programmed(ruleset);
  expect(ruleset).toEqual(before);
});
