import { describe, expect, test } from "vitest";
import { CHAIN_RULES, facts, JUMP, natTable, OWN_TABLE, said } from "../../../../test/lab/doctor.ts";
import { known } from "../../../system/fact.ts";
import { diagnose } from "../../checks.ts";
import type { Facts, OwnTable } from "../../facts.ts";

const OTHER_JUMP = JUMP.replaceAll("IP-MASQ-AGENT", "OTHER");
const NFTABLES = { ...facts().settings, backend: "nftables" } as const;

test("of a healthy node there is nothing to say", () => {
  expect(said()).toEqual([]);
  expect(said({ settings: NFTABLES, nat: [natTable([])], nftables: { value: OWN_TABLE } })).toEqual([]);
});

test("every problem has a remedy", () => {
  const sick = facts({
    nat: [natTable(["-A POSTROUTING -j MASQUERADE", JUMP, JUMP, "-N IP-MASQ-AGENT", "-N IP-MASQ"])],
    capabilities: { unknown: "capabilities", why: "no idea" },
  });
  const problems = diagnose(sick).filter(({ severity }) => severity !== "info");
  expect(problems.length).toBeGreaterThan(4);
  expect(problems.filter(({ remedy }) => remedy === undefined)).toEqual([]);
});

describe("our chain and jump", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      "no chain",
      [],
      ["error own-chain: iptables-nft -t nat has no chain IP-MASQ-AGENT: the agent's rules are not in force"],
    ],
    [
      "no jump",
      CHAIN_RULES,
      [
        "error own-chain: iptables-nft -t nat: POSTROUTING has no jump to IP-MASQ-AGENT, so its rules never run",
      ],
    ],
    [
      "two jumps",
      [...CHAIN_RULES, JUMP, JUMP],
      ["warning own-chain: iptables-nft -t nat: 2 jumps from POSTROUTING to IP-MASQ-AGENT"],
    ],
    [
      "an empty chain",
      ["-N IP-MASQ-AGENT", JUMP],
      [
        "error own-chain: iptables-nft -t nat: chain IP-MASQ-AGENT is empty: other traffic is not masqueraded",
      ],
    ],
    [
      "a chain that ends with another rule",
      [...CHAIN_RULES, "-A IP-MASQ-AGENT -d 8.8.8.8/32 -j RETURN", JUMP],
      [
        'error own-chain: iptables-nft -t nat: chain IP-MASQ-AGENT ends with "-A IP-MASQ-AGENT -d 8.8.8.8/32 -j RETURN": other traffic is not masqueraded',
      ],
    ],
    [
      "an ACCEPT for everything in front",
      [...CHAIN_RULES, "-A POSTROUTING -j ACCEPT", JUMP],
      [
        "error blocked-jump: iptables-nft -t nat: the jump to IP-MASQ-AGENT is never reached: an earlier rule takes every packet (ACCEPT): -A POSTROUTING -j ACCEPT",
      ],
    ],
    [
      "a RETURN in front, with a comment",
      [...CHAIN_RULES, '-A POSTROUTING -m comment --comment "a b" -j RETURN', JUMP],
      [
        'error blocked-jump: iptables-nft -t nat: the jump to IP-MASQ-AGENT is never reached: an earlier rule takes every packet (RETURN): -A POSTROUTING -m comment --comment "a b" -j RETURN',
      ],
    ],
    [
      "an ACCEPT in a chain that is jumped to",
      [...CHAIN_RULES, "-N X", "-A X -j ACCEPT", "-A POSTROUTING -j X", JUMP],
      [
        "error blocked-jump: iptables-nft -t nat: the jump to IP-MASQ-AGENT is never reached: an earlier rule takes every packet (ACCEPT): -A X -j ACCEPT",
      ],
    ],
    ["an ACCEPT for some in front", [...CHAIN_RULES, "-A POSTROUTING -d 10.0.0.0/8 -j ACCEPT", JUMP], []],
    ["an ACCEPT behind", [...CHAIN_RULES, JUMP, "-A POSTROUTING -j ACCEPT"], []],
    [
      "a RETURN in a chain that is jumped to",
      [...CHAIN_RULES, "-N X", "-A X -j RETURN", "-A POSTROUTING -j X", JUMP],
      [],
    ],
    [
      "an ACCEPT behind a condition for going on",
      [...CHAIN_RULES, "-N X", "-A X -d 10.0.0.0/8 -j RETURN", "-A X -j ACCEPT", "-A POSTROUTING -j X", JUMP],
      [
        "warning blocked-jump: iptables-nft -t nat: a rule ahead of ours leads packets past our chain that the configuration masquerades: -A X -j ACCEPT",
      ],
    ],
    ["chains in a circle", [...CHAIN_RULES, "-N X", "-A X -j X", "-A POSTROUTING -j X", JUMP], []],
  ])("%s", (_name, lines, expected) => {
    expect(said({ nat: [natTable(lines)] })).toEqual(expected);
  });

  test("in IPv6 only if that is enabled", () => {
    const nat = [natTable([...CHAIN_RULES, JUMP]), natTable([], { family: "IPv6" })];
    expect(said({ nat })).toEqual([]);
    expect(said({ nat, settings: { ...facts().settings, families: ["IPv4", "IPv6"] } })).toEqual([
      "error own-chain: ip6tables-nft -t nat has no chain IP-MASQ-AGENT: the agent's rules are not in force",
    ]);
  });

  test("no iptables at all", () => {
    expect(said({ nat: [], settings: { ...facts().settings, variant: undefined } })).toEqual([
      "error own-chain: the backend is iptables, and no iptables runs here",
    ]);
  });
});

test.each<[string, Partial<OwnTable> | undefined, string]>([
  ["no table", undefined, "no table inet ip-masq-agent: the agent's rules are not in force"],
  [
    "a table of somebody else's",
    { comment: "mine" },
    'table inet ip-masq-agent has the comment "mine" and not "ip-masq-agent chain=IP-MASQ-AGENT": the agent never touches it',
  ],
  ["a dormant table", { dormant: true }, "table inet ip-masq-agent is dormant: its rules do nothing"],
  [
    "no rules",
    { rules: 0, masquerades: false },
    "table inet ip-masq-agent has no rules: other traffic is not masqueraded",
  ],
  [
    "another rule at the end",
    { masquerades: false },
    "table inet ip-masq-agent does not end with masquerade: other traffic is not masqueraded",
  ],
])("our nftables table: %s", (_name, change, expected) => {
  const own = change === undefined ? undefined : { ...OWN_TABLE.own, ...change };
  expect(said({ settings: NFTABLES, nat: [], nftables: { value: { own } } })).toEqual([
    `error own-table: ${expected}`,
  ]);
});

test.each<[string, Parameters<typeof facts>[0], string]>([
  ["an agent that is seen", {}, "see what the agent with pid 1 logs"],
  [
    "one that answers",
    { processes: { value: { kubelets: [], agents: [], answers: true } } },
    "see what the agent logs (ip-masq-agent status",
  ],
  ["none", { processes: { value: { kubelets: [], agents: [] } } }, "no agent runs here: start it"],
  ["no idea", { processes: { unknown: "processes", why: "EPERM" } }, "see whether the agent runs"],
])("rules that are missing, and %s", (_name, change, expected) => {
  const findings = diagnose(facts({ nat: [natTable([])], ...change }));
  expect(findings.find(({ check }) => check === "own-chain")?.remedy).toContain(expected);
});

describe("what is left of others", () => {
  test("chains of another agent", () => {
    expect(said({ nat: [natTable([...CHAIN_RULES, "-N OTHER", JUMP, OTHER_JUMP])] })).toEqual([
      "warning leftovers: iptables-nft -t nat: chain OTHER and a jump to it belong to another agent, or an earlier one left them; they decide too",
    ]);
  });

  test("a chain of an agent that lives is never to be deleted", () => {
    const agents = [
      { pid: 7, chain: "IP-MASQ-AGENT", isOurs: true },
      { pid: 9, chain: "OTHER", isOurs: true },
    ];
    const findings = diagnose(
      facts({
        nat: [natTable([...CHAIN_RULES, "-N OTHER", JUMP, OTHER_JUMP])],
        processes: { value: { kubelets: [["kubelet"]], agents } },
      }),
    );
    const found = findings.find(({ check }) => check === "leftovers");
    expect(found?.message).toContain("belong to the agent with pid 9");
    expect(found?.remedy).not.toContain("cleanup");
  });

  test("nor is one whose agent only holds its socket", () => {
    const holders = {
      value: [
        {
          kind: "held" as const,
          token: "OTHER",
          inode: 1,
          who: "somebody",
          isAgent: undefined,
          isTrusted: true,
        },
      ],
    };
    const findings = diagnose(
      facts({ nat: [natTable([...CHAIN_RULES, "-N OTHER", JUMP, OTHER_JUMP])], holders }),
    );
    expect(findings.find(({ check }) => check === "leftovers")?.remedy).not.toContain("cleanup");
  });

  test("our chain in another variant, beside its agent: cleanup comes after the agent's end", () => {
    const left = natTable([...CHAIN_RULES, JUMP], { variant: "legacy" });
    const nat = [natTable([...CHAIN_RULES, JUMP]), left];
    const remedyOf = (changes: Partial<Facts>) =>
      diagnose(facts({ nat, ...changes })).find(({ check }) => check === "leftovers")?.remedy;
    expect(remedyOf({})).toBe(
      "stop the agent with pid 1, run ip-masq-agent cleanup, which removes nothing before, and start it again",
    );
    expect(remedyOf({ processes: { value: { kubelets: [], agents: [] } } })).toBe(
      "if no such agent is meant to run: ip-masq-agent cleanup",
    );
  });

  test("our chain where another backend, variant or family is in use", () => {
    const alone = natTable(CHAIN_RULES, { variant: "legacy" });
    const own = known(natTable([...CHAIN_RULES, JUMP]));
    const nat = own === undefined ? [] : [{ value: own }, alone];
    expect(said({ nat })).toEqual([
      "warning leftovers: iptables-legacy -t nat has a chain IP-MASQ-AGENT, which the agent does not use there",
      "warning both-variants: IPv4: the nat tables of both variants of iptables have rules (iptables-nft and iptables-legacy)",
    ]);
    const moved = {
      settings: NFTABLES,
      nat: [natTable([...CHAIN_RULES, JUMP])],
      nftables: { value: OWN_TABLE },
    };
    expect(said(moved)).toEqual([
      "warning leftovers: iptables-nft -t nat: chain IP-MASQ-AGENT and a jump to it belong to another agent, or an earlier one left them; they decide too",
    ]);
  });

  test("our table beside iptables, with rules and without", () => {
    expect(said({ nftables: { value: OWN_TABLE } })).toEqual([
      "warning leftovers: table inet ip-masq-agent exists beside the iptables rules and decides too",
    ]);
    expect(said({ nftables: { value: { own: { ...OWN_TABLE.own, rules: 0 } } } })).toEqual([
      "warning leftovers: table inet ip-masq-agent has no rules: an agent has left it",
    ]);
  });

  test("beside the Go program, which never removes what another backend left, a restart is no remedy", () => {
    const remedyOf = (isOurs: boolean) => {
      const agents = [{ pid: 1, chain: "IP-MASQ-AGENT", isOurs }];
      const sick = facts({
        nftables: { value: OWN_TABLE },
        processes: { value: { kubelets: [["kubelet"]], agents } },
      });
      return diagnose(sick).find(({ check }) => check === "leftovers")?.remedy;
    };
    expect(remedyOf(true)).toContain("restart the agent");
    expect(remedyOf(false)).not.toContain("restart the agent");
    expect(remedyOf(false)).toContain("ip-masq-agent cleanup");
  });

  test("sets, unless a rule looks them up", () => {
    const sets = { value: ["KUBE-LOOP-BACK", "IP-MASQ-AGENT-4"] };
    expect(said({ sets })).toEqual([
      "warning leftovers: ipset IP-MASQ-AGENT-4 is ours, and no rule looks it up",
    ]);
    const rule = "-A IP-MASQ-AGENT -m set --match-set IP-MASQ-AGENT-4 dst -j RETURN";
    const [declared = "", ...rules] = CHAIN_RULES;
    expect(said({ sets, nat: [natTable([declared, rule, ...rules, JUMP])] })).toEqual([]);
  });

  test("both variants, unless one has no rules", () => {
    const ours = natTable([...CHAIN_RULES, JUMP]);
    const legacy = natTable(["-A POSTROUTING -d 10.0.0.1/32 -j ACCEPT"], { variant: "legacy" });
    expect(said({ nat: [ours, legacy] })).toEqual([
      "warning both-variants: IPv4: the nat tables of both variants of iptables have rules (iptables-nft and iptables-legacy)",
    ]);
    expect(said({ nat: [ours, natTable([], { variant: "legacy" })] })).toEqual([]);
  });

  test("agents: none, two of a name, two of two names", () => {
    const running = (...chains: string[]) =>
      said({
        processes: {
          value: {
            kubelets: [["kubelet"]],
            agents: chains.map((chain, i) => ({ pid: i + 1, chain, isOurs: true })),
          },
        },
      });
    expect(running()).toEqual([expect.stringContaining("info agents: no agent runs here: ")]);
    expect(running("IP-MASQ-AGENT", "IP-MASQ-AGENT")).toEqual([
      "warning agents: 2 agents with chain IP-MASQ-AGENT run (pids 1, 2)",
    ]);
    expect(running("IP-MASQ-AGENT", "OTHER")).toEqual([]);
  });
});
