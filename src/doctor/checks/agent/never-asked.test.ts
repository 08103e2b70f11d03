import { expect, test } from "vitest";
import { said } from "../../../../test/lab/doctor.ts";
import type { Facts } from "../../facts.ts";

test.for<[Facts["neverAsked"], readonly string[]]>([
  [[], []],
  [
    [{ cidr: "10.20.0.0/16", since: "2026-11-19T08:00:00.000Z" }],
    ["info never-asked: 10.20.0.0/16 was never asked for since 2026-11-19T08:00Z"],
  ],
  [
    [
      { cidr: "10.20.0.0/16", since: "2026-11-19T08:00:00Z" },
      { cidr: "fd00::/8", since: "2026-11-18T23:59:00.000Z" },
    ],
    [
      "info never-asked: 10.20.0.0/16 was never asked for since 2026-11-19T08:00Z",
      "info never-asked: fd00::/8 was never asked for since 2026-11-18T23:59Z",
    ],
  ],
])("%j", ([neverAsked, expected]) => {
  expect(said({ neverAsked }).filter((line) => line.includes("never-asked"))).toEqual(expected);
});
