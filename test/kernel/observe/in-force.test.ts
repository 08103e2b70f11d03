/** The rules that the agent reports as in force are the kernel's: with a bad configuration, and with a family whose tools fail. */
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { config, describeKernel, FAMILIES, flags, labTest } from "../../lab/network/fixture.ts";
import { httpGet } from "../../lab/network/http.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";

const ADDRESS = "127.0.0.1:10279";
const BAD = "nonMasqueradeCIDRs: [10.0.0.1/8]";
const hourly = (...nonMasqueradeCIDRs: string[]) => config({ nonMasqueradeCIDRs, resyncInterval: "1h" });

async function get(lab: Lab, path: string): Promise<string> {
  const { code, body } = await httpGet(lab, `http://${ADDRESS}${path}`);
  return code === 0 ? "" : body;
}

/** What the command, the page and the metrics say of rules in force, and of the two digests. */
async function told(lab: Lab) {
  const { code, stdout } = await lab.program(["status"]);
  const { config } = JSON.parse(await get(lab, "/status"));
  const page = await get(lab, "/");
  const metrics = await get(lab, "/metrics");
  const sample = (line: string) => metrics.includes(`\nip_masq_agent_${line} 1\n`);
  const names = (has: (family: string) => boolean) => FAMILIES.filter(has).join();
  const rules = stdout.split("\n").filter((line) => /^rules .*[^t] in force/.test(line));
  return {
    code,
    text: names((family) => rules.join().includes(family)),
    page: names((family) => page.includes(`<h3>${family}: the pod’s address is kept`)),
    picture: page.includes("<figure>"),
    metrics: names((family) => sample(`rules_in_force{ip_family="${family}"}`)),
    config: config.inForce?.families.join() ?? "",
    readLast: config.state,
    // The same two digests everywhere.
    inForce: config.inForce?.hash ?? "nothing",
    agree: [
      stdout.includes(`\nin force   ${config.inForce?.hash ?? "nothing"}`),
      stdout.includes(`\nread last  ${config.hash} (${config.state})`),
      page.includes(config.hash) && page.includes(config.inForce?.hash ?? "nothing"),
      metrics.includes(
        `config_read_last_info{hash="${config.hash}",source="${config.source}",state="${config.state}"} 1`,
      ),
      (metrics.match(/^ip_masq_agent_config_info\{/gm) ?? []).length ===
        (config.inForce?.families.length ?? 0),
    ],
  };
}

const everywhere = (families: string) => ({
  text: families,
  page: families,
  picture: families.includes("IPv4"),
  metrics: families,
  config: families,
  agree: [true, true, true, true, true],
});

const both = FAMILIES.join();

describeKernel.each([
  ["iptables", flags("nft")],
  ["nftables", ["--backend=nftables", "--enable-ipv6"]],
] as const)("the rules reported as in force, %s", { timeout: 60_000 }, (_name, options) => {
  labTest("a bad configuration: at first nothing, later the one before", async ({ lab }) => {
    lab.volume.write(BAD);
    lab.startAgent({ flags: options });
    await eventually(async () =>
      expect(await told(lab)).toMatchObject({
        ...everywhere(""),
        code: 1,
        readLast: "refused",
        inForce: "nothing",
      }),
    );
    lab.volume.write(hourly("10.0.0.0/8", "fd00::/8"));
    await eventually(async () =>
      expect(await told(lab)).toMatchObject({ ...everywhere(both), code: 0, readLast: "accepted" }),
    );
    const { inForce } = await told(lab);
    lab.volume.write(BAD);
    await eventually(async () =>
      expect(await told(lab)).toMatchObject({ ...everywhere(both), code: 1, readLast: "refused", inForce }),
    );
  });
});

describeKernel("the rules reported as in force, a family that fails", { timeout: 60_000 }, () => {
  labTest("is not, until its tools are there", async ({ lab }) => {
    lab.volume.write(hourly("10.0.0.0/8", "fd00::/8"));
    const directory = join(lab.directory, "tools");
    mkdirSync(directory);
    const install = (family: string) => {
      for (const tool of [`${family}-nft`, `${family}-nft-restore`])
        symlinkSync(findTool(tool), join(directory, tool));
    };
    install("iptables");
    lab.startAgent({ flags: flags("nft"), env: { PATH: directory } });
    await eventually(async () =>
      expect(await told(lab)).toMatchObject({ ...everywhere("IPv4"), code: 1, readLast: "accepted" }),
    );
    install("ip6tables");
    await eventually(
      async () => expect(await told(lab)).toMatchObject({ ...everywhere(both), code: 0 }),
      20_000,
    );
  });
});
