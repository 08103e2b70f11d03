/**
 * While the configuration changes, new flows to destinations that both configurations treat alike never see the
 * wrong verdict. CHANGES in the environment says how many changes (for each variant).
 */
import { expect } from "vitest";
import {
  config,
  describeKernel,
  FAMILIES,
  flags,
  labTest,
  VARIANTS_SHOWN,
} from "../../lab/network/fixture.ts";
import { eventually, familyOf, type Lab } from "../../lab/network/lab.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const { CHANGES = "4" } = process.env;
const changes = Number(CHANGES);

/** Destinations, and who is seen there under both configurations. */
const CERTAIN = {
  "10.10.0.1": POD,
  "8.8.8.8": NODE,
  "fd00:10::1": POD,
  "2001:4860:4860::8888": NODE,
} as const;

/** Others that make the list long, so that programming it takes a while; they differ from list to list. */
function fillers(half: number): string[] {
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  return numbers.flatMap((i) => [`100.${64 + half}.${i}.0/24`, `2001:db8:${half}:${i.toString(16)}::/64`]);
}

/** Both cover the same two destinations, by entries of different length in different places. */
const CONFIGS = [
  config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8", ...fillers(0)], cidrLimit: 1_000 }),
  config({ nonMasqueradeCIDRs: [...fillers(1), "10.10.0.0/16", "fd00:10::/32"], cidrLimit: 1_000 }),
];

/** New flows in parallel: enough to keep a core busy, and to leave the other to the agent. */
const STREAMS = 8;

/** Counts new flows to each destination until told to end, and those that saw the wrong address. */
async function stream(lab: Lab, ended: AbortSignal): Promise<{ flows: number; wrong: string[] }> {
  const result = { flows: 0, wrong: [] as string[] };
  while (!ended.aborted) {
    for (const [destination, expected] of Object.entries(CERTAIN)) {
      const seen = await lab.ask("udp", destination);
      result.flows++;
      if (seen !== expected[familyOf(destination)]) result.wrong.push(`${destination} saw ${seen}`);
    }
  }
  return result;
}

/** How often the agent has put a new list in force, in both families together. */
function programmings({ log }: Agent): number {
  return log().split(/programmed|updated/).length - 1;
}

describeKernel.each(VARIANTS_SHOWN)(
  "changes under traffic, iptables-%s",
  {
    timeout: 300_000 + changes * 4_000,
  },
  (variant) => {
    labTest(`no new flow sees the wrong address during ${changes} changes`, async ({ lab }) => {
      lab.volume.write(CONFIGS[0] ?? "");
      const agent = lab.startAgent({ flags: flags(variant) });
      await eventually(() => expect(programmings(agent)).toBeGreaterThanOrEqual(FAMILIES.length));
      const end = new AbortController();
      const streams = Array.from({ length: STREAMS }, () => stream(lab, end.signal));
      try {
        for (let i = 1; i <= changes; i++) {
          const before = programmings(agent);
          lab.volume.write(CONFIGS[i % 2] ?? "");
          await eventually(() =>
            expect(programmings(agent)).toBeGreaterThanOrEqual(before + FAMILIES.length),
          );
        }
      } finally {
        end.abort();
      }
      const results = await Promise.all(streams);
      const flows = results.reduce((sum, result) => sum + result.flows, 0);
      const wrong = results.flatMap((result) => result.wrong);
      console.log(
        `iptables-${variant}, ${changes} changes: ${flows} new flows, ${wrong.length} with the wrong address`,
      );
      expect(wrong).toEqual([]);
      expect(flows).toBeGreaterThan(changes);
    });
  },
);
