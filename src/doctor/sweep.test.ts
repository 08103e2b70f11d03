/**
 * The checks of rules of others are silent exactly where `explain` agrees with the configuration about every packet of every pod, on
 * random nodes: rules of iptables and nftables ahead of ours and after them, marks, exemptions from conntrack, drops in forward.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import {
  CHAIN_RULES,
  type Changes,
  facts,
  hook,
  iptablesHooks,
  JUMP,
  natTable,
  OWN_TABLE,
  said,
} from "../../test/lab/doctor.ts";
import { times } from "../../test/lab/length.ts";
import { parseAddress } from "../core/cidr.ts";
import { answerParts } from "../explain/answer.ts";
import { known } from "../system/fact.ts";
import type { Hook, Packet } from "../trace/model.ts";
import { diagnose } from "./checks.ts";
import { packetSpace } from "./packets.ts";

const CHECKS = ["blocked-jump", "foreign-nat", "foreign-chain", "kubelet-rule", "untracked"];

const SOURCES = ["10.244.1.0/24", "10.244.1.0/25", "10.244.1.5/32", "10.244.0.0/16", "172.17.0.0/16"];
const DESTINATIONS = [
  "10.0.0.0/8",
  "10.96.0.0/12",
  "10.244.1.5/32",
  "8.0.0.0/8",
  "8.8.8.8/32",
  "192.0.2.0/24",
];

/** One address of each part of the address space that these cut out; the node itself aside. */
const PROBES = [
  "10.1.0.1",
  "10.96.0.1",
  "10.244.1.5",
  "8.1.1.1",
  "8.8.8.8",
  "192.0.2.9",
  "9.9.9.9",
  "169.254.1.1",
];
const PODS = ["10.244.1.5", "10.244.1.9", "10.244.1.200"];
const FLOWS: readonly Partial<Packet>[] = [
  ...["tcp", "udp"].flatMap((protocol) => [53, 80].map((port) => ({ protocol, port }))),
  { protocol: "icmp" },
];

function value(text: string): bigint {
  return parseAddress(text)?.value ?? 0n;
}

const not = fc.constantFrom("", "", "! ");
const asked = fc.oneof(
  fc.tuple(not, fc.constantFrom(...DESTINATIONS)).map(([no, cidr]) => `${no}-d ${cidr}`),
  fc.tuple(not, fc.constantFrom(...SOURCES)).map(([no, cidr]) => `${no}-s ${cidr}`),
  fc.tuple(not, fc.constantFrom("eth0", "et+", "eth1")).map(([no, name]) => `${no}-o ${name}`),
  fc.tuple(not, fc.constantFrom("0x4000/0x4000", "0x1")).map(([no, mark]) => `-m mark ${no}--mark ${mark}`),
  fc.constantFrom("-p tcp", "! -p udp", "-p udp -m udp --dport 53", "-p tcp -m tcp ! --dport 80"),
  fc.constantFrom(
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate ESTABLISHED",
    "-m addrtype ! --dst-type LOCAL",
  ),
);
/** Conditions, each kind once. */
const conditions = fc.uniqueArray(asked, {
  maxLength: 2,
  selector: (text) => /-(d|s|o|p|mark|-\w+)\b/.exec(text.replace(/-m \w+ /, ""))?.[0] ?? text,
});
const KUBENET = '-m comment --comment "kubenet: SNAT for outbound traffic from cluster"';

function rules(chains: readonly string[], targets: readonly string[]): fc.Arbitrary<readonly string[]> {
  const one = (chain: string) =>
    fc
      .tuple(conditions, fc.constantFrom(...targets))
      .map(([all, target]) => `-A ${chain} ${[...all, `-j ${target}`].join(" ")}`);
  return fc.tuple(...chains.map((chain) => fc.array(one(chain), { maxLength: 2 }))).map((all) => all.flat());
}

/** Chains of iptables' nat table ahead of our jump and after it. */
const nat = rules(
  ["A", "B", "C"],
  ["MASQUERADE", `MASQUERADE ${KUBENET}`, "ACCEPT", "RETURN", "C", "MARK --set-xmark 0x4000/0x4000"],
).map((all) => {
  // A comment comes before its target, and a chain leads only to later ones.
  const lines = all
    .map((line) => line.replace(/(-j MASQUERADE) (-m comment .*)$/, "$2 $1"))
    .filter((line) => !line.startsWith("-A C ") || !line.endsWith("-j C"));
  const heads = ["-N A", "-N B", "-N C", "-A POSTROUTING -j A", ...CHAIN_RULES, JUMP, "-A POSTROUTING -j B"];
  return [...heads, ...lines];
});

const match = (left: unknown, op: string, right: unknown) => ({ match: { op, left, right } });
const side = (field: string) => ({ payload: { protocol: "ip", field } });
const prefix = (text: string) => {
  const [addr = "", len = ""] = text.split("/");
  return { prefix: { addr, len: Number(len) } };
};
const expression = fc.oneof(
  fc
    .tuple(fc.constantFrom("==", "!="), fc.constantFrom(...DESTINATIONS))
    .map(([op, text]) => match(side("daddr"), op, prefix(text))),
  fc
    .tuple(fc.constantFrom("==", "!="), fc.constantFrom(...SOURCES))
    .map(([op, text]) => match(side("saddr"), op, prefix(text))),
  fc.constantFrom("cni0", "docker0").map((name) => match({ meta: { key: "iifname" } }, "==", name)),
  fc.constant(match({ meta: { key: "l4proto" } }, "==", "tcp")),
  fc.constant(match({ meta: { key: "skuid" } }, "!=", 0)),
);
const nftRule = fc
  .tuple(fc.array(expression, { maxLength: 2 }), fc.constantFrom("masquerade", "accept", "return"))
  .map(([all, verdict]) => [...all, { [verdict]: null }]);
const chain = fc
  .tuple(fc.array(nftRule, { maxLength: 2 }), fc.constantFrom(90, 110))
  .map(([c, priority]) => hook("ip t c", { c }, { priority }));

const table = (name: string, base: string, targets: readonly string[]) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<readonly Hook[]>([]) },
    {
      weight: 1,
      arbitrary: rules([base], targets).map((lines) =>
        iptablesHooks(
          name,
          lines.map((line) => line.replace(/ ?(! )?-o \S+/, "")),
        ),
      ),
    },
  );

/** Our table, as `nft -j` shows it. */
const OURS = hook(
  "inet ip-masq-agent postrouting",
  {
    postrouting: [
      [match({ fib: { result: "type", flags: "daddr" } }, "==", "local"), { return: null }],
      [match(side("daddr"), "==", prefix("10.0.0.0/8")), { return: null }],
      [match(side("daddr"), "==", prefix("169.254.0.0/16")), { return: null }],
      [{ masquerade: null }],
    ],
  },
  { priority: 101 },
);

const node = fc
  .record({
    lines: nat,
    isNft: fc.boolean(),
    foreign: fc.option(chain, { nil: undefined }),
    raw: table("raw", "PREROUTING", ["CT --notrack", "RETURN"]),
    filter: table("filter", "FORWARD", ["DROP", "ACCEPT"]),
  })
  .map(({ lines, isNft, foreign, raw, filter }): Changes => {
    const others = [...(foreign === undefined ? [] : [foreign]), ...raw, ...filter];
    if (!isNft) return { nat: [natTable(lines)], hooks: others };
    const settings = { ...facts().settings, backend: "nftables" as const };
    const without = lines.filter((line) => !line.includes("IP-MASQ-AGENT"));
    return { settings, nat: [natTable(without)], nftables: { value: OWN_TABLE }, hooks: [OURS, ...others] };
  });

const ruleset = rulesetOf("IPv4", JSON.stringify({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));

/** The packets about which `explain` does not agree; a pod's own to itself aside, and what never arrives. */
function disagreements(changes: Changes): readonly string[] {
  const trace = known(facts(changes).trace);
  if (trace === undefined) throw new Error("no rules");
  return PODS.flatMap((pod) =>
    PROBES.filter((probe) => probe !== pod).flatMap((probe) =>
      FLOWS.flatMap(({ protocol, port }) =>
        ["eth0", "eth1", "wlan0"].flatMap((out) => {
          const destination = value(probe);
          const packet = { source: value(pod), in: "cni0", out, mark: 0 };
          const [part] =
            answerParts({
              ...{ family: "IPv4", interval: { first: destination, last: destination }, protocol, port },
              ...{ ruleset, hasConfig: true, node: { ...trace, packet, notRead: [] } },
            }) ?? [];
          if (part?.live?.otherwise.verdict === "drop" || part?.agrees === "yes") return [];
          return `${pod} ${protocol} ${port} -> ${probe} by ${out}: ${part?.agrees} ${JSON.stringify(part?.live?.otherwise)}`;
        }),
      ),
    ),
  );
}

test("silent where explain agrees about every packet, and only there", () => {
  const seen = { silent: 0, loud: 0 };
  fc.assert(
    fc.property(node, (changes) => {
      const findings = diagnose(facts(changes)).filter(({ check }) => CHECKS.includes(check));
      const wrong = disagreements(changes);
      expect(findings.length > 0, `${JSON.stringify(findings)}\n${wrong[0]}`).toBe(wrong.length > 0);
      seen[wrong.length > 0 ? "loud" : "silent"]++;
    }),
    { numRuns: times(60, 3_000) },
  );
  expect(Math.min(seen.silent, seen.loud)).toBeGreaterThan(10);
}, 600_000);

test("beside a rule of which nothing is known, kube-proxy's is no reason to worry", () => {
  const match = { match: { op: "==", left: { "&": [{ meta: { key: "mark" } }, 0x4000] }, right: 0 } };
  const others = hook("ip t c", { c: [[{ queue: null }]] }, { type: "filter", at: "forward", priority: 0 });
  const kubeProxy = hook("ip kube-proxy nat-postrouting", {
    "nat-postrouting": [[match, { return: null }], [{ masquerade: null }]],
  });
  const found = (hooks: readonly Hook[]) => said({ hooks }).map((line) => line.slice(0, line.indexOf(":")));
  expect(found([kubeProxy])).toEqual([]);
  expect(found([others, kubeProxy])).toEqual(["info foreign-chain"]);
});

const AHEAD = (lines: readonly string[]) => said({ nat: [natTable([...CHAIN_RULES, ...lines, JUMP])] });

test("where rules cut the address space into too many parts, the rest is not taken for fine", () => {
  const lines = Array.from({ length: 2_000 }, (_, i) => {
    const net = `52.${i >> 8}.${i & 255}`;
    return `-A POSTROUTING -m iprange --dst-range ${net}.1-${net}.130 -p tcp -j MASQUERADE`;
  });
  expect(AHEAD(lines)).toEqual([
    expect.stringMatching(
      /^warning could-not-check: could not check everything that rules of others decide: IPv4: only \d+ of 2\d{3} parts/,
    ),
  ]);
});

test("of many rules of a kind the first are shown, and how many more there are", () => {
  const lines = Array.from({ length: 25 }, (_, i) => `-A POSTROUTING -d 52.0.0.${i}/32 -j ACCEPT`);
  const found = AHEAD(lines);
  expect(found).toHaveLength(21);
  expect(found.at(-1)).toBe("warning blocked-jump: and 5 more rules of the kind");
});

test("addresses that all rules treat alike are one part", () => {
  const lines = Array.from({ length: 3 }, (_, i) => `-A POSTROUTING -d 52.0.${i}.0/24 -j RETURN`);
  const [hook] = iptablesHooks("nat", [...lines, "-A POSTROUTING -d 52.0.0.0/16 -j RETURN"]);
  if (hook === undefined) throw new Error("no hook");
  const { destinations } = packetSpace(facts(), "IPv4", [hook], []);
  const around = destinations.find(({ intervals }) => intervals.some(({ first }) => first === 0n));
  expect(destinations).toHaveLength(5);
  expect(around?.intervals.length).toBeGreaterThan(2);
});
