import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CONFIG_KEYS } from "../../core/keys.ts";
import type { Healing } from "../group.ts";
import { brief, type SeenState, stateAfter } from "./node-state.ts";

type Pass = Parameters<typeof stateAfter>[1];

const HASH = "3f2a91c0d4e5b617";
const GROUP = { label: "IPv4", rulesets: [], inForce: true, changed: false };
const HEALING = (process: string) =>
  [
    {
      drift: [],
      attribution: { commits: [{ generation: 1, process, pid: 7 }], complete: true },
    },
  ] as unknown as readonly Healing[];

function pass(more: Partial<Pass> = {}): Pass {
  return {
    startedAt: 0,
    config: { problems: [], failed: false, isNew: false, source: "f", hash: HASH },
    current: { hash: HASH, source: "f" } as Pass["current"],
    errors: [],
    groups: [GROUP],
    healed: [],
    ...more,
  };
}

const bad = (problem: string, failed = false): Partial<Pass> => ({
  config: { problems: [problem], failed, isNew: true, source: "f", hash: failed ? null : "0" },
  errors: [problem],
});

/** The states after these passes. */
function said(...passes: readonly (readonly [Pass, fightMs?: number])[]): readonly string[] {
  let seen: SeenState | undefined;
  return passes.map(([one, fightMs = 0]) => {
    seen = stateAfter(seen, one, fightMs);
    const { state, config, why } = seen.said;
    return [state, config || "nothing", why].join(" ").trim();
  });
}

describe("a pass", () => {
  const problem = 'configmap n/a (key config):2:5: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned';
  test.each<[string, Partial<Pass>, string]>([
    ["all in force", {}, `ok ${HASH}`],
    ["a bad text: the last good one stays", bad(problem), `refused ${HASH} ${problem}`],
    [
      "a bad text, and nothing before",
      { ...bad(problem), current: undefined, groups: [] },
      `refused nothing ${problem}`,
    ],
    [
      "a file that cannot be read",
      bad("read f: permission denied", true),
      `refused ${HASH} read f: permission denied`,
    ],
    [
      "a tool that fails",
      { errors: ["iptables: no\n  such chain"], groups: [{ ...GROUP, inForce: false }] },
      "failing nothing iptables: no such chain",
    ],
    [
      "one family of two",
      { groups: [GROUP, { ...GROUP, label: "IPv6", inForce: false }] },
      `failing ${HASH} rules are not in force`,
    ],
  ])("%s", (_name, more, expected) => {
    expect(said([pass(more)])).toEqual([expected]);
  });

  test("while tools are at work, the state is as it was", () => {
    const underWay = pass({ groups: [{ ...GROUP, inForce: false, isUnderWay: true }] });
    expect(said([pass()], [underWay])).toEqual([`ok ${HASH}`, `ok ${HASH}`]);
  });

  test("a pass that checks no rules leaves what is in force", () => {
    const blind = pass({ ...bad("f:1:1: no"), groups: [] });
    expect(said([pass()], [blind], [pass()])).toEqual([
      `ok ${HASH}`,
      `refused ${HASH} f:1:1: no`,
      `ok ${HASH}`,
    ]);
  });
});

describe("a fight", () => {
  const healed = HEALING("firewalld");
  const why = "another process keeps changing the agent's rules: firewalld";

  test("is one as long as repairs have to wait, and five minutes more", () => {
    expect(
      said(
        [pass({ startedAt: 0, healed })],
        [pass({ startedAt: 1_000, healed }), 200],
        [pass({ startedAt: 2_000 }), 200],
        [pass({ startedAt: 300_999 }), 200],
        [pass({ startedAt: 301_000 }), 200],
      ),
    ).toEqual([`ok ${HASH}`, ...Array(3).fill(`fighting ${HASH} ${why}`), `ok ${HASH}`]);
  });

  test("a configuration that is refused, and an error, come first", () => {
    const both = pass({ ...bad("f:1:1: no"), healed });
    expect(said([both, 200], [pass({ errors: ["no"] }), 200])).toEqual([
      `refused ${HASH} f:1:1: no`,
      `failing ${HASH} no`,
    ]);
  });
});

/** Whether each surrogate has its pair. */
const isWellFormed = (text: string) => Buffer.from(text).toString() === text;

describe("why", () => {
  test("is one line of at most 200 characters, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 600 }), (text) => {
        const line = brief(text);
        expect(line.length).toBeLessThanOrEqual(200);
        expect(line).not.toMatch(/[\n\r\t]/);
        expect(isWellFormed(line)).toBe(isWellFormed(text));
      }),
    );
    expect(brief("x ".repeat(150))).toMatch(/^(x ){98}x\.\.\.$/);
    expect(brief("a".repeat(196) + "\u{1f600}".repeat(9))).toBe(`${"a".repeat(196)}...`);
  });

  test("shows no secret, where something else is mounted by mistake", () => {
    const secrets = [
      "eyJhbGciOiJSUzI1NiIsImtpZCI6IjNmMmE5MWMwIn0.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl0123456",
      "AKIA0123456789ABCDEF",
      "ghp_0123456789abcdefghijABCDEFGHIJ",
      "MIIBnzCCAUagAwIBAgIUXH87uu4shwAtgf3kGRRTvM3pEHIwCgYIKoZIzj0EAwIw",
    ];
    for (const secret of secrets)
      expect(brief(`f:1:1: unknown key "${secret}"`)).toMatch(/^f:1:1: unknown key "(\[hidden\]|\.)+"$/);
  });

  test("keeps what helps", () => {
    const texts = [
      ...CONFIG_KEYS.map((key) => `f:3:5: ${key}[0]: no`),
      'configmap kube-system/ip-masq-agent (key config):2:5: nonMasqueradeCIDRs[0]: CIDR "2001:db8:1234:5678:9abc:def0:1234:5678/64" is not aligned',
      "/usr/sbin/iptables-nft-restore: exit code 4: line 17 failed",
      "read /etc/config/ip-masq-agent: permission denied (EACCES)",
    ];
    for (const text of texts) expect(brief(text)).toBe(text);
  });
});
