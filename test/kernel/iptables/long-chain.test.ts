/**
 * A long list as a chain of iptables, replaced again and again in a container's memory: the agent, the tool beside it and the
 * rules in the kernel count together. In the environment: LONG_CHAIN, how many CIDRs (8000).
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { times } from "../../lab/length.ts";
import { config, describeKernel, flags, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";

const { LONG_CHAIN = "8000" } = process.env;
const COUNT = Number(LONG_CHAIN);
const REPLACEMENTS = times(1, 4);
const DEADLINE_MS = 120_000;

/** The manifest's. */
const LIMIT_MIB = 384;

/** Measured: 100 MiB with 15,000, and 257 with 50,000. */
const PEAK_MIB = Math.round(50 + (COUNT * 4.9) / 1024);

/** A memory cgroup with this limit, of version 1 or 2; undefined where none can be made. */
function makeGroup(mib: number) {
  const version1 = {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    events: "memory.oom_control",
    peak: "memory.max_usage_in_bytes",
  };
  const version2 = {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    events: "memory.events",
    peak: "memory.peak",
  };
  for (const { root, limit, events, peak } of [version1, version2]) {
    const directory = `${root}/ip-masq-agent-test-${process.pid}`;
    try {
      mkdirSync(directory);
      writeFileSync(`${directory}/${limit}`, String(mib * 1024 * 1024));
      return {
        peakMib: () => Number(readFileSync(`${directory}/${peak}`, "utf8")) / 1024 / 1024,
        join: (pid: number) => writeFileSync(`${directory}/cgroup.procs`, String(pid)),
        kills: () => Number(/^oom_kill (\d+)/m.exec(readFileSync(`${directory}/${events}`, "utf8"))?.[1]),
        remove: () => rmdirSync(directory),
      };
    } catch {
      // Not mounted here, or not ours to change: perhaps the other version is.
    }
  }
  console.warn("NOT TESTED: a long chain in little memory, for which a memory cgroup is needed");
  return undefined;
}

function list(round: number): string {
  const nonMasqueradeCIDRs = Array.from({ length: COUNT }, (_, i) => {
    const n = i + round * 1_000;
    return `${11 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24`;
  });
  return config({ nonMasqueradeCIDRs, cidrLimit: COUNT + 1, resyncInterval: "1h" });
}

describeKernel("a long list as a chain", { timeout: 600_000 }, () => {
  labTest(
    `${COUNT} CIDRs take ${PEAK_MIB} MiB at most, however often they are replaced`,
    async ({ lab, skip }) => {
      const group = makeGroup(LIMIT_MIB) ?? skip();
      lab.volume.write(list(0));
      const agent = lab.startAgent({
        flags: [...flags("nft"), "--enable-ipv6=false", "--ipset-threshold=0"],
      });
      group.join(agent.pid);
      try {
        for (let round = 0; round <= REPLACEMENTS; round++) {
          if (round > 0) lab.volume.write(list(round));
          await eventually(() => {
            expect(group.kills()).toBe(0);
            expect(agent.log().split(": programmed ").length - 1).toBe(round + 1);
          }, DEADLINE_MS);
        }
        expect(group.peakMib()).toBeLessThan(PEAK_MIB);
        expect(logged(agent, "E")).toEqual([]);
      } finally {
        await agent.end("SIGKILL");
        await eventually(group.remove);
      }
    },
  );
});
