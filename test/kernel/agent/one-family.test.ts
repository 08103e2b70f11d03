/** One family whose tools fail: the other goes on as if nothing were. */
import { dirname } from "node:path";
import { expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  flags,
  labTest,
  logged,
  programmed,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually, findTool } from "../../lab/network/lab.ts";
import { pause } from "../../lab/network/nftables-agent-table.ts";
import { createShims } from "../../lab/network/shims.ts";

describeKernel("trouble of one family, iptables-nft", () => {
  labTest("the other is mended at once, and what fails is not run at each commit", async ({ lab }) => {
    lab.volume.write(config({ resyncInterval: "1h" }));
    const shims = createShims(lab);
    const agent = lab.startAgent({ flags: flags("nft"), env: shims.env });
    await programmed(lab, "nft");
    const [ipv4, ipv6] = bothFamilies(lab, "nft");
    const good = await ipv4?.listing(CHAIN);
    const real = `exec ${dirname(findTool("iptables"))}/\${0##*/} "$@"`;
    const tries = () => shims.calls().filter((call) => call.startsWith("ip6tables-nft ")).length;
    const healthy = tries();
    shims.replace(`case \${0##*/} in ip6*) echo trouble >&2; exit 4;; esac\n${real}`);
    await ipv6?.run("-F", CHAIN);
    // Until the back-off is longer than the promised time of the other.
    await eventually(() => expect(tries() - healthy).toBeGreaterThanOrEqual(5));
    const [before, startedAt] = [tries(), performance.now()];
    let apart = 0;
    for (let i = 0; i < 8; i++) {
      const tried = tries();
      await ipv4?.run("-F", CHAIN);
      await eventually(async () => expect(await ipv4?.listing(CHAIN)).toEqual(good));
      if (tries() === tried) apart++;
      await pause(300);
    }
    // Mended with a pass that tries what fails, it would be so each time.
    expect(apart).toBeGreaterThan(0);
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(tries() - before).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    expect(logged(agent, "E", "trouble")).toHaveLength(1);
    shims.replace(real);
    // Whatever others commit may be what it has waited for.
    await lab.inNode("nft", ["add", "table", "ip", "other"]);
    await eventually(async () => expect((await ipv6?.listing(CHAIN))?.length).toBeGreaterThan(1));
  });
});
