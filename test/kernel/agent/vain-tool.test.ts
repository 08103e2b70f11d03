/** A tool that says yes and does nothing: an error that names the chain, with growing pauses, and nothing is called healed. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { describeKernel, labTest, logged, VARIANTS_SHOWN } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";

/** The most writes of a try: several where the kernel does not show who writes. */
const AT_ONCE = { nft: 1, legacy: 3 } as const;

describeKernel("a restore that does nothing", () => {
  labTest.for(VARIANTS_SHOWN)("is an error while it lasts (%s)", async (variant, { lab }) => {
    const shims = join(lab.directory, "shims");
    const calls = join(lab.directory, "calls");
    mkdirSync(shims);
    const shim = join(shims, `iptables-${variant}-restore`);
    writeFileSync(shim, `#!/bin/sh\ncat >/dev/null\necho >>'${calls}'\n`);
    chmodSync(shim, 0o755);
    const { PATH } = process.env;
    const agent = lab.startAgent({
      flags: [`--iptables-mode=${variant}`],
      env: { PATH: `${shims}:${PATH}` },
    });
    const why = "chain IP-MASQ-AGENT was programmed, but differs from the ruleset";
    await eventually(() => expect(logged(agent, "E", why)).toHaveLength(1));
    const count = () => readFileSync(calls, "utf8").length;
    const [before, since] = [count(), performance.now()];
    await eventually(() => expect(count()).toBeGreaterThan(before + 4 * AT_ONCE[variant]));
    // At pauses that double from 100 ms, of which chance takes off up to a quarter.
    expect(performance.now() - since).toBeGreaterThan(100 + 200 + 400);
    expect(logged(agent, "E")).toHaveLength(1);
    expect(agent.log()).not.toMatch(/healed|in force/);
    writeFileSync(shim, `#!/bin/sh\nexec /usr/sbin/xtables-${variant}-multi iptables-restore "$@"\n`);
    await eventually(() => expect(agent.log()).toContain("the masquerade rules are in force again"));
  });
});
