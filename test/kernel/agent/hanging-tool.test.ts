/** Tools that hang: they delay only their own family, and no probe takes the agent for dead. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
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
import { createShims, type Shims } from "../../lab/network/shims.ts";
import { isAlive } from "../../lab/network/usage.ts";

const ADDRESS = "127.0.0.1:10250";
const REAL = `exec ${dirname(findTool("iptables"))}/\${0##*/} "$@"`;
/** How long a tool has at least that only looks. */
const DEADLINE_MS = 5_000;

/** Lets tools hang whose names fit a pattern of the shell; SIGTERM ends the shell, and its child with it. */
function hang(lab: Lab, { replace }: Shims, names: string) {
  const file = join(lab.directory, "hanging");
  replace(`case \${0##*/} in ${names}) echo $$ >> ${file}; sleep 600;; esac\n${REAL}`);
  const pids = () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map(Number) : []);
  return { pids, ended: () => pids().filter((pid) => !isAlive(pid)) };
}
type Hanging = ReturnType<typeof hang>;

/** The code of an answer within the node; 0 without one. */
async function code(lab: Lab, path: string): Promise<number> {
  return (await httpGet(lab, `http://${ADDRESS}${path}`)).code;
}

/** Removes the rules of a family beside so many tools that hang, one after the other; each time they are back while it still hangs. */
async function healedBeside(tools: number, { pids }: Hanging, iptables: Iptables, good: readonly string[]) {
  for (let i = 1; i <= tools; i++) {
    await eventually(() => expect(pids().length).toBeGreaterThanOrEqual(i));
    // On a busy machine it may end before they are back: then beside the next one.
    await eventually(async () => {
      const tool = pids().at(-1) ?? 0;
      expect(isAlive(tool)).toBe(true);
      await iptables.run("-F", CHAIN);
      await eventually(async () => expect(await iptables.listing(CHAIN)).toEqual(good));
      expect(isAlive(tool)).toBe(true);
    });
  }
}

describeKernel("a tool that hangs", { concurrent: true }, () => {
  labTest("of one family, later on: the other is healed meanwhile", async ({ lab }) => {
    lab.volume.write(config({ resyncInterval: "1h" }));
    const shims = createShims(lab);
    lab.startAgent({ flags: flags("nft"), env: shims.env });
    await programmed(lab, "nft");
    const [ipv4, ipv6] = bothFamilies(lab, "nft");
    if (ipv4 === undefined || ipv6 === undefined) throw new Error("a family is missing");
    const [good = [], good6] = [await ipv4.listing(CHAIN), await ipv6.listing(CHAIN)];
    const tools = hang(lab, shims, "ip6*");
    await ipv6.run("-F", CHAIN);
    // Beyond a look's deadline.
    await healedBeside(2, tools, ipv4, good);
    shims.replace(REAL);
    await eventually(async () => expect(await ipv6.listing(CHAIN)).toEqual(good6));
  });

  for (const variant of VARIANTS_SHOWN) {
    labTest(
      `of IPv6, at the start, iptables-${variant}: IPv4 has its rules, probes answers`,
      async ({ lab }) => {
        lab.volume.write(config({ resyncInterval: "1h" }));
        const shims = createShims(lab);
        const tools = hang(lab, shims, "ip6*");
        const agent = lab.startAgent({
          flags: [...flags(variant), `--http-address=${ADDRESS}`],
          env: shims.env,
        });
        const [ipv4] = bothFamilies(lab, variant);
        await eventually(async () => expect((await ipv4?.listing(CHAIN))?.length).toBeGreaterThan(1));
        await eventually(async () => expect(await code(lab, "/livez")).toBe(200));
        expect(tools.ended()).toEqual([]);
        expect(await code(lab, "/readyz")).toBe(503);
        if (ipv4 !== undefined && variant === "nft")
          await healedBeside(1, tools, ipv4, (await ipv4.listing(CHAIN)) ?? []);
        shims.replace(REAL);
        await programmed(lab, variant);
        await eventually(async () => expect(await code(lab, "/readyz")).toBe(200));
        await agent.end("SIGTERM");
      },
    );
  }

  for (const mode of ["auto", "nft"]) {
    labTest(
      `of both families, --iptables-mode=${mode}: probes are answered at once, the end comes`,
      async ({ lab }) => {
        lab.volume.write(config({}));
        const shims = createShims(lab);
        const tools = hang(lab, shims, "*");
        const more = [`--iptables-mode=${mode}`, "--enable-ipv6", `--http-address=${ADDRESS}`];
        const agent = lab.startAgent({ flags: more, env: shims.env });
        await eventually(async () => expect(await code(lab, "/livez")).toBe(200));
        expect(tools.ended()).toEqual([]);
        expect(await code(lab, "/readyz")).toBe(503);
        expect(await code(lab, "/metrics")).toBe(200);
        const startedAt = performance.now();
        await agent.end("SIGTERM");
        expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS);
      },
    );
  }
});
