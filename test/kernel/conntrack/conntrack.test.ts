/**
 * The kernel's table of connections, filled with known ones: what `ports`, `who` and the series say of them. Each scenario has a
 * network namespace of its own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { command } from "../../lab/command.ts";
import { describeKernel } from "../../lab/network/fixture.ts";
import { buildNetlinkRunner } from "../../lab/network/netlink-runner.ts";

/** More with `make prove`. */
const { CONNECTIONS = "20000", WHO_FLOWS = "1000", WHO_WITHOUT_TO = "20", LISTS = "75" } = process.env;

let directory = "";

/** Runs a scenario of conntrack-runner.ts; returns its answer. */
async function scenario(...args: readonly string[]): Promise<Record<string, unknown>> {
  const runner = [process.execPath, "--expose-gc", join(directory, "runner.cjs")];
  return JSON.parse(await command("unshare", ["-n", ...runner, ...args]));
}

describeKernel("connections over ctnetlink", { timeout: 900_000 }, () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "conntrack-"));
    await buildNetlinkRunner("conntrack-runner.ts", join(directory, "runner.cjs"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test(`ports counts ${CONNECTIONS} connections as they were entered`, async () => {
    const { keys, expected, share, largest, ...counted } = await scenario("count", CONNECTIONS);
    expect(counted).toEqual({ size: Number(CONNECTIONS), exact: true, err: "", isSorted: true, wrong: 0 });
    expect(keys).toBe(expected);
    expect(expected).toBeGreaterThan(15);
    // The series: above one half of the ports it is counted as well.
    expect(share).toBeCloseTo(Number(largest), 3);
  });

  test(`who tells each of ${WHO_FLOWS} flows, with --to and without`, async () => {
    expect(await scenario("who", WHO_FLOWS, WHO_WITHOUT_TO)).toEqual({
      right: Number(WHO_FLOWS),
      rightWithoutTo: Number(WHO_WITHOUT_TO),
      none: 1,
    });
  });

  // When this fails, the kernel's filter by IPv6 address is repaired, and condition.ts may use it from that version on.
  test("the kernel's filter by an IPv6 address is inverted, and is not used", async () => {
    expect(await scenario("ipv6Filter")).toEqual({
      kernel: [40_000, 40_002],
      ours: [40_001],
      isFiltered: true,
    });
  });

  test("what nobody has answered is deleted, in each family and zone, and nothing else", async () => {
    expect(await scenario("remove")).toEqual({
      some: [15, false],
      rest: [95, true],
      again: 0,
      left: { 6: 5, 17: 10 },
    });
  });

  test("lists leave no memory behind", async () => {
    const { grownMb } = await scenario("cost", "4000", LISTS);
    expect(grownMb).toBeLessThan(8);
  });
});
