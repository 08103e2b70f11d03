import { expect, test } from "vitest";
import { said } from "../../test/lab/doctor.ts";
import { refuseMany } from "./read-trace.ts";

test("a table with many rules is not read, and that is said", () => {
  expect(refuseMany(new Map([["ip nat", 10_000]]))).toBeUndefined();
  const refusal = refuseMany(
    new Map([
      ["ip nat", 9_000],
      ["ip kube-proxy", 1_001],
    ]),
  );
  if (refusal === undefined) throw new Error("it would be read");
  expect(said({ trace: refusal })).toEqual([
    expect.stringMatching(/^info could-not-check: could not check .*forward.*: nf_tables has 10001 rules/),
  ]);
});
