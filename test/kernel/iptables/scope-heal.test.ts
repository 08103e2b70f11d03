/** Whatever others do to the rules and sets of sources, links and addresses is undone. */
import { expect } from "vitest";
import { config, describeKernel, labTest, VARIANTS_SHOWN } from "../../lab/network/fixture.ts";
import { CHAIN, type Iptables } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { formFlags } from "../../lab/network/packets-chains.ts";
import { fieldsOf } from "../../lab/network/packets-table.ts";
import { LINKS, type PacketSettings } from "../../lab/packets.ts";
import { SETTINGS } from "../../lab/packets-settings.ts";

const LINK = { outputInterfaces: ["eth0", "bond+"] };
/** The lab's node has these two of its own. */
const POOL = { outputAddresses: [LINKS.eth0.IPv4, LINKS.pod0.IPv4] };
const { sources } = SETTINGS;
const CHAIN_SETTINGS: PacketSettings = { ...sources, ...LINK, ...POOL };
const SET_SETTINGS: PacketSettings = { ...SETTINGS["nine sources"], ...LINK };
const SET = `${CHAIN}-S4`;

type Lines = readonly string[];
/** What others make of the chain's lines. */
const replaced = (from: string | RegExp, to: string) => (lines: Lines) =>
  lines.map((line) => line.replace(from, to));
const RULES: Readonly<Record<string, (lines: Lines) => Lines>> = {
  "a rule of an excepted source gone": (lines) => {
    const at = lines.findIndex((line) => line.includes("source is not subject"));
    return lines.toSpliced(at, 1);
  },
  "a wider source": replaced("-s 10.244.0.0/16 ", "-s 10.0.0.0/8 "),
  "another mask": replaced("/255.255.0.1 ", "/255.255.0.3 "),
  "no source": replaced(/-s 10\.244\.0\.0\/\S+ /, ""),
  "another link": replaced("-o eth0 ", "-o eth1 "),
  "no link": replaced("-o bond+ ", ""),
  "the link's beginning as its name": replaced("-o bond+ ", "-o bond "),
  "another address": replaced(`--to-source ${LINKS.eth0.IPv4}`, "--to-source 192.0.2.9"),
  "an address and ports": replaced(/-o eth0 (.*--to-source \S+)/, "-o eth0 -p tcp $1:1-9"),
  "the link's own address": replaced(/SNAT --to-source \S+/, "MASQUERADE"),
  "the last two rules exchanged": (lines) => lines.toSpliced(-2, 2, ...lines.slice(-2).reverse()),
};
const SET_RULES: typeof RULES = {
  "sources that are ours not": replaced("! --match-set", "--match-set"),
  "destinations for sources": replaced(`${SET} src`, `${SET} dst`),
  "no look-up": (lines) => lines.filter((line) => !line.includes(SET)),
};
const ELEMENTS: Readonly<Record<string, readonly string[]>> = {
  "an element less": ["del", SET, "172.30.0.0/16"],
  "an element more": ["add", SET, "0.0.0.0/1"],
  "an exception": ["add", SET, "172.30.7.0/24", "nomatch"],
  "no element": ["flush", SET],
};

async function rulesOf(iptables: Iptables): Promise<readonly string[]> {
  return ((await iptables.listing(CHAIN)) ?? []).filter((line) => line.startsWith("-A"));
}

async function elementsOf(lab: Lab): Promise<readonly string[]> {
  const { stdout } = await lab.inNode("ipset", ["save", SET]);
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("add"))
    .sort();
}

/** Starts an agent, and returns the chain that it wrote. */
async function start(lab: Lab, iptables: Iptables, flags: readonly string[], settings: PacketSettings) {
  lab.volume.write(config(fieldsOf(settings)));
  lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
  return eventually(async () => {
    const rules = await rulesOf(iptables);
    expect(rules.at(-1) ?? "no chain").toContain("must be last");
    return rules;
  });
}

async function expectHealed(iptables: Iptables, rules: Lines, tampers: typeof RULES): Promise<void> {
  for (const [what, tamper] of Object.entries(tampers)) {
    const tampered = tamper(rules);
    expect(tampered, what).not.toEqual(rules);
    await iptables.transact(`:${CHAIN} - [0:0]`, ...tampered);
    await eventually(async () => expect([what, await rulesOf(iptables)]).toEqual([what, rules]));
  }
}

describeKernel.each(VARIANTS_SHOWN)(
  "rules of sources and links that others change, iptables-%s",
  (variant) => {
    labTest("in a chain", async ({ lab }) => {
      const iptables = lab.iptables(variant);
      const rules = await start(lab, iptables, formFlags({ variant, ipsetThreshold: 0 }), CHAIN_SETTINGS);
      expect(rules.filter((line) => line.includes("-j SNAT"))).toHaveLength(4);
      await expectHealed(iptables, rules, RULES);
    });

    labTest("with a set", async ({ lab }) => {
      const iptables = lab.iptables(variant);
      const rules = await start(lab, iptables, formFlags({ variant, ipsetThreshold: 64 }), SET_SETTINGS);
      const elements = await elementsOf(lab);
      expect(elements).toHaveLength(9);
      await expectHealed(iptables, rules, SET_RULES);
      for (const [what, args] of Object.entries(ELEMENTS)) {
        expect(await lab.inNode("ipset", args)).toMatchObject({ code: 0 });
        await eventually(async () => expect([what, await elementsOf(lab)]).toEqual([what, elements]));
      }
      expect(await rulesOf(iptables)).toEqual(rules);
    });
  },
);
