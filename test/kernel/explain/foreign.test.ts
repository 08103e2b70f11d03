/**
 * `explain --live` with rules that other programs put ahead of ours, as they write them: its answer is what a
 * real packet shows. And the same from dumps, on a machine that has no such rules.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { DestinationView, PartView } from "../../../src/explain/view.ts";
import { attempt } from "../../lab/command.ts";
import { cells, times } from "../../lab/length.ts";
import { toolThat } from "../../lab/network/broken-tools.ts";
import { essence } from "../../lab/network/explain-rules.ts";
import { config, describeKernel, flags, labTest, programmed, verdicts } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";
import { POD } from "../../lab/network/topology.ts";

const RULESETS = join(import.meta.dirname, "../../rulesets");
const KUBE_PROXY = join(RULESETS, "kube-proxy-1.36");
const NEWER = join(RULESETS, "newer-nft");

const KEPT = "10.10.0.1";
const MARKED = "172.16.9.9";
const OUTSIDE = "8.8.8.8";
const DESTINATIONS = [KEPT, MARKED, "192.168.5.5", OUTSIDE, "203.0.113.7", "169.254.169.254"];

/** Lines of the nat table, put in front of our jump. */
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  // pkg/kubelet/dockershim/network/kubenet of Kubernetes 1.23, with --non-masquerade-cidr=10.0.0.0/9.
  kubenet: [
    '-I POSTROUTING ! -d 10.0.0.0/9 -m comment --comment "kubenet: SNAT for outbound traffic from cluster" -m addrtype ! --dst-type LOCAL -j MASQUERADE',
  ],
  // pkg/proxy/iptables of Kubernetes 1.32.
  "kube-proxy": [
    ":KUBE-POSTROUTING - [0:0]",
    '-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
  ],
  // plugins/pkg/ip of containernetworking, ipMasq of the plugins bridge and ptp.
  "a CNI plugin with ipMasq": [
    ":CNI-0123456789abcdef01234567 - [0:0]",
    `-I POSTROUTING -s ${POD.IPv4}/32 -m comment --comment "name: \\"kindnet\\" id: \\"0123\\"" -j CNI-0123456789abcdef01234567`,
    '-A CNI-0123456789abcdef01234567 -d 10.244.1.0/24 -m comment --comment "name: \\"kindnet\\" id: \\"0123\\"" -j ACCEPT',
    '-A CNI-0123456789abcdef01234567 ! -d 224.0.0.0/4 -m comment --comment "name: \\"kindnet\\" id: \\"0123\\"" -j MASQUERADE',
  ],
  "an ACCEPT": ["-I POSTROUTING -d 8.0.0.0/8 -j ACCEPT"],
};

const TABLE = `table inet cilium-like {
  set internal { type ipv4_addr; flags interval; elements = { 10.0.0.0/9, 172.16.0.0-172.16.255.255 }; }
  chain post { type nat hook postrouting priority srcnat; policy accept;
    ip daddr @internal accept
    ip saddr ${POD.IPv4} ip daddr { 192.168.0.0/16, 203.0.113.7 } counter masquerade
  }
}
`;

/** `path` has the tools that come before all others. */
async function explain(
  lab: Lab,
  args: readonly string[],
  inNode = true,
  asked: readonly string[] = DESTINATIONS,
  path = "/nonexistent",
): Promise<Record<string, PartView>> {
  const all = ["explain", "-o=json", `--source=${POD.IPv4}`, ...args, ...asked];
  const { PATH } = process.env;
  const { stdout, stderr, code } = inNode
    ? await lab.program(all, { path: `${path}:${PATH}` })
    : await attempt(process.execPath, [agentBundle(), ...all]);
  if (stdout === "") throw new Error(`explain: ${code}: ${stderr}`);
  const { destinations } = JSON.parse(stdout) as { destinations: DestinationView[] };
  return Object.fromEntries(
    destinations.map(({ destination, parts }) => [destination, parts[0] as PartView]),
  );
}

/** `pod`, `node`, as a receiver would see it; `perhaps` where it is left open. */
function senders(parts: Record<string, PartView>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parts).map(([destination, { live }]) => {
      const sender =
        live?.verdict === "keep" ? "pod" : live?.verdict === "masquerade" ? "node" : String(live?.verdict);
      return [destination, live?.possible.length === 0 ? sender : `perhaps ${sender}`];
    }),
  );
}

describeKernel("explain --live beside other programs' rules", () => {
  for (const variant of ["nft", "legacy"] as const) {
    const parity = variant === "nft" ? 0 : 1;
    for (const [name, lines] of cells(Object.entries(FOREIGN), (_, i) => i % 2 === parity)) {
      labTest(`${name} in iptables-${variant}`, async ({ lab }) => {
        lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12"] }));
        lab.startAgent({ flags: flags(variant) });
        await programmed(lab, variant);
        await lab.iptables(variant).transact(...lines);
        const live = await explain(lab, ["--live", `--config=${lab.volume.path}`]);
        const seen = await verdicts(lab, DESTINATIONS);
        expect(senders(live)).toEqual(seen);
        for (const destination of DESTINATIONS) {
          const { verdict, agrees } = live[destination] as PartView;
          expect(agrees, destination).toBe(
            (verdict === "keep") === (seen[destination] === "pod") ? "yes" : "no",
          );
        }
        // The same rules on another machine, from a dump.
        const dump = await lab.inNode(`iptables-${variant}-save`, []);
        const path = join(lab.directory, "dump");
        writeFileSync(path, dump.stdout);
        expect(senders(await explain(lab, [`--rules=${path}`, "--node-address=192.0.2.1"], false))).toEqual(
          seen,
        );
      });
    }

    const isShown = times(0, 1) === 1 || variant === "nft";
    labTest.runIf(isShown)(`marked packets beside kube-proxy in iptables-${variant}`, async ({ lab }) => {
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12"] }));
      lab.startAgent({ flags: flags(variant) });
      await programmed(lab, variant);
      await lab.iptables(variant).transact(...(FOREIGN["kube-proxy"] ?? []));
      await lab.inNode(`iptables-${variant}`, [
        "-t",
        "mangle",
        "-A",
        "PREROUTING",
        "-d",
        MARKED,
        "-j",
        "MARK",
        "--set-mark",
        "0x4000",
      ]);
      const seen = await verdicts(lab, [KEPT, MARKED]);
      expect(seen).toEqual({ [KEPT]: "pod", [MARKED]: "node" });
      const marked = await explain(lab, ["--live", "--mark=0x4000", `--config=${lab.volume.path}`]);
      expect(senders(marked)[MARKED]).toBe("node");
      expect(marked[MARKED]?.agrees).toBe("no");
      expect(marked[MARKED]?.live?.by?.chain).toBe("KUBE-POSTROUTING");
      // Without a given mark, the answer lists its effect separately.
      const unmarked = await explain(lab, ["--live", `--config=${lab.volume.path}`]);
      expect(senders(unmarked)[KEPT]).toBe("pod");
      expect(unmarked[KEPT]?.agrees).toBe("yes");
      expect(unmarked[KEPT]?.live?.marked.map(({ by }) => by?.chain)).toEqual(["KUBE-POSTROUTING"]);
    });
  }

  for (const backend of ["iptables", "nftables"]) {
    labTest(`a base chain of nftables in front of the backend ${backend}`, async ({ lab }) => {
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12"] }));
      const agent = lab.startAgent({ flags: [`--backend=${backend}`, "--iptables-mode=nft"] });
      await eventually(() => expect(agent.log()).toContain(": programmed "));
      expect(await lab.inNode("nft", ["-f", "-"], TABLE)).toMatchObject({ code: 0 });
      const seen = await verdicts(lab, DESTINATIONS);
      expect(seen["192.168.5.5"]).toBe("node");
      expect(senders(await explain(lab, ["--live", `--config=${lab.volume.path}`]))).toEqual(seen);
      const dump = await lab.inNode("nft", ["-j", "list", "ruleset"]);
      const path = join(lab.directory, "dump");
      writeFileSync(path, dump.stdout);
      const saved = senders(await explain(lab, [`--rules=${path}`, "--node-address=192.0.2.1"], false));
      // nft does not show what rules of iptables ask, so there the answer is left open.
      if (backend === "nftables") expect(saved).toEqual(seen);
      else
        for (const destination of DESTINATIONS)
          expect([seen[destination], "perhaps pod", "perhaps node"]).toContain(saved[destination]);
    });
  }

  labTest("an untouched node stays untouched: no table is made by looking", async ({ lab }) => {
    lab.volume.write("");
    const { code, stdout } = await lab.program(["explain", "--live", `--config=${lab.volume.path}`, OUTSIDE]);
    expect(code).toBe(1);
    expect(stdout).toContain("the rules do NOT do what the configuration says");
    expect((await lab.inNode("nft", ["list", "ruleset"])).stdout).toBe("");
    expect(
      (await lab.inNode("cat", ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"])).stdout,
    ).toBe("");
  });

  labTest("without root: one line, and exit code 1", async ({ lab }) => {
    lab.volume.write("");
    // Without root it could not tell agents of other tests from one beside it.
    const flags = ["--live", "--no-adopt", `--config=${lab.volume.path}`];
    const command = [process.execPath, agentBundle(), "explain", ...flags, OUTSIDE];
    const { code, stdout, stderr } = await lab.inNode("setpriv", [
      "--reuid=65534",
      "--clear-groups",
      ...command,
    ]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/root|permitted/i);
  });

  labTest(
    "without tools it reads nf_tables over netlink, as where only the agent is installed",
    async ({ lab }) => {
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12"] }));
      const agent = lab.startAgent({ flags: ["--backend=nftables"] });
      await eventually(() => expect(agent.log()).toContain(": programmed "));
      const ask = async () => {
        const args = [
          "explain",
          "-o=json",
          "--live",
          "--backend=nftables",
          `--config=${lab.volume.path}`,
          ...DESTINATIONS,
        ];
        const { stdout, stderr } = await lab.program(args, { path: "/nonexistent" });
        const { destinations } = JSON.parse(stdout) as { destinations: DestinationView[] };
        const parts = destinations.map(
          ({ destination, parts }) => [destination, parts[0] as PartView] as const,
        );
        return { stderr, answers: senders(Object.fromEntries(parts)) };
      };
      expect(await ask()).toEqual({ stderr: "", answers: await verdicts(lab, DESTINATIONS) });
      // What others have made is understood as well.
      expect(await lab.inNode("nft", ["-f", "-"], TABLE)).toMatchObject({ code: 0 });
      const seen = await verdicts(lab, DESTINATIONS);
      const { answers } = await ask();
      for (const destination of DESTINATIONS) {
        // A packet of another source than the pod, which is not given here, is not masqueraded there.
        const isOpen = ["192.168.5.5", "203.0.113.7"].includes(destination);
        expect(answers[destination], destination).toMatch(isOpen ? /^perhaps / : (seen[destination] ?? ""));
      }
    },
  );

  for (const version of cells(["1.1.3", "1.1.7"], (one) => one === "1.1.7"))
    labTest(`sets made by nft ${version}, on which older ones die`, async ({ lab }) => {
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] }));
      const agent = lab.startAgent({ flags: ["--backend=nftables"] });
      await eventually(() => expect(agent.log()).toContain(": programmed "));
      const made = await lab.inNode("python3", [
        join(NEWER, "replay.py"),
        join(NEWER, `sets-${version}.batch`),
      ]);
      expect(made).toMatchObject({ code: 0, stderr: "" });
      const { stdout: tool } = await lab.inNode("nft", ["--version"]);
      const listing = await lab.inNode("nft", ["-j", "list", "ruleset"]);
      if (tool.includes("v1.0.6")) expect(listing.code).not.toBe(0);
      const known = ["--live", "--out-interface=eth0", `--config=${lab.volume.path}`];
      for (const protocol of ["tcp", "udp"] as const) {
        const parts = await explain(lab, [...known, `--protocol=${protocol}`]);
        for (const destination of DESTINATIONS) {
          const seen = await lab.ask(protocol, destination);
          // A limit may let a packet pass, so what comes behind it is left open.
          const said = senders(parts)[destination]?.replace(/^perhaps /, "");
          const isLimited = protocol === "udp" && destination === "192.168.5.5";
          if (isLimited) expect(parts[destination]?.agrees).toBe("depends");
          else expect(said, `${protocol} ${destination}`).toBe(seen === POD.IPv4 ? "pod" : "node");
        }
      }
      // It follows an earlier translation, but not a rewrite without NAT.
      const first = await explain(lab, known, true, ["10.96.0.50", "10.96.0.53", "10.0.0.9"]);
      expect(Object.values(first).map(({ agrees }) => agrees)).toEqual(["yes", "yes", "depends"]);
      expect(first["10.96.0.50"]?.live?.possible[0]?.by?.text).toContain("vmap @services");
    });

  labTest("rules that an older nft leaves out without a word", async ({ lab }) => {
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] }));
    const agent = lab.startAgent({ flags: ["--backend=nftables"] });
    await eventually(() => expect(agent.log()).toContain(": programmed "));
    const made = await lab.inNode("python3", [join(NEWER, "replay.py"), join(NEWER, "unknown-1.1.7.batch")]);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    for (const protocol of ["tcp", "udp"] as const) {
      const parts = await explain(lab, ["--live", `--config=${lab.volume.path}`, `--protocol=${protocol}`]);
      for (const destination of DESTINATIONS) {
        const seen = (await lab.ask(protocol, destination)) === POD.IPv4 ? "pod" : "node";
        // The rule for VXLAN may concern any packet of UDP.
        const said = senders(parts)[destination]?.replace(protocol === "udp" ? /^perhaps / : /^$/, "");
        expect(said, `${protocol} ${destination}`).toBe(seen);
      }
    }
  });

  labTest("kube-proxy's tables, by the tool and by the kernel", async ({ lab }) => {
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));
    const loaded = await lab.inNode("nft", ["-f", join(KUBE_PROXY, "nftables-1.0.6-agent.nft")]);
    expect(loaded).toMatchObject({ code: 0 });
    const asked = [
      "10.96.1.11",
      "10.96.1.10",
      "10.96.77.7",
      "10.244.0.11",
      "8.8.8.8",
      "203.0.113.40",
      "10.202.0.2",
    ];
    const dying = toolThat(lab, "nft", "kill -SEGV $$");
    for (const more of [[], ["--protocol=tcp"], ["--protocol=udp"], ["--mark=0x4000"]]) {
      const known = ["--live", `--config=${lab.volume.path}`, ...more];
      const byTool = await explain(lab, known, true, asked);
      const byKernel = await explain(lab, known, true, asked, dying);
      for (const destination of asked)
        expect(essence(byKernel[destination]), `${destination} ${more}`).toEqual(
          essence(byTool[destination]),
        );
      if (more[0] === "--mark=0x4000") continue;
      expect(byKernel["8.8.8.8"]?.agrees).toBe("yes");
      expect(byKernel["10.96.1.11"]?.agrees).toBe(more[0] === "--protocol=udp" ? "no" : "yes");
    }
  });
});
