/** How signals end the agent: as they end a Go program. */
import { expect } from "vitest";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";

const ENDINGS = { SIGTERM: 143, SIGQUIT: 2, SIGABRT: 2, SIGTRAP: 2, SIGSYS: 2, SIGSTKFLT: 2 } as const;

describeKernel("signals", () => {
  labTest("end the agent with the exit codes of the Go program", async ({ lab }) => {
    for (const [signal, code] of Object.entries(ENDINGS)) {
      const agent = lab.startAgent({ flags: ["--http-address="] });
      await eventually(() => expect(agent.log()).toMatch(/programmed chain|is in force already/));
      expect(await agent.end(signal as NodeJS.Signals), signal).toBe(code);
    }
  });
});
