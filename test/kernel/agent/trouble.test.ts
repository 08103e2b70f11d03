/** An agent that cannot do its work says why, once for each cause, in a line that says what to do; and recovers. */
import { mkdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  expectVerdicts,
  FAMILIES,
  flags,
  labTest,
  logged,
  programmed,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually, findTool } from "../../lab/network/lab.ts";
import { createShims } from "../../lab/network/shims.ts";

/** One line for each family. */
const ONCE = FAMILIES.length;

/** Retries come ever later, up to this. */
const CONFIG = config({ resyncInterval: "200ms" });

describeKernel.each(VARIANTS_SHOWN)("trouble, iptables-%s", (variant) => {
  labTest("not root: one line, which says what is needed", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const shims = createShims(lab);
    // The log of calls and the lock have to be writable without privileges.
    const files = ["calls", "xtables.lock"].map((name) => join(lab.directory, name)).join(" ");
    await lab.inNode("sh", ["-c", `touch ${files}; chmod 666 ${files}`]);
    const wrapper = [findTool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"];
    const agent = lab.startAgent({ flags: flags(variant), wrapper, env: shims.env });
    await eventually(() => expect(logged(agent, "E")).toHaveLength(ONCE));
    const enough = shims.calls().length + ONCE * 5;
    await eventually(() => expect(shims.calls().length).toBeGreaterThan(enough));
    const lines = logged(agent, "E");
    expect(lines).toHaveLength(ONCE);
    // iptables-nft never needs the second.
    const what =
      variant === "legacy" ? "the capabilities NET_ADMIN and NET_RAW" : "the capability NET_ADMIN:";
    for (const line of lines) expect(line).toContain(`needs root, or ${what}`);
  });

  // iptables-legacy asks for the second when it opens its socket, iptables-nft never.
  const needed = variant === "legacy" ? ["NET_ADMIN", "NET_RAW"] : ["NET_ADMIN"];
  for (const name of needed) {
    labTest(`root without ${name}: one line, which names that one alone`, async ({ lab }) => {
      lab.volume.write(CONFIG);
      const wrapper = [findTool("setpriv"), `--bounding-set=-${name.toLowerCase()}`];
      const agent = lab.startAgent({ flags: flags(variant), wrapper });
      await eventually(() => expect(logged(agent, "E")).toHaveLength(ONCE));
      for (const line of logged(agent, "E")) expect(line).toContain(`(this needs the capability ${name}: in`);
    });
  }

  labTest("no tools: one line, which says what to install; once they are there it works", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const directory = join(lab.directory, "tools");
    mkdirSync(directory);
    const agent = lab.startAgent({ flags: flags(variant), env: { PATH: directory } });
    await eventually(() => expect(logged(agent, "E")).toHaveLength(ONCE));
    for (const line of logged(agent, "E")) expect(line).toMatch(/is not in PATH: install it/);
    // All at once: one without the other would be another cause.
    const installed = `${directory}.new`;
    mkdirSync(installed);
    for (const family of ["iptables", "ip6tables"])
      for (const tool of [`${family}-${variant}`, `${family}-${variant}-restore`])
        symlinkSync(findTool(tool), join(installed, tool));
    renameSync(installed, directory);
    await programmed(lab, variant);
    await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node", "2001:4860:4860::8888": "node" });
    expect(logged(agent, "E")).toHaveLength(ONCE);
  });

  labTest("tools that fail: a line when the cause changes, and none for each retry", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const shims = createShims(lab);
    const agent = lab.startAgent({ flags: flags(variant), env: shims.env });
    await programmed(lab, variant);
    shims.replace("echo 'first trouble' >&2; exit 3");
    // Something to do, which changes no verdict: iptables-nft is not run without need.
    for (const iptables of bothFamilies(lab, variant))
      await iptables.run("-I", CHAIN, "1", "-p", "tcp", "--dport", "9", "-j", "RETURN");
    for (const cause of ["first trouble", "second trouble"]) {
      shims.replace(`echo '${cause}' >&2; exit 3`);
      // Which tool fails first depends on where a pass was when the tools were replaced.
      const lines = () => logged(agent, "E", cause).map((line) => line.replace(/^.*?\] /, ""));
      await eventually(() =>
        expect(lines().filter((line) => line.includes("IPv6")).length).toBeGreaterThan(0),
      );
      await eventually(() =>
        expect(lines().filter((line) => !line.includes("IPv6")).length).toBeGreaterThan(0),
      );
      const enough = shims.calls().length + ONCE * 5;
      await eventually(() => expect(shims.calls().length).toBeGreaterThan(enough));
      expect(new Set(lines()).size).toBe(lines().length);
    }
    // The rules in force stay in force.
    await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node" });
  });
});

describeKernel("a log without a reader", () => {
  labTest("costs lines, not rules", async ({ lab }) => {
    const fifo = join(lab.directory, "stderr");
    // A pipe that is full to the brim, and whose only reader is the agent itself.
    const fill = 'mkfifo "$0" && exec 3<>"$0" && head -c 65536 /dev/zero >&3 && exec "$@" 2>&3';
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: flags("nft"), wrapper: [findTool("sh"), "-c", fill, fifo] });
    await programmed(lab, "nft");
    expect(await lab.inNode("nft", ["flush", "ruleset"])).toMatchObject({ code: 0 });
    await programmed(lab, "nft");
    expect(await agent.end()).toBe(143);
  });
});
