/** The rules that pages recommend, run as they are written: their effect on packets of the node, of pods, and without a connection. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { command } from "../../lab/command.ts";
import { blockLines } from "../../lab/documents.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { CHAIN, jumpNumber } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

/** A link's second address, such as one that floats between nodes. */
const FLOATING = "192.0.2.7";
const OUTSIDE = "8.8.8.8";

/** Runs, in the node, the only line of a page that contains `part`. */
async function follow(lab: Lab, page: string, part: string): Promise<void> {
  const lines = blockLines(readFileSync(page, "utf8"), "sh").filter((line) => line.includes(part));
  expect(lines, `${page}: ${part}`).toHaveLength(1);
  expect(await lab.inNode("sh", ["-ec", lines[0] ?? ""])).toMatchObject({ code: 0, stderr: "" });
}

async function startAgent(lab: Lab, backend: string): Promise<void> {
  // The world answers from its first flow on.
  await lab.ask("udp", OUTSIDE);
  lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));
  const agent = lab.startAgent({ flags: [`--backend=${backend}`] });
  await eventually(() => expect(agent.log()).toContain(": programmed "));
}

/** As what a UDP socket of the node, bound to this address and port, is seen outside. */
async function seen(lab: Lab, address: string, port: number): Promise<string> {
  const script = `const socket = require("dgram").createSocket("udp4");
    const ask = () => socket.send("?", 7000, "${OUTSIDE}");
    socket.on("message", (text) => { console.log(String(text)); process.exit(); });
    socket.bind(${port}, "${address}", () => { ask(); setInterval(ask, 500); });`;
  const { stdout } = await lab.inNode("timeout", ["30", process.execPath, "-e", script]);
  await lab.inNode("conntrack", ["-F"]);
  return stdout.trim();
}

/**
 * Ends a connection of the pod after the node has forgotten it, and expects its end to be counted. Not every time: an
 * acknowledgement that comes between makes the node know it again.
 */
async function endsForgotten(lab: Lab, count: () => Promise<number>): Promise<void> {
  const script = `exec 3<>/dev/tcp/${OUTSIDE}/7000; cat <&3; "$@"; exec 3>&-`;
  const [file = "", ...rest] = lab.inside("pod", "bash", "-c", script, "bash");
  await command(file, [...rest, ...lab.inside("node", "conntrack", "-F")]);
  expect(await count()).toBeGreaterThan(0);
}

/** Runs nft in one of the namespaces; returns how many packets all rules with a counter have met. */
async function counted(lab: Lab, where: "node" | "world", ...args: readonly string[]): Promise<number> {
  const [file = "", ...rest] = lab.inside(where, "nft", ...args);
  const found = [...(await command(file, rest)).matchAll(/counter packets (\d+)/g)];
  return found.reduce((sum, [, packets]) => sum + Number(packets), 0);
}

describeKernel.each([
  { backend: "iptables", keep: "--sports 500,4500", drop: "--ctstate INVALID", dropTable: "ip filter" },
  { backend: "nftables", keep: "keep-port", drop: "drop-invalid", dropTable: "inet drop-invalid" },
])("what the pages recommend, $backend", ({ backend, keep, drop, dropTable }) => {
  labTest("keeps ports and addresses of the node's connections, and no pod's", async ({ lab }) => {
    await lab.inNode("ip", ["addr", "add", `${FLOATING}/24`, "dev", "eth0"]);
    await startAgent(lab, backend);
    expect(await seen(lab, NODE.IPv4, 4500)).toMatch(/^192\.0\.2\.1 (?!4500$)\d+$/);
    expect(await seen(lab, FLOATING, 500)).toContain(`${NODE.IPv4} `);
    await follow(lab, "docs/troubleshoot.md", keep);
    expect(await seen(lab, NODE.IPv4, 4500)).toBe(`${NODE.IPv4} 4500`);
    expect(await seen(lab, FLOATING, 500)).toBe(`${FLOATING} 500`);
    expect(await seen(lab, FLOATING, 5000)).toContain(`${NODE.IPv4} `);
    expect(await lab.ask("udp", OUTSIDE)).toBe(NODE.IPv4);
  });

  labTest("drops what would leave with the pod's address", async ({ lab }) => {
    await startAgent(lab, backend);
    const chain = "add chain ip seen arrivals { type filter hook prerouting priority raw; }";
    await counted(
      lab,
      "world",
      `add table ip seen; ${chain}; add rule ip seen arrivals ip saddr ${POD.IPv4} counter`,
    );
    const arrived = () => counted(lab, "world", "list", "table", "ip", "seen");
    await eventually(() => endsForgotten(lab, arrived));

    await follow(lab, "docs/troubleshoot.md", drop);
    const before = await arrived();
    await eventually(() =>
      endsForgotten(lab, () => counted(lab, "node", "list", "table", ...dropTable.split(" "))),
    );
    expect(await arrived()).toBe(before);
  });
});

describeKernel("the rule that a kubelet has left", () => {
  labTest("is deleted as the page says, and nothing else", async ({ lab }) => {
    await startAgent(lab, "iptables");
    const page = readFileSync("docs/install.md", "utf8");
    const rule = /^-A POSTROUTING .*kubenet.*$/m.exec(page)?.[0] ?? "none";
    expect(await lab.inNode("sh", ["-ec", `iptables -t nat ${rule}`])).toMatchObject({ code: 0 });
    const iptables = lab.iptables();
    expect(await iptables.listing("POSTROUTING")).toContainEqual(rule);
    await follow(lab, "docs/install.md", "kubenet");
    expect(await iptables.listing("POSTROUTING")).not.toContainEqual(rule);
    expect(await jumpNumber(iptables)).toBeDefined();
    expect(await iptables.listing(CHAIN)).not.toHaveLength(0);
  });
});
