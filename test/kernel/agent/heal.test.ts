/** The agent keeps the kernel in sync: it does nothing without drift, and repairs drift. */
import { expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  expectVerdicts,
  FAMILIES,
  flags,
  labTest,
  programmed,
  VARIANTS,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN, type Iptables, jumpNumber, type Variant } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { createShims, type Shims } from "../../lab/network/shims.ts";

const CONFIG = config({
  nonMasqueradeCIDRs: ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"],
  masqueradeCIDRs: ["10.10.1.0/24", "fd00:10:1::/48"],
});
const VERDICTS = {
  "10.10.0.1": "pod",
  "10.10.1.1": "node",
  "8.8.8.8": "node",
  "fd00:10::1": "pod",
  "fd00:10:1::1": "node",
} as const;

/** The tools of a pass without drift, if it does not see the rules by itself: it lists the chain and checks for the jump, in each family. */
const LOOKS = FAMILIES.length * 2;

/** Waits until `count` more passes have looked at everything. */
async function passes({ calls }: Shims, count: number): Promise<void> {
  const enough = calls().length + count * LOOKS;
  await eventually(() => expect(calls().length).toBeGreaterThanOrEqual(enough));
}

/** Everything that a rewrite of our rules would change: rule handles in nf_tables, packet counters in both variants. */
async function fingerprint(lab: Lab, variant: Variant): Promise<string> {
  const nft = (family: string) => lab.inNode("nft", ["-a", "list", "chain", family, "nat", CHAIN]);
  const details = variant === "nft" ? await Promise.all([nft("ip"), nft("ip6")]) : [];
  const counters = bothFamilies(lab, variant).map((iptables) =>
    iptables.run("-L", CHAIN, "-v", "-x", "-n", "--line-numbers"),
  );
  return [...details.map(({ stdout }) => stdout), ...(await Promise.all(counters))].join("\n");
}

/** What others do to our rules; each in one transaction, so that the agent cannot mend it halfway through. */
const TAMPERINGS: Readonly<Record<string, (iptables: Iptables) => Promise<unknown>>> = {
  "flush the chain": ({ run }) => run("-F", CHAIN),
  "delete the first rule": ({ run }) => run("-D", CHAIN, "1"),
  "delete the last rule": async (iptables) =>
    iptables.run("-D", CHAIN, String((await iptables.packets(CHAIN)).length)),
  "insert a rule of their own": ({ run }) => run("-I", CHAIN, "1", "-j", "ACCEPT"),
  "append a rule of their own": ({ run }) => run("-A", CHAIN, "-j", "ACCEPT"),
  "replace a rule": ({ run }) => run("-R", CHAIN, "2", "-j", "RETURN"),
  "delete the jump": async (iptables) => iptables.transact(await jumpDeletion(iptables)),
  "delete jump and chain": async (iptables) =>
    iptables.transact(await jumpDeletion(iptables), `-F ${CHAIN}`, `-X ${CHAIN}`),
};

async function jumpDeletion(iptables: Iptables): Promise<string> {
  return `-D POSTROUTING ${await jumpNumber(iptables)}`;
}

/** Rules of others: in POSTROUTING before and behind our jump, and in a chain of their own. */
async function addForeignRules({ transact }: Iptables, when: "before" | "after"): Promise<void> {
  const protocol = when === "before" ? "tcp" : "udp";
  await transact(
    `:FOREIGN-${when} - [0:0]`,
    `-A FOREIGN-${when} -p ${protocol} --dport 9 -j RETURN`,
    `-A POSTROUTING -p ${protocol} -j FOREIGN-${when}`,
  );
}

/** Everything in the table that is not ours. */
async function foreignRules(iptables: Iptables): Promise<readonly string[]> {
  return (await iptables.run("-S")).split("\n").filter((line) => !line.includes(CHAIN));
}

/** Our jump and chain. */
async function ownRules(iptables: Iptables): Promise<readonly string[]> {
  return (await iptables.run("-S")).split("\n").filter((line) => line.includes(CHAIN));
}

describeKernel.each(VARIANTS_SHOWN)("a steady state without events, iptables-%s", (variant) => {
  labTest("further passes look, with two calls for each family, and touch nothing", async ({ lab }) => {
    const shims = createShims(lab);
    lab.volume.write(CONFIG);
    lab.startAgent({ flags: flags(variant, "--watch=false"), env: shims.env });
    await programmed(lab, variant);
    await expectVerdicts(lab, VERDICTS);
    await passes(shims, 1);
    const before = await fingerprint(lab, variant);
    const callsBefore = shims.calls().length;
    const packets = await Promise.all(bothFamilies(lab, variant).map((iptables) => iptables.packets(CHAIN)));
    for (const counts of packets) expect(Math.max(...counts)).toBeGreaterThan(0);

    await passes(shims, 8);
    expect(await fingerprint(lab, variant)).toBe(before);
    const calls = shims.calls().slice(callsBefore);
    expect(calls.filter((call) => !/ -[SC] /.test(call))).toEqual([]);
    // Listing and checking alternate, once each for each family and pass.
    const counted = [" -S ", " -C "].flatMap((look) =>
      ["iptables-", "ip6tables-"].map(
        (tool) => calls.filter((call) => call.startsWith(tool) && call.includes(look)).length,
      ),
    );
    expect(Math.max(...counted) - Math.min(...counted)).toBeLessThanOrEqual(1);
  });

  labTest("an agent that is started again finds its rules and leaves them as they are", async ({ lab }) => {
    const shims = createShims(lab);
    lab.volume.write(CONFIG);
    const first = lab.startAgent({ flags: flags(variant, "--watch=false") });
    await programmed(lab, variant);
    expect(await first.end("SIGTERM")).toBe(143);
    await expectVerdicts(lab, VERDICTS);
    const before = await fingerprint(lab, variant);
    lab.startAgent({ flags: flags(variant, "--watch=false"), env: shims.env });
    await passes(shims, 3);
    expect(await fingerprint(lab, variant)).toBe(before);
  });
});

describeKernel.each(VARIANTS)("healing, iptables-%s", (variant) => {
  labTest("whatever others do to the rules is undone, and theirs are left alone", async ({ lab }) => {
    const families = bothFamilies(lab, variant);
    const all = <T>(look: (iptables: Iptables) => Promise<T>) => Promise.all(families.map(look));
    await all((iptables) => addForeignRules(iptables, "before"));
    lab.volume.write(CONFIG);
    lab.startAgent({ flags: flags(variant) });
    await programmed(lab, variant);
    await all((iptables) => addForeignRules(iptables, "after"));
    const [own, foreign] = [await all(ownRules), await all(foreignRules)];
    await expectVerdicts(lab, VERDICTS);

    for (const [what, tamper] of Object.entries(TAMPERINGS)) {
      await all(tamper);
      await eventually(async () => expect(await all(ownRules), what).toEqual(own));
      expect(await all(foreignRules), what).toEqual(foreign);
    }
    await expectVerdicts(lab, VERDICTS);
  });
});
