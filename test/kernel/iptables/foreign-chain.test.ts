/** A wrong --masq-chain, and a forged jump: neither loses a foreign rule. */
import { expect } from "vitest";
import {
  config,
  describeKernel,
  FAMILIES,
  labTest,
  saysInForce,
  VARIANTS,
} from "../../lab/network/fixture.ts";
import type { Variant } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";

const THEIRS = "KUBE-POSTROUTING";
const COMMENT = (chain: string) =>
  `ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom ${chain} chain`;
const words = (line: string) => line.split(" ");

/** Makes a chain as kube-proxy has one, in both families. */
async function makeTheirs(lab: Lab, variant: Variant): Promise<void> {
  for (const family of FAMILIES) {
    const { run } = lab.iptables(variant, family);
    await run("-N", THEIRS);
    await run(..."-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN".split(" "));
    await run(..."-A KUBE-POSTROUTING -m comment --comment kubernetes -j MASQUERADE".split(" "));
    await run("-A", "POSTROUTING", "-j", THEIRS);
  }
}

async function forgeJump(lab: Lab, variant: Variant): Promise<void> {
  const { run } = lab.iptables(variant);
  const match = ["-m", "comment", "--comment", COMMENT(THEIRS), "-m", "addrtype", "!", "--dst-type", "LOCAL"];
  await run("-A", "POSTROUTING", ...match, "-j", THEIRS);
}

/** The whole nat table of both families. */
async function everything(lab: Lab, variant: Variant): Promise<readonly string[]> {
  const tables = await Promise.all(
    FAMILIES.map(async (family) => {
      const tool = family === "IPv4" ? `iptables-${variant}-save` : `ip6tables-${variant}-save`;
      const { stdout } = await lab.inNode(tool, ["-t", "nat"]);
      return stdout.split("\n").filter((line) => /^[:-]/.test(line));
    }),
  );
  return tables.flat().map((line) => line.replace(/\[\d+:\d+\]/, ""));
}

const cleanup = (lab: Lab, ...args: readonly string[]) => lab.program(["cleanup", ...args]);

describeKernel("a chain of others", () => {
  labTest.for(VARIANTS)(
    "is refused, until it is emptied; the other family goes on (%s)",
    async (variant, { lab }) => {
      await makeTheirs(lab, variant);
      // Of IPv6 it is empty, and so anybody's.
      await lab.iptables(variant, "IPv6").run("-F", THEIRS);
      const { listing, run } = lab.iptables(variant);
      const before = await Promise.all([listing(THEIRS), listing("POSTROUTING")]);
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] }));
      const agent = lab.startAgent({
        flags: [`--masq-chain=${THEIRS}`, `--iptables-mode=${variant}`, "--enable-ipv6"],
      });
      await eventually(() => expect(agent.log()).toContain("IPv6: programmed chain KUBE-POSTROUTING"));
      const refusal = `Error syncing masquerade rules: chain ${THEIRS} is not the agent's: it has 2 rules, none with the comment of an agent`;
      await eventually(() => expect(agent.log()).toContain(refusal));
      expect(await Promise.all([listing(THEIRS), listing("POSTROUTING")])).toEqual(before);

      await run("-F", THEIRS);
      await eventually(() => expect(agent.log()).toContain("IPv4: programmed chain KUBE-POSTROUTING"));
      // By now it is the agent's, whatever another process writes into it.
      for (const line of [`-F ${THEIRS}`, `-A ${THEIRS} -j ACCEPT`]) await run(...words(line));
      await eventually(async () =>
        expect((await listing(THEIRS))?.at(-1)).toContain("(must be last in chain)"),
      );
    },
  );

  labTest.for(VARIANTS)(
    "of GKE's start script is taken over, as its chain is meant to be (%s)",
    async (variant, { lab }) => {
      const { run, listing } = lab.iptables(variant);
      const comment = (text: string) => ["-m", "comment", "--comment", `ip-masq: ${text}`];
      await run("-N", "IP-MASQ");
      const jump = comment(
        "ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain",
      );
      await run("-A", "POSTROUTING", ...jump, ..."-m addrtype ! --dst-type LOCAL -j IP-MASQ".split(" "));
      const kept = comment("RFC 1918 reserved range is not subject to MASQUERADE");
      await run("-A", "IP-MASQ", "-d", "10.0.0.0/8", ...kept, "-j", "RETURN");
      const last = comment("outbound traffic is subject to MASQUERADE (must be last in chain)");
      await run("-A", "IP-MASQ", ...last, "-j", "MASQUERADE");

      lab.volume.write(config({ nonMasqueradeCIDRs: ["192.168.0.0/16"] }));
      const agent = lab.startAgent({ flags: ["--masq-chain=IP-MASQ", `--iptables-mode=${variant}`] });
      await eventually(() => expect(agent.log()).toContain("programmed chain IP-MASQ"));
      expect((await listing("IP-MASQ"))?.join("\n")).not.toContain("10.0.0.0/8");

      // The script's own jump keeps the chain: cleanup and an agent that moves say with which command it goes.
      await agent.end();
      const before = await listing("POSTROUTING");
      const first = await cleanup(lab, "--masq-chain=IP-MASQ");
      expect(first.code).toBe(1);
      expect(await listing("IP-MASQ")).toEqual(["-N IP-MASQ"]);
      expect(await listing("POSTROUTING")).toEqual(
        before?.filter((line) => !line.includes(`"ip-masq-agent: `)),
      );
      const [, line = ""] = /remove that rule first: (.*)$/m.exec(first.stderr) ?? [];
      expect(line).toMatch(new RegExp(`^iptables-${variant} -t nat -D POSTROUTING .*'ip-masq: ensure nat`));
      const other = lab.startAgent({ flags: ["--masq-chain=IP-MASQ", "--backend=nftables"] });
      await eventually(() => expect(other.log()).toContain(`remove that rule first: ${line}\n`));
      await other.end();
      expect(await lab.inNode("sh", ["-c", line])).toMatchObject({ code: 0 });
      expect(await cleanup(lab, "--masq-chain=IP-MASQ")).toMatchObject({ code: 0, stderr: "" });
      expect(await listing("IP-MASQ")).toBeUndefined();
    },
  );

  labTest("is healed at the start if a jump of an agent leads to it", async ({ lab }) => {
    await makeTheirs(lab, "nft");
    await forgeJump(lab, "nft");
    lab.startAgent({ flags: [`--masq-chain=${THEIRS}`, "--iptables-mode=nft"] });
    await eventually(async () =>
      expect((await lab.iptables("nft").listing(THEIRS))?.at(-1)).toContain("(must be last in chain)"),
    );
  });

  labTest(
    "is not removed when the agent moves to nftables, nor one of the kernel's own written",
    async ({ lab }) => {
      await makeTheirs(lab, "nft");
      const before = await everything(lab, "nft");
      const agent = lab.startAgent({ flags: [`--masq-chain=${THEIRS}`, "--backend=nftables"] });
      // Its first pass has looked for what other backends have left.
      await saysInForce(lab);
      await agent.end();
      const other = lab.startAgent({ flags: ["--masq-chain=POSTROUTING", "--iptables-mode=nft"] });
      await eventually(() => expect(other.log()).toContain("chain POSTROUTING is one of the kernel's own"));
      expect(await everything(lab, "nft")).toEqual(before);
    },
  );

  labTest.for(VARIANTS)(
    "stays when cleanup gets its name, or a jump leads there (%s)",
    async (variant, { lab }) => {
      await makeTheirs(lab, variant);
      const before = await everything(lab, variant);
      for (const args of [[`--masq-chain=${THEIRS}`], ["--masq-chain=POSTROUTING"], ["--all-chains"]]) {
        if (args[0] === "--all-chains") await forgeJump(lab, variant);
        const { code, stderr } = await cleanup(lab, ...args);
        const stays =
          args[0] === "--masq-chain=POSTROUTING" ? "POSTROUTING stays" : `${THEIRS} stays: it has 2 rules`;
        expect([code, stderr]).toEqual([0, expect.stringContaining(`chain ${stays}`)]);
        expect(await everything(lab, variant), args.join()).toEqual(before);
      }
      for (const family of FAMILIES)
        await lab.iptables(variant, family).run("-D", "POSTROUTING", "-j", THEIRS);
      expect(await cleanup(lab, `--masq-chain=${THEIRS}`, "--force")).toMatchObject({ code: 0 });
      expect((await everything(lab, variant)).join("\n")).not.toContain(THEIRS);
    },
  );

  labTest("so is a set: of another type, or used by rules of others", async ({ lab }) => {
    for (const [type, rule, refusal] of [
      ["hash:ip", undefined, "set with the same name already exists"],
      ["hash:net", "-A POSTROUTING -m set --match-set MINE-4 dst -j ACCEPT", "set MINE-4 is not the agent's"],
    ] as const) {
      expect(await lab.inNode("ipset", ["create", "MINE-4", type])).toMatchObject({ code: 0 });
      expect(await lab.inNode("ipset", ["add", "MINE-4", "192.0.2.7"])).toMatchObject({ code: 0 });
      if (rule !== undefined) await lab.iptables("nft").run(...words(rule));
      const before = (await lab.inNode("ipset", ["save"])).stdout;
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16"] }));
      const flags = ["--masq-chain=MINE", "--iptables-mode=nft", "--ipset-threshold=1"];
      const agent = lab.startAgent({ flags });
      await eventually(() => expect(agent.log()).toContain(refusal));
      await agent.end();
      const { code } = await cleanup(lab, "--masq-chain=MINE");
      expect(code).toBe(rule === undefined ? 0 : 1);
      expect((await lab.inNode("ipset", ["save"])).stdout).toBe(before);
      await lab.iptables("nft").run("-F", "POSTROUTING");
      // The kernel takes rules away a little later than it says, and a set is in use for so long.
      await eventually(async () => expect(await lab.inNode("ipset", ["destroy"])).toMatchObject({ code: 0 }));
    }
  });
});
