import { expect, test } from "vitest";
import { type Changes, dumpHooks, said } from "../../../../test/lab/doctor.ts";

/** The severities of what is said beside these rules; the list keeps 10.0.0.0/8 and link-local, pods have 10.244.1.0/24. */
function beside(text: string, changes: Changes = {}): readonly (string | undefined)[] {
  return said({ hooks: dumpHooks(text), ...changes }).flatMap((line) =>
    line.includes(" untracked: ") ? (line.split(" ")[0] ?? []) : [],
  );
}

/** A dump without the table nat is refused. */
const NO_NAT = "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n";

const raw = (...rules: readonly string[]) =>
  ["*raw", ":PREROUTING ACCEPT [0:0]", ":X - [0:0]", ...rules, "COMMIT", NO_NAT].join("\n");

test.each<[string, string, readonly string[]]>([
  ["all", "-A PREROUTING -j CT --notrack", ["warning"]],
  ["all, by the old target", "-A PREROUTING -j NOTRACK", ["warning"]],
  ["pods", "-A PREROUTING -s 10.244.0.0/16 -j CT --notrack", ["warning"]],
  ["what comes in by pods' bridge", "-A PREROUTING -i cni0 -d 8.0.0.0/8 -j CT --notrack", ["warning"]],
  ["a port", "-A PREROUTING -p udp -m udp --dport 4789 -j CT --notrack", ["info"]],
  ["what the list keeps", "-A PREROUTING -s 10.244.1.0/24 -d 10.0.0.0/8 -j CT --notrack", []],
  ["NodeLocal DNS", "-A PREROUTING -d 169.254.20.10/32 -p udp -m udp --dport 53 -j CT --notrack", []],
  ["the node itself", "-A PREROUTING -d 192.0.2.1/32 -j CT --notrack", []],
  ["local destinations", "-A PREROUTING -m addrtype --dst-type LOCAL -j CT --notrack", []],
  ["sources that are not pods", "-A PREROUTING -s 192.0.2.0/24 -j CT --notrack", []],
  ["another link", "-A PREROUTING -i eth0 -j CT --notrack", []],
  ["a zone, which is tracked", "-A PREROUTING -j CT --zone 1", []],
])("a rule for %s", (_name, rule, expected) => {
  expect(beside(raw(rule))).toEqual(expected);
});

test("in a chain that pods' packets come to, and not behind what takes them away", () => {
  const rule = "-A X -j CT --notrack";
  expect(beside(raw("-A PREROUTING -i cni0 -j X", rule))).toHaveLength(1);
  expect(beside(raw("-A PREROUTING -i eth0 -j X", rule))).toEqual([]);
  expect(beside(raw("-A PREROUTING -s 10.244.0.0/16 -j ACCEPT", "-A PREROUTING -j X", rule))).toEqual([]);
});

const nft = (hook: string, prio: number) =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: "1.0.6", json_schema_version: 1 } },
      { table: { family: "inet", name: "t", handle: 1 } },
      {
        chain: {
          family: "inet",
          table: "t",
          name: "c",
          handle: 1,
          type: "filter",
          hook,
          prio,
          policy: "accept",
        },
      },
      { rule: { family: "inet", table: "t", chain: "c", handle: 2, expr: [{ notrack: null }] } },
    ],
  });

test.each<[string, number, readonly string[]]>([
  ["prerouting", -300, ["warning"]],
  ["output", -300, []],
])("notrack of nftables at %s", (hook, prio, expected) => {
  expect(beside(nft(hook, prio))).toEqual(expected);
});
