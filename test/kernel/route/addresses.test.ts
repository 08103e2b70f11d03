/** The node's own addresses, as `ip` makes them, and what is heard of their changes. Each scenario has a network namespace of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { command } from "../../lab/command.ts";
import { times } from "../../lab/length.ts";
import { describeKernel } from "../../lab/network/fixture.ts";
import { buildNetlinkRunner } from "../../lab/network/netlink-runner.ts";

let directory = "";

/** Runs a scenario of addresses-runner.ts; returns its answer. */
async function scenario(...args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse(
    await command("unshare", ["-n", process.execPath, join(directory, "runner.cjs"), ...args]),
  );
}

describeKernel("the node's addresses over rtnetlink", () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "addresses-"));
    await buildNetlinkRunner("addresses-runner.ts", join(directory, "runner.cjs"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("are those that packets may leave with, whatever the link", async () => {
    expect(await scenario("states")).toEqual({
      isWhole: true,
      usable: [
        ...["192.0.2.9 lo", "192.0.2.10 d0", "192.0.2.11 d0", "198.51.100.1 down0", "203.0.113.1 d0"],
        ...["2001:db8::1 d0", "2001:db8:1::5 v1", "2001:db8:2::1 v0", "2001:db8:9::1 lo", "fd00:1::5 d0"],
      ],
      unusable: [true, true],
    });
  });

  test("wake the agent when they change, and pods' links do not", async () => {
    expect(await scenario("events", String(times(20, 250)))).toEqual({
      links: 0,
      removed: 0,
      ipv4: 2,
      ipv6: 2,
      gone: 2,
      down: 1,
    });
  });

  test("are read in no time", async () => {
    const { least } = await scenario("cost", "250");
    expect(least).toBeLessThan(20);
  });
});
