/** `diff` against the real kernel: nothing after the agent has applied, and drift as it is. */
import { expect } from "vitest";
import type { DiffView } from "../../../src/diff/view.ts";
import { cells } from "../../lab/length.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const BACKENDS = {
  "iptables-nft": ["--backend=iptables", "--iptables-mode=nft"],
  "iptables-legacy": ["--backend=iptables", "--iptables-mode=legacy"],
  ipset: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=1"],
  nftables: ["--backend=nftables"],
} as const;

const BACKENDS_SHOWN = cells(Object.entries(BACKENDS), ([name]) => name !== "iptables-legacy");

const CONFIGS: readonly Readonly<Record<string, unknown>>[] = [
  { nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8", "10.1.0.0/16", "172.16.0.0/12"] },
  {
    nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8", "2600::/16"],
    masqueradeCIDRs: ["10.1.0.0/16", "fd00:1::/32", "169.254.169.254/32"],
  },
  { nonMasqueradeCIDRs: ["0.0.0.0/0", "::/0"] },
  { nonMasqueradeCIDRs: [], masqLinkLocal: true, masqLinkLocalIPv6: true },
  {
    nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"],
    masqueradeSourceCIDRs: ["10.244.0.0/16", "fd00:244::/64"],
    nonMasqueradeSourceCIDRs: ["10.244.128.0/20", "10.244.5.5/32"],
    outputInterfaces: ["eth0", "bond+"],
    outputAddresses: ["192.0.2.0/24", NODE.IPv6],
    outputAddressBy: "flow",
  },
];

/** Whose packets are ours, for a list of destinations that others change. */
const SCOPE = {
  masqueradeSourceCIDRs: ["10.244.0.0/16", "fd00:244::/64"],
  nonMasqueradeSourceCIDRs: ["10.244.128.0/20"],
  outputInterfaces: ["eth0"],
  outputAddresses: ["192.0.2.0/24"],
};

async function diff(lab: Lab, ...args: readonly string[]): Promise<DiffView & { code: number | string }> {
  const all = ["diff", `--config=${lab.volume.path}`, "--enable-ipv6", "-o=json", ...args];
  const { code, stdout, stderr } = await lab.program(all);
  if (stdout === "") throw new Error(`diff: ${code}: ${stderr}`);
  return { ...(JSON.parse(stdout) as DiffView), code };
}

/** Lets an agent program both families, and ends it. */
async function programOnce(lab: Lab, flags: readonly string[]): Promise<void> {
  const agent = lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
  const lines = flags.includes("--backend=nftables") ? 1 : 2;
  await eventually(() => expect(agent.log().split(": programmed ")).toHaveLength(lines + 1));
  await agent.end();
}

describeKernel("diff", () => {
  for (const [at, [backend, flags]] of BACKENDS_SHOWN.entries()) {
    labTest(`${backend}: empty after applying, and not before`, async ({ lab }) => {
      // Rules that ask for sources and links give no certain answer about packets of every source.
      let unclear: readonly string[] = [];
      for (const [i, ports] of [[], ["--to-ports=20000-20999,40000-40999"]].entries()) {
        // Each configuration on one backend, and on each backend one with ports and one without.
        for (const fields of cells(CONFIGS, (_, n) => n === (2 * at + i) % CONFIGS.length)) {
          lab.volume.write(config(fields));
          const before = await diff(lab, ...flags, ...ports);
          expect([before.code, before.differs, before.unclear]).toEqual([1, true, unclear]);
          unclear = "outputInterfaces" in fields ? ["IPv4", "IPv6"] : [];
          await programOnce(lab, [...flags, ...ports]);
          expect(await diff(lab, ...flags, ...ports)).toMatchObject({ code: 0, differs: false });
        }
      }
    });

    const isShown = backend === "ipset" || backend === "nftables";
    const scopes = cells(["every packet", "some packets"], (_, i) => i === 0 || isShown);
    labTest.for(scopes)(
      `${backend}: what others have changed, in destinations of %s`,
      async (whose, { lab }) => {
        const scope = whose === "every packet" ? {} : SCOPE;
        lab.volume.write(
          config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "fd00::/8"], ...scope }),
        );
        await programOnce(lab, flags);
        expect((await diff(lab, ...flags)).differs).toBe(false);
        await tamper(lab, backend);
        const drifted = await diff(lab, ...flags);
        expect(drifted.code).toBe(1);
        expect(drifted.verdicts).toEqual([
          {
            family: "IPv4",
            newlyKept: { addresses: "1048576", cidrs: ["172.16.0.0/12"] },
            newlyMasqueraded: { addresses: "256", cidrs: ["8.8.8.0/24"] },
          },
        ]);
        expect(drifted.drift.length).toBeGreaterThan(0);
      },
    );
  }

  labTest("connections that keep their old decision", async ({ lab }) => {
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));
    const agent = lab.startAgent({ flags: ["--backend=nftables"] });
    await eventually(() => expect(agent.log()).toContain(": programmed "));
    // A TCP connection is remembered for a while after its end.
    await lab.ask("tcp", "8.8.8.8");
    await lab.ask("tcp", "10.10.0.1");
    const next = JSON.stringify({ nonMasqueradeCIDRs: ["8.0.0.0/8"] });
    const args = ["diff", `--config=${lab.volume.path}`, "-o=json", "-"];
    const { stdout } = await lab.program(args, { stdin: next });
    const { connections } = JSON.parse(stdout) as DiffView;
    const stale = connections?.stale.map(({ source, destination, keeps }) => [source, destination, keeps]);
    expect(stale?.sort()).toEqual([
      [POD.IPv4, "10.10.0.1", "pod"],
      [POD.IPv4, "8.8.8.8", "node"],
    ]);
  });

  labTest("without root, and where a table is not ours: a line and exit code 2", async ({ lab }) => {
    lab.volume.write("");
    // Without root it could not tell agents of other tests from one beside it.
    const command = [process.execPath, agentBundle(), "diff", "--no-adopt", `--config=${lab.volume.path}`];
    const failures = [];
    for (const flags of Object.values(BACKENDS))
      failures.push(
        await lab.inNode("setpriv", [
          "--reuid=65534",
          "--regid=65534",
          "--clear-groups",
          ...command,
          ...flags,
        ]),
      );
    await lab.inNode("nft", ["add table inet ip-masq-agent"]);
    failures.push(await lab.inNode(command[0] ?? "", [...command.slice(1), "--backend=nftables"]));
    for (const { code, stdout, stderr } of failures) {
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr).toMatch(/root|ermi|not ours/);
    }
    expect((await lab.inNode("cat", ["/proc/net/ip_tables_names"])).stdout).toBe("");
  });
});

/** 172.16.0.0/12 is no longer kept, and 8.8.8.0/24 is. */
async function tamper(lab: Lab, backend: string): Promise<void> {
  const run = async (file: string, ...args: readonly string[]) =>
    expect(await lab.inNode(file, args), args.join(" ")).toMatchObject({ code: 0 });
  if (backend === "nftables") {
    await run(
      "nft",
      "delete element inet ip-masq-agent keep-ipv4 { 172.16.0.0/12 }; add element inet ip-masq-agent keep-ipv4 { 8.8.8.0/24 }",
    );
  } else if (backend === "ipset") {
    await run("ipset", "del", `${CHAIN}-4`, "172.16.0.0/12");
    await run("ipset", "add", `${CHAIN}-4`, "8.8.8.0/24");
  } else {
    const { run: iptables } = lab.iptables(backend === "iptables-legacy" ? "legacy" : "nft");
    await iptables("-R", CHAIN, "3", "-d", "8.8.8.0/24", "-j", "RETURN");
  }
}
