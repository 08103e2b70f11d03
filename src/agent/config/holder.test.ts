import { expect, test } from "vitest";
import { OPTIONS } from "../../../test/lab/config.ts";
import { recordedLog } from "../../../test/lab/log.ts";
import type { ConfigText } from "../../core/config.ts";
import { CONFIG_KEYS, PACKET_LISTS } from "../../core/keys.ts";
import { createReporter } from "../report.ts";
import { SourceError } from "./file.ts";
import { createConfigHolder } from "./holder.ts";

/** A holder over a file whose text can be set; an Error is thrown. */
function held(options: { repeat?: boolean; verbosity?: number } = {}) {
  const { log, taken } = recordedLog(options.verbosity);
  const world = { text: undefined as string | Error | undefined, reads: 0 };
  const readConfig = (): ConfigText => {
    world.reads++;
    if (world.text instanceof Error) throw world.text;
    const files = world.text === undefined ? [] : [{ path: "/c", bytes: Buffer.from(world.text) }];
    return { kind: "file", files };
  };
  const report = createReporter(log, options.repeat ?? false);
  const holder = createConfigHolder("/c", OPTIONS, { readConfig, log }, report);
  /** Refreshes with a text; gives the problems, the log and the resync interval in force. */
  const refreshed = (text: string | Error | undefined) => {
    world.text = text;
    const { problems } = holder.refresh();
    return { problems, log: taken(), interval: holder.current()?.config.resyncIntervalMs };
  };
  return { holder, refreshed, world };
}

test("it has no configuration before the first reading", () => {
  expect(held().holder.current()).toBeUndefined();
});

test("no file: the defaults, said once", () => {
  const { refreshed } = held();
  expect(refreshed(undefined)).toMatchInlineSnapshot(`
    {
      "interval": 60000,
      "log": [
        "I using no configuration at /c, the defaults: 3 nonMasqueradeCIDRs, resyncInterval 60s",
      ],
      "problems": [],
    }
  `);
  expect(refreshed(undefined).log).toEqual([]);
});

test("a text is announced when it changes, and not otherwise", () => {
  const { refreshed, holder } = held();
  expect(refreshed("resyncInterval: 90s\nmasqueradeCIDRs: [10.1.0.0/16]").log).toMatchInlineSnapshot(`
    [
      "I using /c: 3 nonMasqueradeCIDRs, 1 masqueradeCIDR, resyncInterval 90s",
    ]
  `);
  const before = holder.current();
  expect(refreshed("resyncInterval: 90s\nmasqueradeCIDRs: [10.1.0.0/16]").log).toEqual([]);
  expect(holder.current()).toBe(before);
  expect(refreshed("resyncInterval: 91s").log).toHaveLength(1);
  expect(holder.current()).not.toBe(before);
});

test("warnings come before the announcement, at most twenty", () => {
  const { refreshed } = held();
  expect(refreshed("a: 1\nresyncInterval: 5ms").log).toMatchInlineSnapshot(`
    [
      "W /c:1:1: a: unknown key, ignored",
      "W /c:2:17: resyncInterval: 5ms is taken as 100ms",
      "I using /c: 3 nonMasqueradeCIDRs, resyncInterval 0.1s",
    ]
  `);
  const many = Array.from({ length: 30 }, (_, i) => `key${i}: 1\n`).join("");
  expect(refreshed(many).log.slice(-2, -1)).toEqual(["W and 10 more"]);
});

test("with --v=2 the whole configuration is logged under the file's keys", () => {
  const { refreshed } = held({ verbosity: 2 });
  const [using, config = "", ...more] = refreshed("masqLinkLocal: true").log;
  expect([using, more]).toEqual(["I using /c: 3 nonMasqueradeCIDRs, resyncInterval 60s", []]);
  const logged = JSON.parse(config.replace("I using config: ", ""));
  const unset = new Set<string>([...PACKET_LISTS, "outputAddressBy"]);
  expect(Object.keys(logged).toSorted()).toEqual(CONFIG_KEYS.filter((key) => !unset.has(key)).toSorted());
  expect(logged).toMatchObject({
    nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
    masqueradeCIDRs: [],
    cidrLimit: 64,
    masqLinkLocal: true,
    resyncInterval: "60s",
  });
});

test("keys about packets are logged where they are set", () => {
  const { refreshed } = held({ verbosity: 2 });
  const text =
    "masqueradeSourceCIDRs: [10.1.0.0/16, 10.2.0.0/16]\nnonMasqueradeSourceCIDRs: [10.1.1.0/24]\noutputInterfaces: [eth0]\noutputAddresses: [192.0.2.1, 192.0.2.2]\noutputAddressBy: flow";
  const [using, config = ""] = refreshed(text).log;
  expect(using).toBe(
    "I using /c: 3 nonMasqueradeCIDRs, 2 masqueradeSourceCIDRs, 1 nonMasqueradeSourceCIDR, 1 outputInterface, 2 outputAddresses, resyncInterval 60s",
  );
  const logged = JSON.parse(config.replace("I using config: ", ""));
  expect(Object.keys(logged).toSorted()).toEqual(CONFIG_KEYS.toSorted());
  expect(logged).toMatchObject({
    masqueradeSourceCIDRs: ["10.1.0.0/16", "10.2.0.0/16"],
    outputInterfaces: ["eth0"],
    outputAddresses: ["192.0.2.1", "192.0.2.2"],
    outputAddressBy: "flow",
  });
});

test("a bad text leaves the last good one in force, with one error", () => {
  const { refreshed } = held();
  refreshed("resyncInterval: 1s");
  expect(refreshed("resyncInterval: x")).toMatchInlineSnapshot(`
    {
      "interval": 1000,
      "log": [
        "E Error syncing configuration: /c:1:17: resyncInterval: time: invalid duration "x"; write a number with a unit, such as "60s" or "1m30s"",
      ],
      "problems": [
        "/c:1:17: resyncInterval: time: invalid duration "x"; write a number with a unit, such as "60s" or "1m30s"",
      ],
    }
  `);
  expect(refreshed("resyncInterval: x")).toMatchObject({ log: [], interval: 1_000 });
  expect(refreshed("resyncInterval: y").log).toHaveLength(1);
  expect(refreshed("resyncInterval: 2s")).toMatchObject({ problems: [], interval: 2_000 });
});

test("with repeat, every pass logs a bad text", () => {
  const { refreshed } = held({ repeat: true });
  expect([refreshed("a: ["), refreshed("a: [")].map(({ log }) => log.length)).toEqual([1, 1]);
});

test("a bad first text leaves nothing in force", () => {
  const { refreshed, holder } = held();
  expect(refreshed("[]").problems).toHaveLength(1);
  expect(holder.current()).toBeUndefined();
});

test("a source that fails is a problem, and the return of the same text is good news", () => {
  const { refreshed } = held();
  refreshed("resyncInterval: 1s");
  expect(refreshed(new SourceError("/c", new Error("a FIFO is not a configuration")))).toEqual({
    problems: ["/c: a FIFO is not a configuration"],
    log: ["E Error syncing configuration: /c: a FIFO is not a configuration"],
    interval: 1_000,
  });
  expect(refreshed("resyncInterval: 1s")).toEqual({
    problems: [],
    log: ["I the configuration is good again"],
    interval: 1_000,
  });
});

test("a bad text that comes back after the source failed is bad still", () => {
  const { refreshed } = held();
  refreshed("a: [");
  refreshed(new SourceError("/c", new Error("away")));
  expect(refreshed("a: [").problems).toHaveLength(1);
});

test("it throws errors that are not failures of the source", () => {
  const { refreshed } = held();
  expect(() => refreshed(new Error("broken"))).toThrow("broken");
});

test("a mistake beyond the twentieth is news, though only twenty are said", () => {
  const { refreshed } = held();
  const list = (last: string) =>
    `nonMasqueradeCIDRs: [${[...Array.from({ length: 25 }, () => "x"), last].join()}]`;
  const first = refreshed(list("x"));
  expect(first.problems).toHaveLength(21);
  expect(first.log).toHaveLength(21);
  expect(refreshed(list("x")).log).toEqual([]);
  expect(refreshed(list("y")).log).toHaveLength(21);
});

test("it warns once for each text about parts that the decoder ignores, with the remedy", () => {
  const { refreshed } = held();
  const text = "nonMasqueradeCIDRs:\n-\nforceMasqueradeCIDRs: []\n---\nmasqLinkLocal: true\n";
  expect(refreshed(text).log).toMatchInlineSnapshot(`
    [
      "W /c:2:2: nonMasqueradeCIDRs[0]: is empty, and read as 10.0.0.0/8, the built-in default at its place; was a variable not set? Remove the entry, or write a CIDR",
      "W /c:3:1: forceMasqueradeCIDRs: unknown key, ignored; did you mean masqueradeCIDRs?",
      "W /c:5:1: only the first document of a file is read: everything from here on is ignored; keep one document in the file, with all keys indented alike",
      "I using /c: 1 nonMasqueradeCIDR, resyncInterval 60s",
    ]
  `);
  expect(refreshed(text).log).toEqual([]);
  expect(refreshed(`${text} `).log).toHaveLength(4);
});
