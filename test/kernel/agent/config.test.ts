/** The configuration's life: edits, mistakes, disappearance. */
import { expect } from "vitest";
import {
  config,
  describeKernel,
  expectVerdicts,
  flags,
  labTest,
  logged,
  programmed,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually } from "../../lab/network/lab.ts";
import { createShims } from "../../lab/network/shims.ts";

const GOOD = config({ nonMasqueradeCIDRs: ["198.51.100.0/24", "2001:db8:1::/48"] });
const GOOD_VERDICTS = { "198.51.100.7": "pod", "10.10.0.1": "node", "2001:db8:1::1": "pod" } as const;

/** A mistake of each sort: in the text, in a value, in what the values add up to. */
const BAD = {
  "no document": "nonMasqueradeCIDRs: [",
  "host bits set": config({ nonMasqueradeCIDRs: ["198.51.100.7/24"] }),
  "too many entries": config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12"], cidrLimit: 1 }),
};

describeKernel.each(VARIANTS_SHOWN)("the configuration, iptables-%s", (variant) => {
  labTest("edits flip the verdicts of new connections, both ways", async ({ lab }) => {
    lab.volume.write(GOOD);
    lab.startAgent({ flags: flags(variant) });
    await programmed(lab, variant);
    await expectVerdicts(lab, GOOD_VERDICTS);
    for (const [list, expected] of [
      [["10.0.0.0/8"], { "198.51.100.7": "node", "10.10.0.1": "pod", "2001:db8:1::1": "node" }],
      [["198.51.100.0/24", "2001:db8:1::/48"], GOOD_VERDICTS],
    ] as const) {
      lab.volume.write(config({ nonMasqueradeCIDRs: list }));
      await eventually(() => expectVerdicts(lab, expected));
    }
  });

  labTest.for(Object.entries(BAD))(
    "a bad one (%s): the last good one stays, and is kept healed",
    async ([, text], { lab }) => {
      const iptables = lab.iptables(variant);
      lab.volume.write(GOOD);
      const agent = lab.startAgent({ flags: flags(variant) });
      const [good] = await programmed(lab, variant);
      lab.volume.write(text);
      await eventually(() => expect(logged(agent, "E", "Error syncing configuration")).toHaveLength(1));
      expect(await iptables.listing(CHAIN)).toEqual(good);
      for (const _ of ["once", "and once more"]) {
        await iptables.run("-F", CHAIN);
        await eventually(async () => expect(await iptables.listing(CHAIN)).toEqual(good));
      }
      await expectVerdicts(lab, GOOD_VERDICTS);
      // Said once, however many passes there were.
      expect(logged(agent, "E")).toHaveLength(1);
      lab.volume.write(config({ nonMasqueradeCIDRs: [] }));
      await eventually(() => expectVerdicts(lab, { "198.51.100.7": "node", "2001:db8:1::1": "node" }));
    },
  );

  labTest("a bad one at the start: no rules until it is good", async ({ lab }) => {
    const shims = createShims(lab);
    lab.volume.write(BAD["host bits set"]);
    const agent = lab.startAgent({ flags: flags(variant, "--v=4"), env: shims.env });
    await eventually(() => expect(logged(agent, "E", "did you mean 198.51.100.0/24?")).toHaveLength(1));
    await eventually(() => expect(agent.log().split("pass (").length).toBeGreaterThan(3));
    expect(await lab.iptables(variant).listing(CHAIN)).toBeUndefined();
    expect(shims.calls().filter((call) => !/ -[SC] |--version/.test(call))).toEqual([]);
    lab.volume.write(GOOD);
    await programmed(lab, variant);
    await expectVerdicts(lab, GOOD_VERDICTS);
    expect(logged(agent, "E")).toHaveLength(1);
  });

  labTest("one that vanishes: the defaults", async ({ lab }) => {
    lab.volume.write(GOOD);
    lab.startAgent({ flags: flags(variant) });
    await programmed(lab, variant);
    lab.volume.clear();
    await eventually(() =>
      expectVerdicts(lab, { "198.51.100.7": "node", "10.10.0.1": "pod", "2001:db8:1::1": "node" }),
    );
  });
});
