/** The page as text; test/http looks at it in a browser. */

import { expect, test } from "vitest";
import {
  HEALTHY,
  HOSTILE,
  hostile,
  IN_TROUBLE,
  intervalsOf,
  JUST_STARTED,
} from "../../../test/http/page-views.ts";
import { renderPage } from "./page.ts";
import { bytesText, percentText, renderTime } from "./text.ts";
import type { PageView } from "./view.ts";

/** What a reader sees of a section, or of the header. */
function textOf(page: string, id?: string): string {
  const [, part = ""] =
    id === undefined
      ? (/<header>([\s\S]*?)<\/header>/.exec(page) ?? [])
      : (new RegExp(`<section aria-labelledby="${id}"[^>]*>([\\s\\S]*?)</section>`).exec(page) ?? []);
  return part
    .replaceAll(/<svg[\s\S]*?<\/svg>|<meter[\s\S]*?<\/meter>/g, "")
    .replaceAll(/<\/?(?:p|li|tr|h\d|dd|dt|td|th|span)\b[^>]*>/g, " ")
    .replaceAll(/<[^>]*>/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

test("a healthy node, section by section", () => {
  const page = renderPage(HEALTHY);
  expect(textOf(page)).toBe("node-17.example.internal ip-masq-agent ✓ rules are in force");
  const sections = ["agent", "config", "rules", "pressure", "space", "passes", "drift"];
  expect(sections.map((id) => textOf(page, id))).toMatchSnapshot();
});

test("whose packets, and what they leave with, where the configuration says so", () => {
  const scope = { sources: 2, interfaces: ["eth0", "bond+"] };
  const rules = { IPv4: { inForce: true, cidrs: 3, scope, lastChangeAt: null } };
  const leaving = {
    IPv4: { addresses: { "192.0.2.1": "eth0", "192.0.2.2": "lo" }, by: "pod" },
    IPv6: { addresses: {}, by: "pod" },
  };
  const page = renderPage({ ...HEALTHY, status: { ...HEALTHY.status, rules, leaving } });
  expect(textOf(page, "agent")).toContain(
    "IPv4 leaves as 192.0.2.1 (eth0), 192.0.2.2 (lo) by pod IPv6 leaves as what the kernel chooses",
  );
  expect(textOf(page, "rules")).toContain("in force 3 2 sources, through eth0 or bond+");
  expect(renderPage(HEALTHY)).not.toMatch(/leaves as|sources/);
});

test("the whole document of one that has just started", () => {
  expect(renderPage(JUST_STARTED).replace(/<style>[\s\S]*?<\/style>/, "<style></style>")).toMatchSnapshot();
});

test.each<[string, Partial<PageView["status"]>, string]>([
  ["no pass yet", { lastPass: null }, "✗ starting: nothing has been programmed yet"],
  ["no rules", { rules: {} }, "✗ no rules are in force"],
  ["one family's rules missing", { rules: IN_TROUBLE.status.rules }, "✗ rules of IPv6: not in force"],
  [
    "rules that the last pass has not looked at",
    {
      rules: { IPv4: { inForce: false, cidrs: 6, lastChangeAt: null, lookedAt: "2026-11-25T01:50:00.000Z" } },
    },
    "✗ rules of IPv4: not checked since 2026-11-25T01:50:00.000Z",
  ],
  [
    "a bad config",
    { config: IN_TROUBLE.status.config },
    "✗ rules are in force, but the new configuration is rejected; the previous one is still active",
  ],
  [
    "a failed pass",
    { lastPass: IN_TROUBLE.status.lastPass },
    "✗ rules are in force, but the last pass failed",
  ],
  ["nothing wrong", {}, "✓ rules are in force"],
])("the headline says %s", (_what, status, headline) => {
  const page = renderPage({ ...HEALTHY, status: { ...HEALTHY.status, ...status } });
  expect(textOf(page)).toBe(`node-17.example.internal ip-masq-agent ${headline}`);
});

test("trouble is said with its texts", () => {
  const page = renderPage(IN_TROUBLE);
  expect(textOf(page, "config")).toContain("not aligned (did you mean 10.0.0.0/8?)");
  expect(textOf(page, "agent")).toContain("Device or resource busy");
  expect(textOf(page, "passes")).toContain("Device or resource busy");
  expect(textOf(page, "pressure")).toContain("18,220 not inserted");
});

test("a family that is not in force is not drawn", () => {
  const page = renderPage({ ...HEALTHY, kept: { IPv4: null, IPv6: [] } });
  expect(page).not.toContain("<figure>");
  expect(textOf(page, "space")).toMatchInlineSnapshot(
    `"Address space IPv4 ✗ not seen in force The agent does not know how packets are treated. IPv6 Nothing is kept: every destination is masqueraded."`,
  );
  expect(textOf(renderPage(IN_TROUBLE), "space")).toContain("IPv6 ✗ not seen in force");
});

test("one family alone, and one that keeps nothing", () => {
  const onlyIpv4 = textOf(renderPage({ ...HEALTHY, kept: { IPv4: intervalsOf("10.0.0.0/8") } }), "space");
  expect(onlyIpv4).toContain("10.0.0.0/8 private");
  expect(onlyIpv4).not.toContain("IPv6");
  const nothingKept = textOf(renderPage({ ...HEALTHY, kept: { IPv4: [], IPv6: [] } }), "space");
  expect(nothingKept.match(/Nothing is kept: every destination is masqueraded/g)).toHaveLength(2);
});

test("of the pressure, what the kernel tells", () => {
  const said = (pressure: PageView["pressure"]) =>
    textOf(renderPage({ ...HEALTHY, ...(pressure && { pressure }) }), "pressure").replace(/^.*ports /, "");
  expect(said({})).toMatch(/Not measured\.$/);
  expect(said({ conntrack: { entries: 7, limit: 0 } })).toContain("7, without a limit");
  const counters = { insertFailed: 1, drop: 0, earlyDrop: 0, invalid: 0 };
  const text = said({ conntrackCounters: counters });
  expect(text).toContain("Connections tracked not known Busiest destination none in the sample");
  expect(text).toContain("1 not inserted");
});

test("others' names are text, wherever they stand", () => {
  const page = renderPage(hostile(30));
  const tags = new Set([...page.matchAll(/<([a-z]+)/g)].map(([, tag]) => tag));
  expect([...tags].filter((tag) => ["script", "img", "iframe", "a"].includes(tag ?? ""))).toEqual(["a"]);
  expect(page).not.toContain(HOSTILE);
  expect(page).not.toMatch(/\son[a-z]+=['"]/);
  expect(page.match(/<a /g)).toHaveLength(2);
  expect(page.match(/&lt;script&gt;alert\(1\)&lt;\/script&gt;/g)?.length).toBeGreaterThan(100);
  expect(page).not.toMatch(/[\p{Cf}]/u);
  expect(page).not.toContain("\u0000");
});

test("long lists are cut, with how much there is more, so that the page stays small", () => {
  const page = renderPage(hostile(1_000));
  const more = (id: string) => textOf(page, id).match(/and [\d,]+ more(?: ranges)?/g);
  expect(more("config")).toEqual(["and 980 more"]);
  expect(more("agent")).toEqual(["and 980 more"]);
  expect(more("rules")).toEqual(["and 960 more"]);
  expect(more("space")).toEqual(["and 936 more ranges", "and 936 more ranges"]);
  expect(more("passes")).toEqual([...new Array(20).fill("and 997 more"), "and 980 more"]);
  expect(more("drift")).toEqual(["and 979 more", "and 980 more"]);
  const longer = renderPage(hostile(10_000));
  expect(Math.abs(longer.length - page.length)).toBeLessThan(200);
  expect(longer.length).toBeLessThan(300_000);
});

test("numbers", () => {
  expect([0, 1_023, 1_024, 1_536, 2 ** 30, 2 ** 60].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 GiB",
    "1024.0 PiB",
  ]);
  expect([0, 1e-9, 0.0012, 0.1834, 0.9994, 0.9996, 1].map(percentText)).toEqual([
    "0 %",
    "less than 0.01 %",
    "0.12 %",
    "18.3 %",
    "99.9 %",
    "more than 99.9 %",
    "100 %",
  ]);
});

test("a time that is none is shown as it came", () => {
  expect(renderTime("2026-11-25T01:02:03.004Z").markup).toBe(
    '<time datetime="2026-11-25T01:02:03.004Z"><span class="nowrap">2026-11-25</span> <b>01:02:03</b></time>',
  );
  expect(renderTime("<soon>").markup).toBe("&lt;soon&gt;");
});
