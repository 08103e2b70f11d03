/** Tools that hang: they delay only their own family, and no probe takes the agent for dead. */
import { dirname } from "node:path";
import { expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  flags,
  labTest,
  programmed,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { httpGet } from "../../lab/network/http.ts";
import { CHAIN, type Iptables } from "../../lab/network/iptables.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { pause } from "../../lab/network/nftables-agent-table.ts";
import { createShims } from "../../lab/network/shims.ts";

const ADDRESS = "127.0.0.1:10250";
const REAL = `exec ${dirname(findTool("iptables"))}/\${0##*/} "$@"`;
/** What tools do whose names fit a pattern of the shell; SIGTERM ends the shell, and its child with it. */
const hanging = (names: string) => `case \${0##*/} in ${names}) sleep 600;; esac\n${REAL}`;

/** The code of an answer within the node; 0 without one. */
async function code(lab: Lab, path: string): Promise<number> {
  return (await httpGet(lab, `http://${ADDRESS}${path}`)).code;
}

/** Removes the rules of a family again and again for so long; each time they are back within a second. */
async function healedFor(ms: number, iptables: Iptables, good: readonly string[]): Promise<void> {
  for (const until = performance.now() + ms; performance.now() < until; ) {
    await iptables.run("-F", CHAIN);
    await eventually(async () => expect(await iptables.listing(CHAIN)).toEqual(good), 1_000);
    await pause(500);
  }
}

describeKernel("a tool that hangs", () => {
  labTest("of one family, later on: the other is healed within a second all the time", async ({ lab }) => {
    lab.volume.write(config({ resyncInterval: "1h" }));
    const shims = createShims(lab);
    lab.startAgent({ flags: flags("nft"), env: shims.env });
    await programmed(lab, "nft");
    const [ipv4, ipv6] = bothFamilies(lab, "nft");
    if (ipv4 === undefined || ipv6 === undefined) throw new Error("a family is missing");
    const [good = [], good6] = [await ipv4.listing(CHAIN), await ipv6.listing(CHAIN)];
    shims.replace(hanging("ip6*"));
    await ipv6.run("-F", CHAIN);
    // Longer than a look's deadline, and beyond what follows it.
    await healedFor(10_000, ipv4, good);
    shims.replace(REAL);
    await eventually(async () => expect(await ipv6.listing(CHAIN)).toEqual(good6));
  });

  for (const variant of VARIANTS_SHOWN) {
    labTest(
      `of IPv6, at the start, iptables-${variant}: IPv4 has its rules, probes answers`,
      async ({ lab }) => {
        lab.volume.write(config({ resyncInterval: "1h" }));
        const shims = createShims(lab);
        shims.replace(hanging("ip6*"));
        const agent = lab.startAgent({
          flags: [...flags(variant), `--http-address=${ADDRESS}`],
          env: shims.env,
        });
        const [ipv4] = bothFamilies(lab, variant);
        await eventually(async () => expect((await ipv4?.listing(CHAIN))?.length).toBeGreaterThan(1), 2_000);
        await eventually(async () => expect(await code(lab, "/livez")).toBe(200), 2_000);
        expect(await code(lab, "/readyz")).toBe(503);
        if (ipv4 !== undefined && variant === "nft")
          await healedFor(3_000, ipv4, (await ipv4.listing(CHAIN)) ?? []);
        shims.replace(REAL);
        await programmed(lab, variant);
        await eventually(async () => expect(await code(lab, "/readyz")).toBe(200));
        await agent.end("SIGTERM");
      },
    );
  }

  for (const mode of ["auto", "nft"]) {
    labTest(
      `of both families, --iptables-mode=${mode}: probes are answered in 2 s, the end comes`,
      async ({ lab }) => {
        lab.volume.write(config({}));
        const shims = createShims(lab);
        shims.replace(hanging("*"));
        const more = [`--iptables-mode=${mode}`, "--enable-ipv6", `--http-address=${ADDRESS}`];
        const agent = lab.startAgent({ flags: more, env: shims.env });
        await eventually(async () => expect(await code(lab, "/livez")).toBe(200), 2_000);
        expect(await code(lab, "/readyz")).toBe(503);
        expect(await code(lab, "/metrics")).toBe(200);
        const startedAt = performance.now();
        await agent.end("SIGTERM");
        expect(performance.now() - startedAt).toBeLessThan(4_000);
      },
    );
  }
});
