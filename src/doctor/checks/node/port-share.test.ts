import { expect, test } from "vitest";
import { facts, said } from "../../../../test/lab/doctor.ts";
import { packAddress } from "../../../conntrack/address.ts";
import type { PortUse } from "../../../conntrack/usage.ts";
import { diagnose } from "../../checks.ts";

function share(inUse: number, ended = 0) {
  const fullest: PortUse = {
    ...{ protocol: "tcp", remote: packAddress("2600::8") ?? "", port: 443, inUse, ended },
    ...{ nodeAddress: packAddress("2001:db8::1") ?? "", by: [], isExact: true },
  };
  const shares = { share: inUse / 1_000, openShare: (inUse - ended) / 1_000, fullest, counted: [] };
  return { portShare: { value: { ...shares, ports: 1_000 } } };
}

const MESSAGE = "of the source ports of 2001:db8::1 are in use towards tcp [2600::8]:443, where most are";

test.each([
  [share(1), `info port-share: 0 % ${MESSAGE} (1 of 1,000)`],
  [share(800), `info port-share: 80 % ${MESSAGE} (800 of 1,000)`],
  [share(801), `warning port-share: 80 % ${MESSAGE} (801 of 1,000): new connections there fail now and then`],
  [
    share(990, 200),
    `warning port-share: 99 % ${MESSAGE} (990 of 1,000): new connections there fail now and then`,
  ],
  [
    share(990, 80),
    `error port-share: 99 % ${MESSAGE} (990 of 1,000): new connections there fail now and then`,
  ],
])("as the alerts, and the fullest below: %#", (changes, expected) => {
  expect(said(changes)).toEqual([expected]);
});

test("nothing is said of what is not tracked, and what cannot be asked is no alarm", () => {
  expect(said()).toEqual([]);
  const unknown = { unknown: "how many source ports are in use", why: "EPERM", minor: true } as const;
  expect(
    diagnose(facts({ portShare: unknown })).map(({ severity, check }) => `${severity} ${check}`),
  ).toContain("info could-not-check");
});
