/** What the pages for operators show of answers is what the commands answer, on a node of their own. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { shownAnswers, wholeBlocks } from "../../lab/documents.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";

const CONFIG = "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 192.168.0.0/16\nresyncInterval: 30s\n";
/** As the kubelet writes it. */
const KUBELET = [
  ...["-m", "comment", "--comment", "kubelet: SNAT outbound cluster traffic", "-m", "addrtype"],
  ...["!", "--dst-type", "LOCAL", "!", "-d", "10.0.0.0/16", "-j", "MASQUERADE"],
];

/** Without the parts that differ from run to run; the configuration has the same path as in a pod. */
function normal(text: string, lab?: Lab): string {
  return text
    .replaceAll(lab?.volume.path ?? "\0", "/etc/config/ip-masq-agent")
    .replaceAll(`${lab?.directory}/`, "")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replaceAll(/ v\d\S*,/g, " VERSION,")
    .replaceAll(/pid \d+/g, "pid PID")
    .replaceAll(/\d+ notes?/g, "N notes")
    .replaceAll(/^last pass .*/gm, "last pass");
}

/** Where a command has to look in a lab, and not on this machine. */
function flagsOf({ volume, directory }: Lab): Readonly<Record<string, readonly string[]>> {
  const config = `--config=${volume.path}`;
  return { explain: [config], diff: [config], doctor: [`--cni-dir=${join(directory, "cni")}`] };
}

/** Expects the only block of the page that contains `part` to be in the answer of a command. */
async function expectShown(lab: Lab, page: string, part: string, ...args: readonly string[]) {
  const blocks = wholeBlocks(readFileSync(page, "utf8"), "text").map((block) => normal(block));
  const shown = blocks.filter((block) => block.includes(part));
  expect(shown, `${page}: ${part}`).toHaveLength(1);
  const [command = "", ...rest] = args;
  const line = [agentBundle(), command, ...(flagsOf(lab)[command] ?? [])];
  // What an agent has logged, it answers a little later.
  await eventually(async () => {
    const { stdout, stderr } = await lab.inNode(process.execPath, [...line, ...rest]);
    expect(normal(stdout + stderr, lab)).toContain(shown[0]);
  });
}

/** Expects what the README shows of a command's answer. */
async function expectReadme(lab: Lab, command: string) {
  const shown = shownAnswers(readFileSync("README.md", "utf8")).filter(({ args }) => args === command);
  const line = [agentBundle(), command, ...(flagsOf(lab)[command] ?? [])];
  const { stdout } = await lab.inNode(process.execPath, line);
  const parts = shown.flatMap(({ parts }) => parts);
  expect(parts.length).toBeGreaterThan(0);
  for (const part of parts) expect(normal(stdout, lab)).toContain(part);
}

describeKernel("answers on the pages", () => {
  labTest("are those of a node that is well, and of one that is not", async ({ lab }) => {
    lab.volume.write(CONFIG);
    mkdirSync(join(lab.directory, "cni"));
    const agent = lab.startAgent({ flags: ["--iptables-mode=nft"] });
    const iptables = (...args: readonly string[]) => lab.inNode("iptables-nft", ["-t", "nat", ...args]);
    await eventually(async () => expect(await iptables("-S", "IP-MASQ-AGENT")).toMatchObject({ code: 0 }));
    await eventually(() => expect(agent.log()).toContain("serving at"));

    await expectShown(lab, "docs/troubleshoot.md", "(accepted)", "status");
    await expectShown(lab, "docs/troubleshoot.md", "No problems", "doctor");
    await expectShown(lab, "docs/troubleshoot.md", "no difference", "diff");
    await expectShown(lab, "docs/troubleshoot.md", "rule 4", "explain", "--live", "10.1.2.3", "8.8.8.8");

    await iptables("-I", "POSTROUTING", "1", "-j", "ACCEPT");
    await expectShown(
      lab,
      "docs/troubleshoot.md",
      "(iptables-nft -t nat): -j ACCEPT",
      "explain",
      "--live",
      "8.8.8.8",
    );
    await expectReadme(lab, "doctor");
    await iptables("-D", "POSTROUTING", "1");

    await iptables("-I", "POSTROUTING", "1", ...KUBELET);
    await expectShown(lab, "docs/troubleshoot.md", "the kubelet masquerades", "doctor");
    await iptables("-D", "POSTROUTING", "1");

    const file = join(lab.directory, "bad.yaml");
    writeFileSync(file, "nonMasqueradeCIDR:\n  - 10.0.0.0/8\n");
    await expectShown(lab, "docs/troubleshoot.md", "did you mean nonMasqueradeCIDRs", "validate", file);

    lab.volume.write("nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n");
    await eventually(() => expect(agent.log()).toContain("Error syncing configuration"));
    await expectShown(lab, "docs/troubleshoot.md", "(refused)", "status");

    await agent.end();
    await expectShown(lab, "docs/troubleshoot.md", "nothing listens there", "status");
  });
});
