/** An agent that shuts down in the middle of its work: it completes started changes, unless they take too long. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import {
  bothFamilies,
  config,
  describeKernel,
  flags,
  labTest,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { CHAIN, type Variant } from "../../lab/network/iptables.ts";
import { eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { createShims, type Shims } from "../../lab/network/shims.ts";
import { isAlive } from "../../lab/network/usage.ts";

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] });
const CODES = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;
const LAST = "writing the rules";
/** How long the agent lets them work on; and how long a tool has while the agent stays, of which its end must be independent. */
const GRACE_MS = 2_500;
const DEADLINE_MS = 30_000;

/** The real tools, but for one that first does something else, by default waits until it may go on, and leaves its process' id. */
function interrupt(lab: Lab, shims: Shims, variant: Variant, which: string, action?: string) {
  const pid = join(lab.directory, "pid");
  const goesOn = join(lab.directory, "goes-on");
  for (const left of [pid, goesOn]) rmSync(left, { force: true });
  const instead = action ?? `until [ -e ${goesOn} ]; do sleep 0.02; done`;
  const real = `${dirname(findTool("iptables"))}/\${0##*/}`;
  const is = `case "\${0##*/} $*" in "iptables-${variant}"${which}) [ -e ${pid} ] || { echo $$ > ${pid}; ${instead}; };; esac`;
  shims.replace(`${is}\nexec ${real} "$@"`);
  return {
    isRunning: () => existsSync(pid),
    pid: () => Number(readFileSync(pid, "utf8")),
    goOn: () => writeFileSync(goesOn, ""),
  };
}

interface Ending {
  readonly agent: Agent;
  readonly tookMs: number;
}

/** Ends an agent while a tool is at work, with one new agent after the other until the machine is fast enough for the grace period. */
async function endInTime(
  { lab, shims, variant }: { readonly lab: Lab; readonly shims: Shims; readonly variant: Variant },
  interrupted: readonly [which: string, action?: string],
  [signal, code]: readonly [signal: string, code: number] = ["SIGTERM", 143],
): Promise<Agent> {
  const attempt = async (): Promise<Ending> => {
    const tool = interrupt(lab, shims, variant, ...interrupted);
    const agent = lab.startAgent({ flags: flags(variant), env: shims.env });
    await eventually(() => expect(tool.isRunning()).toBe(true));
    const startedAt = performance.now();
    const ended = agent.end(signal as NodeJS.Signals);
    tool.goOn();
    expect(await ended).toBe(code);
    return { agent, tookMs: performance.now() - startedAt };
  };
  for (;;) {
    const { agent, tookMs } = await attempt();
    if (tookMs < GRACE_MS) return agent;
    expect(await lab.program(["cleanup"])).toMatchObject({ code: 0 });
  }
}

describeKernel.each(VARIANTS_SHOWN)(
  "an end in the midst of a pass, iptables-%s",
  { concurrent: true },
  (variant) => {
    // Told to end in each step of the first programming; whatever had begun is whole.
    for (const [step, which] of [
      ["making the chain", '*" -N "*'],
      ["appending the jump", '*" -A "*'],
      [LAST, "-restore*"],
    ] as const)
      for (const [signal, code] of Object.entries(step === LAST ? CODES : { SIGTERM: 143 }))
        labTest(`${signal} while ${step}: the family's rules are whole`, async ({ lab }) => {
          const shims = createShims(lab);
          lab.volume.write(CONFIG);
          const agent = await endInTime({ lab, shims, variant }, [which], [signal, code]);
          const [ipv4, ipv6] = bothFamilies(lab, variant);
          expect((await ipv4?.listing(CHAIN))?.at(-1)).toContain("(must be last in chain)");
          expect((await ipv4?.listing("POSTROUTING"))?.at(-1)).toContain(`-j ${CHAIN}`);
          // The other family had not begun, and is left as it was; on a busy machine it may have had its turn, and is whole as well.
          const other = await ipv6?.listing(CHAIN);
          if (!agent.log().includes("IPv6: using ")) expect(other).toBeUndefined();
          else expect(other?.at(-1) ?? "(must be last in chain)").toContain("(must be last in chain)");
        });

    for (const action of ["sleep 600", "trap '' TERM; while :; do sleep 0.1; done"])
      labTest(`a tool that hangs (${action}) is gone when the grace period is over`, async ({ lab }) => {
        const shims = createShims(lab);
        lab.volume.write(CONFIG);
        const tool = interrupt(lab, shims, variant, "-restore*", action);
        const agent = lab.startAgent({ flags: flags(variant), env: shims.env });
        await eventually(() => expect(tool.isRunning()).toBe(true));
        const startedAt = performance.now();
        expect(await agent.end()).toBe(143);
        expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS / 2);
        await eventually(() => expect(isAlive(tool.pid())).toBe(false));
      });

    labTest("a tool that only reads does not delay the end", async ({ lab }) => {
      const shims = createShims(lab);
      lab.volume.write(CONFIG);
      await endInTime({ lab, shims, variant }, ['*" -S "*', "sleep 600"]);
    });
  },
);
