/** Long lists as sets of the ipset tool, in the iptables backend: when there is one, what it decides, and that none stays. */
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openProber } from "../../lab/network/equivalence-prober.ts";
import {
  config,
  describeKernel,
  expectVerdicts,
  FAMILIES,
  flags,
  labTest,
  logged,
  programmed,
  type VARIANTS,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { ipsets } from "../../lab/network/move-state.ts";

const THRESHOLD = 50;
const NAMES = [`${CHAIN}-4`, `${CHAIN}-6`];

/** A list with `count` entries of each family besides the two that decide. */
function list(count: number): Readonly<Record<string, unknown>> {
  const fillers = Array.from({ length: count }, (_, i) => [
    `100.64.${i}.0/24`,
    `2001:db8:64:${i.toString(16)}::/64`,
  ]);
  return { nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8", ...fillers.flat()], cidrLimit: 10 * count + 10 };
}
const LONG = list(THRESHOLD);
const SHORT = list(THRESHOLD - 1);
const VERDICTS = {
  "10.10.0.1": "pod",
  "8.8.8.8": "node",
  "fd00:10::1": "pod",
  "2001:db8:1::1": "node",
} as const;

/** Link-local, the set's rule, and the masquerading rule: the whole chain of a long list. */
const RULES_WITH_SET = 3;
/** Link-local is in the set as well, for the moments in which the chain is not yet what goes with the set. */
const ELEMENTS = THRESHOLD + 2;

function ipsetFlags(variant: (typeof VARIANTS)[number]): readonly string[] {
  return flags(variant, `--ipset-threshold=${THRESHOLD}`);
}

/** Waits until each family's chain has so many rules, and there are just these sets. */
async function eventuallyHas(
  lab: Lab,
  variant: (typeof VARIANTS)[number],
  rules: number,
  sets: readonly string[],
) {
  await eventually(async () => {
    for (const family of FAMILIES) {
      const listing = (await lab.iptables(variant, family).listing(CHAIN)) ?? [];
      expect(listing.filter((line) => line.startsWith("-A"))).toHaveLength(rules);
    }
    expect([...(await ipsets(lab))].sort()).toEqual(sets);
  });
}

/** How many elements a set has. */
async function sizeOf(lab: Lab, name: string): Promise<number> {
  const { stdout } = await lab.inNode("ipset", ["list", "-t", name]);
  return Number(/Number of entries: (\d+)/.exec(stdout)?.[1]);
}

describeKernel.each(VARIANTS_SHOWN)("lists as sets, iptables-%s", (variant) => {
  labTest(
    "beyond the threshold one set and one rule, below it the chain; back and forth under traffic",
    async ({ lab }) => {
      const prober = await openProber(lab);
      lab.volume.write(config(SHORT));
      lab.startAgent({ flags: ipsetFlags(variant) });
      await programmed(lab, variant);
      const stop = await prober.stream(VERDICTS, 5_000);
      for (let i = 0; i < 3; i++) {
        // THRESHOLD + 1 entries, link-local, and what masquerades; at the threshold there is no set yet.
        await eventuallyHas(lab, variant, THRESHOLD + 2, []);
        lab.volume.write(config(LONG));
        await eventuallyHas(lab, variant, RULES_WITH_SET, NAMES);
        expect(await Promise.all(NAMES.map((name) => sizeOf(lab, name)))).toEqual([ELEMENTS, ELEMENTS]);
        lab.volume.write(config(SHORT));
      }
      const { received, samples } = await stop();
      expect(samples).toEqual([]);
      expect(received).toBeGreaterThan(1_000);
    },
  );

  labTest("a set that a killed agent left, and its half filled successor, are put right", async ({ lab }) => {
    lab.volume.write(config(LONG));
    const first = lab.startAgent({ flags: ipsetFlags(variant) });
    await programmed(lab, variant);
    await first.end("SIGKILL");
    for (const [i, family] of ["inet", "inet6"].entries()) {
      const name = NAMES[i] ?? "";
      expect(await lab.inNode("ipset", ["create", `${name}~`, "hash:net", "family", family])).toMatchObject({
        code: 0,
      });
      expect(await lab.inNode("ipset", ["flush", name])).toMatchObject({ code: 0 });
    }
    lab.startAgent({ flags: ipsetFlags(variant) });
    // The agent programs the families one after the other, and the rules that look up the sets exist all the time.
    for (const name of NAMES) await eventually(async () => expect(await sizeOf(lab, name)).toBe(ELEMENTS));
    await eventuallyHas(lab, variant, RULES_WITH_SET, NAMES);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("a list that became short while no agent ran leaves no set", async ({ lab }) => {
    lab.volume.write(config(LONG));
    const first = lab.startAgent({ flags: ipsetFlags(variant) });
    await programmed(lab, variant);
    await first.end("SIGKILL");
    lab.volume.write(config(SHORT));
    lab.startAgent({ flags: ipsetFlags(variant) });
    await eventuallyHas(lab, variant, THRESHOLD + 2, []);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("whatever others do to a set is undone", async ({ lab }) => {
    lab.volume.write(config(LONG));
    const agent = lab.startAgent({ flags: ipsetFlags(variant) });
    await programmed(lab, variant);
    const [name = ""] = NAMES;
    const listing = async () => (await lab.inNode("ipset", ["save", name, "-s"])).stdout;
    const before = await listing();
    const tamperings = [
      ["del", name, "10.0.0.0/8"],
      ["add", name, "8.8.8.0/24"],
      ["flush", name],
    ];
    for (const args of tamperings) {
      const healed = agent.log().split("healed: ").length;
      expect(await lab.inNode("ipset", args)).toMatchObject({ code: 0, stderr: "" });
      await eventually(() => expect(agent.log().split("healed: ").length).toBeGreaterThan(healed));
      expect((await listing()).split("\n").slice(1)).toEqual(before.split("\n").slice(1));
    }
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("everything kept, and exceptions from it", async ({ lab }) => {
    const { nonMasqueradeCIDRs, ...rest } = LONG as { nonMasqueradeCIDRs: string[] };
    lab.volume.write(
      config({
        ...rest,
        nonMasqueradeCIDRs: ["0.0.0.0/0", "::/0", ...nonMasqueradeCIDRs],
        masqueradeCIDRs: ["8.8.8.0/24", "2001:db8:1::/48", "169.254.169.254/32"],
      }),
    );
    lab.startAgent({ flags: ipsetFlags(variant) });
    await programmed(lab, variant);
    await eventually(() =>
      expectVerdicts(lab, {
        "10.10.0.1": "pod",
        "8.8.8.8": "node",
        "203.0.113.7": "pod",
        "169.254.169.254": "node",
        "169.254.10.20": "pod",
        "2001:db8:1::1": "node",
        "2001:4860:4860::8888": "pod",
      }),
    );
    const { stdout } = await lab.inNode("ipset", ["save", NAMES[0] ?? ""]);
    expect(stdout).toMatch(/^add \S+ 8\.8\.8\.0\/24 nomatch$/m);
    expect(stdout).toMatch(/^add \S+ 0\.0\.0\.0\/1$/m);
    // Link-local is weighed against its exception, so it is in the set as well.
    await eventuallyHas(lab, variant, RULES_WITH_SET - 1, NAMES);
  });

  labTest("without the tool: a warning, and the chain", async ({ lab }) => {
    const PATH = join(lab.directory, "tools");
    mkdirSync(PATH);
    const tools = ["iptables", "ip6tables"].flatMap((base) =>
      ["", "-restore"].map((end) => `${base}-${variant}${end}`),
    );
    for (const tool of tools) symlinkSync(findTool(tool), join(PATH, tool));
    lab.volume.write(config(LONG));
    const agent = lab.startAgent({ flags: ipsetFlags(variant), env: { PATH } });
    // THRESHOLD + 2 entries, link-local, and what masquerades.
    await eventuallyHas(lab, variant, THRESHOLD + 3, []);
    await expectVerdicts(lab, VERDICTS);
    const [line = "", ...more] = logged(agent, "W", "ipset");
    expect(more).toEqual([]);
    expect(line).toMatch(
      /ipset is not in PATH.*the list is longer than --ipset-threshold, but stays in the chain as rules/,
    );
    expect(logged(agent, "E")).toEqual([]);
  });
});
