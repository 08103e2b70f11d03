import { describe, expect, test } from "vitest";
import { initialStatus, type PassReport, statusAfter } from "./status.ts";
import { parseStatus } from "./status-shape.ts";

const START = Date.UTC(2026, 0, 1);
const initial = initialStatus("v1", { name: "nftables", why: "--backend" }, START);
const PASS: PassReport = {
  at: START + 1_000,
  durationMs: 12.5,
  reason: "start",
  drift: 3,
  applied: 2,
  errors: [],
  failures: [],
  backend: { name: "nftables", why: "--backend" },
  config: {
    source: "/etc/config/ip-masq-agent",
    hash: "ab",
    state: "accepted",
    problems: [],
    isNew: true,
  },
  current: { source: "/etc/config/ip-masq-agent", hash: "ab" },
  rules: [{ label: "IPv4 and IPv6", inForce: true, cidrs: 5, changed: true }],
  families: [{ family: "IPv4", inForce: true, cidrs: 3, intervals: 3 }],
  healed: [],
  leaving: [],
};

test("an agent that has just started", () => {
  expect(initial).toMatchInlineSnapshot(`
    {
      "backend": {
        "name": "nftables",
        "why": "--backend",
      },
      "config": {
        "hash": null,
        "inForce": null,
        "loadedAt": null,
        "problems": [],
        "source": "not read yet",
        "state": "not read yet",
        "valid": false,
      },
      "healed": {
        "byProcess": {},
        "total": 0,
      },
      "lastPass": null,
      "rules": {},
      "startedAt": "2026-01-01T00:00:00.000Z",
      "version": "v1",
    }
  `);
});

test("after the first pass", () => {
  expect(statusAfter(initial, PASS)).toMatchInlineSnapshot(`
    {
      "backend": {
        "name": "nftables",
        "why": "--backend",
      },
      "config": {
        "hash": "ab",
        "inForce": {
          "families": [
            "IPv4",
          ],
          "hash": "ab",
          "source": "/etc/config/ip-masq-agent",
        },
        "loadedAt": "2026-01-01T00:00:01.000Z",
        "problems": [],
        "source": "/etc/config/ip-masq-agent",
        "state": "accepted",
        "valid": true,
      },
      "healed": {
        "byProcess": {},
        "total": 0,
      },
      "lastPass": {
        "applied": 2,
        "at": "2026-01-01T00:00:01.000Z",
        "drift": 3,
        "durationMs": 12.5,
        "errors": [],
        "reason": "start",
      },
      "rules": {
        "IPv4 and IPv6": {
          "cidrs": 5,
          "inForce": true,
          "lastChangeAt": "2026-01-01T00:00:01.000Z",
          "lookedAt": "2026-01-01T00:00:01.000Z",
        },
      },
      "startedAt": "2026-01-01T00:00:00.000Z",
      "version": "v1",
    }
  `);
});

test("a pass without change keeps the times of the changes", () => {
  const rules = [{ label: "IPv4 and IPv6", inForce: true, cidrs: 5, changed: false }];
  const after = statusAfter(statusAfter(initial, PASS), {
    ...PASS,
    config: { ...PASS.config, isNew: false },
    at: START + 9_000,
    reason: "resync",
    rules,
  });
  expect(after.rules["IPv4 and IPv6"]?.lastChangeAt).toBe("2026-01-01T00:00:01.000Z");
  expect(after.config.loadedAt).toBe("2026-01-01T00:00:01.000Z");
  expect(after.lastPass).toMatchObject({ at: "2026-01-01T00:00:09.000Z", reason: "resync" });
});

test("what was healed adds up, and stays small however many processes there are", () => {
  let status = initial;
  for (let i = 0; i < 100; i++)
    status = statusAfter(status, {
      ...PASS,
      healed: [
        { kind: "missing", process: `p${i % 50}`, count: 2 },
        { kind: "extra", process: "__proto__", count: 1 },
      ],
    });
  const { total, byProcess } = status.healed;
  expect(total).toBe(300);
  expect(Object.keys(byProcess)).toHaveLength(21);
  expect(Object.values(byProcess).reduce((a, b) => a + b)).toBe(300);
});

describe("reading what an agent said", () => {
  const status = statusAfter(initial, PASS);
  test("is the status again", () => {
    expect(parseStatus(JSON.stringify(status))).toEqual(status);
    expect(parseStatus(JSON.stringify(initial))).toEqual(initial);
    expect(parseStatus(JSON.stringify({ ...status, more: 1 }))).toMatchObject(status);
  });

  test("is understood without what older agents do not say", () => {
    const { state: _, inForce: __, ...config } = status.config;
    const old = { ...status, config, rules: { IPv4: { inForce: true, cidrs: 1, lastChangeAt: null } } };
    expect(parseStatus(JSON.stringify(old))).toEqual(old);
  });

  test.each([
    ["", "{", "null", "[]", "1", "{}"],
    [{ ...status, version: 1 }],
    [{ ...status, config: { ...status.config, problems: [1] } }],
    [{ ...status, config: { ...status.config, valid: "yes" } }],
    [{ ...status, config: { ...status.config, state: 1 } }],
    [{ ...status, config: { ...status.config, inForce: { hash: "ab" } } }],
    [{ ...status, rules: { IPv4: { inForce: true, cidrs: 1, lastChangeAt: null, lookedAt: 7 } } }],
    [{ ...status, rules: { IPv4: null } }],
    [{ ...status, lastPass: {} }],
    [{ ...status, neverAsked: [{ cidr: 1, since: "" }] }],
    [{ ...status, neverAsked: ["10.0.0.0/8"] }],
    [{ ...status, healed: { total: 1, byProcess: { a: "b" } } }],
  ])("refuses %j", (...texts) => {
    for (const text of texts)
      expect(parseStatus(typeof text === "string" ? text : JSON.stringify(text))).toBeUndefined();
  });
});
