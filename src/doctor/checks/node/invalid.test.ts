import { expect, test } from "vitest";
import { facts, hook, iptablesHooks } from "../../../../test/lab/doctor.ts";
import type { Hook } from "../../../trace/model.ts";
import { diagnose } from "../../checks.ts";

/** The table filter as iptables lists it. */
function filter(...lines: readonly string[]): Hook {
  return iptablesHooks("filter", lines)[0] as Hook;
}

function forwardHook(rules: Parameters<typeof hook>[1]): Hook {
  return hook("inet f c", rules, { priority: 0, type: "filter", at: "forward" });
}

const state = (right: unknown) => ({ match: { op: "in", left: { ct: { key: "state" } }, right } });
const DROP = { drop: null };
const KUBE_PROXY = [
  "-P FORWARD ACCEPT",
  "-N KUBE-FORWARD",
  '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
  "-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP",
  "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
];

test.each<[string, readonly Hook[], boolean]>([
  ["nothing at all", [], false],
  ["an empty chain", [filter("-P FORWARD ACCEPT")], false],
  ["conntrack's state", [filter("-A FORWARD -m conntrack --ctstate INVALID -j DROP")], true],
  ["the older match", [filter("-A FORWARD -m state --state INVALID,UNTRACKED -j REJECT")], true],
  [
    "anything that is not of a connection",
    [filter("-A FORWARD -m conntrack ! --ctstate NEW,RELATED,ESTABLISHED -j DROP")],
    true,
  ],
  ["kube-proxy's", [filter(...KUBE_PROXY)], true],
  [
    "in a chain of their own",
    [filter("-N X", "-A FORWARD -m conntrack --ctstate INVALID -j X", "-A X -j DROP")],
    true,
  ],
  [
    "for pods' sources only",
    [filter("-A FORWARD -s 10.244.1.0/24 -m conntrack --ctstate INVALID -j DROP")],
    true,
  ],
  [
    "for Docker's only",
    [filter("-A FORWARD -s 172.17.0.0/16 -m conntrack --ctstate INVALID -j DROP")],
    false,
  ],
  [
    "for what comes in by Docker's bridge",
    [filter("-A FORWARD -i docker0 -m conntrack --ctstate INVALID -j DROP")],
    false,
  ],
  [
    "in a chain that nothing leads to",
    [filter("-N X", "-A X -m conntrack --ctstate INVALID -j DROP")],
    false,
  ],
  [
    "behind what accepts everything",
    [filter("-A FORWARD -j ACCEPT", "-A FORWARD -m conntrack --ctstate INVALID -j DROP")],
    false,
  ],
  [
    "behind what accepts some",
    [filter("-A FORWARD -p udp -j ACCEPT", "-A FORWARD -m conntrack --ctstate INVALID -j DROP")],
    true,
  ],
  [
    "other drops",
    [filter("-A FORWARD -d 203.0.113.1/32 -j DROP", "-A FORWARD -m conntrack --ctstate NEW -j DROP")],
    false,
  ],
  [
    "a policy behind established ones",
    [filter("-P FORWARD DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")],
    true,
  ],
  [
    "a policy behind what accepts pods",
    [filter("-P FORWARD DROP", "-A FORWARD -s 10.244.0.0/16 -j ACCEPT")],
    false,
  ],
  ["nftables", [forwardHook({ c: [[state("invalid"), DROP]] })], true],
  ["nftables, of several", [forwardHook({ c: [[state({ set: ["invalid", "untracked"] }), DROP]] })], true],
  [
    "nftables, by a map",
    [
      forwardHook({
        c: [
          [
            {
              vmap: {
                key: { ct: { key: "state" } },
                data: {
                  set: [
                    ["established", { accept: null }],
                    ["invalid", DROP],
                  ],
                },
              },
            },
          ],
        ],
      }),
    ],
    true,
  ],
  [
    "nftables, another state",
    [forwardHook({ c: [[state("new"), { jump: { target: "x" } }]], x: [[DROP]] })],
    false,
  ],
])("%s", (_name, hooks, isDropped) => {
  const found = diagnose(facts({ hooks })).filter(({ check }) => check === "invalid");
  expect(found).toHaveLength(1);
  expect(found[0]?.severity).toBe("info");
  expect(found[0]?.message).toContain(
    isDropped
      ? "INVALID packets are dropped in forward (IPv4): "
      : "nothing drops INVALID packets in forward (IPv4)",
  );
  expect(found[0]?.remedy === undefined).toBe(isDropped);
});

test("each family by itself, and what could not be read", () => {
  const settings = { ...facts().settings, families: ["IPv4", "IPv6"] as const };
  const unread = { unknown: "ip6tables-nft -t filter", why: "no", minor: true };
  const hooks = [filter("-A FORWARD -m conntrack --ctstate INVALID -j DROP")];
  const found = diagnose(facts({ settings, hooks, notTraced: [unread] })).filter(
    ({ check }) => check === "invalid",
  );
  expect(found.map(({ message }) => message)).toEqual([
    expect.stringContaining("are dropped in forward (IPv4)"),
    "whether a rule drops INVALID packets in forward (IPv6) is not known: could not read ip6tables-nft -t filter",
  ]);
});
