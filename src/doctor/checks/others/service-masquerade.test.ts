import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dumpHooks, facts, said } from "../../../../test/lab/doctor.ts";

/** The findings of `service-masquerade` beside the rules of a dump. */
function beside(text: string): readonly string[] {
  const settings = { ...facts().settings, families: ["IPv4", "IPv6"] as const };
  return said({ hooks: dumpHooks(text), settings }).filter((line) => line.includes("service-masquerade"));
}

const dumpOf = (name: string) => readFileSync(`test/rulesets/kube-proxy-1.36/${name}`, "utf8");

test.each([
  ["iptables.save", []],
  ["ip6tables.save", []],
  ["nftables.json", []],
  ["iptables-1.8.9-agent.save", []],
  ["nftables-1.0.6-agent.json", []],
  ["iptables-masquerade-all.save", ["IPv4"]],
  ["ip6tables-masquerade-all.save", ["IPv6"]],
  ["nftables-masquerade-all.json", ["IPv4", "IPv6"]],
])("beside a real kube-proxy, %s", (name, families) => {
  expect(beside(dumpOf(name))).toEqual(
    families.map((family) =>
      expect.stringMatching(
        new RegExp(`^warning service-masquerade: kube-proxy masquerades .*\\(${family}\\): `),
      ),
    ),
  );
});

const SERVICE = "-A KUBE-SVC-X -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ";
const IPVS = "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ";

test.each<[string, string, number]>([
  ["all", SERVICE, 1],
  ["all but pods, by source", SERVICE.replace("-X", "-X ! -s 10.244.0.0/16"), 0],
  ["all but pods, by bridge", SERVICE.replace("-X", "-X ! -i cni0"), 0],
  ["all but pods, by a link's name", SERVICE.replace("-X", "-X ! -i veth+"), 0],
  ["ipvs, all", IPVS, 1],
  ["ipvs, all but pods", IPVS.replace("SERVICES", "SERVICES ! -s 10.244.0.0/16"), 0],
  ["external addresses", IPVS.replace("CLUSTER-IP", "EXTERNAL-IP"), 0],
  ["a node port", SERVICE.replace("KUBE-SVC-X", "KUBE-EXT-X"), 0],
])("rules for %s", (_name, rule, found) => {
  const [, chain = ""] = /^-A (\S+)/.exec(rule) ?? [];
  const text = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    `:${chain} - [0:0]`,
    ":KUBE-MARK-MASQ - [0:0]",
    `-A PREROUTING -j ${chain}`,
    rule,
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "COMMIT",
    "",
  ].join("\n");
  expect(beside(text)).toHaveLength(found);
});
