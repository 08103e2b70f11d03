import { expect, test } from "vitest";
import { renderFlagz, renderStatusz } from "./zpages.ts";

const START = Date.UTC(2026, 0, 1);

test("statusz", () => {
  const view = { version: "v1", node: "v24.0.0", startedAt: START, now: START + (26 * 3600 + 61) * 1000 };
  expect(renderStatusz(view)).toMatchInlineSnapshot(`
    "
    ip-masq-agent statusz
    Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.

    Started: Thu, 01 Jan 2026 00:00:00 GMT
    Up: 26 hr 01 min 01 sec
    Node.js version: v24.0.0
    Binary version: v1
    "
  `);
});

test("flagz, by name", () => {
  expect(
    renderFlagz([
      ["v", "0"],
      ["config", "/c"],
    ]),
  ).toMatchInlineSnapshot(`
    "
    ip-masq-agent flags
    Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.

    config=/c
    v=0
    "
  `);
});
