/** Whatever a pass comes to: status, page, metrics and /configz say the same of what is in force, and it is what the pass has seen. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { OPTIONS } from "../../test/lab/config.ts";
import type { GroupOutcome, PassOutcome } from "../agent/reconcile.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import { decodeConfig } from "../core/config.ts";
import { compileRuleset } from "../core/ruleset.ts";
import { createMetrics } from "../observe/metrics.ts";
import { createMonitor, type MonitorWorld } from "../observe/monitor.ts";
import type { Status } from "../observe/status.ts";
import { parseStatus } from "../observe/status-shape.ts";
import { createColours } from "../text/colours.ts";
import { renderStatus } from "./commands/status-text.ts";

const TEXTS = ["nonMasqueradeCIDRs: [10.0.0.0/8]", "nonMasqueradeCIDRs: ['fd00::/8']"];

/** What a pass reads, and of each family whether its rules are seen in force; `looks`: whether it comes that far. */
interface Step {
  readonly read: "accepted" | "refused" | "unreadable";
  readonly text: number;
  readonly seen: Readonly<Record<Family, boolean>>;
  readonly looks: boolean;
}

interface Claims {
  readonly families: readonly string[];
  readonly digest: string | undefined;
  readonly readLast: string;
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  read: fc.constantFrom("accepted", "refused", "unreadable"),
  text: fc.nat(TEXTS.length - 1),
  seen: fc.record({ IPv4: fc.boolean(), IPv6: fc.boolean() }),
  looks: fc.boolean(),
});

function currentOf(text: number): NonNullable<PassOutcome["current"]> {
  const files = [{ path: "/c", bytes: Buffer.from(TEXTS[text] ?? "") }];
  const decoded = decodeConfig({ kind: "file", files }, { ...OPTIONS, enableIPv6: true });
  if (!decoded.ok) throw new Error("a text of the test is bad");
  return { config: decoded.value.config, source: "/c", hash: `aa${text}` };
}

/** The outcome of a step after another; `joint`: one table for both families. */
function outcomeOf(
  step: Step,
  before: PassOutcome["current"],
  families: readonly Family[],
  joint: boolean,
): PassOutcome {
  const problems = step.read === "accepted" ? [] : ["/c: bad"];
  const current = step.read === "accepted" ? currentOf(step.text) : before;
  const parts = joint ? [families] : families.map((family) => [family]);
  const groupOf = (part: readonly Family[], config: NonNullable<typeof current>): GroupOutcome => ({
    label: part.join(" and "),
    rulesets: part.map((family) => compileRuleset(family, config.config, { ...OPTIONS, enableIPv6: true })),
    inForce: part.every((family) => step.seen[family]),
    changed: false,
  });
  const looks = step.looks || step.read === "accepted";
  const groups = current === undefined || !looks ? [] : parts.map((part) => groupOf(part, current));
  return {
    startedAt: 0,
    durationMs: 1,
    drift: [],
    healed: [],
    applied: 0,
    errors: [...problems, ...groups.flatMap(({ inForce, label }) => (inForce ? [] : [`${label}: no`]))],
    failures: [],
    failed: false,
    again: false,
    config: {
      problems,
      failed: step.read === "unreadable",
      isNew: true,
      source: "/c",
      hash: step.read === "unreadable" ? null : step.read === "refused" ? "bad" : `aa${step.text}`,
    },
    current,
    groups,
    leaving: [],
    resyncIntervalMs: 60_000,
    dueInMs: 60_000,
  };
}

function truthOf({ config, current, groups }: PassOutcome, read: Step["read"]): Claims {
  const families = groups.flatMap(({ inForce, rulesets }) =>
    inForce ? rulesets.map(({ family }) => family) : [],
  );
  const digest = families.length > 0 ? current?.hash : undefined;
  return { families, digest, readLast: `${config.hash ?? ""} ${read}` };
}

function createSubject(families: readonly Family[], more: Partial<MonitorWorld> = {}) {
  const backend = () => ({ name: "nftables", why: "" });
  const build = { version: "v1", node: "v24" };
  const monitor = createMonitor({
    build,
    backend,
    families,
    driver: {},
    metrics: createMetrics({ version: "v1", node_version: "v24", backend: "nftables" }, families),
    toPorts: () => [],
    forgotten: () => [],
    uncovered: async () => [],
    flags: [],
    startedAt: 0,
    epoch: () => 0,
    now: () => 0,
    ...more,
  });
  const get = async (path: string) => (await monitor.routes[path]?.())?.body ?? "";
  return { monitor, get };
}

/** The families that a text names, in order; and the first match of a pattern in it. */
const familiesIn = (text = "") => FAMILIES.filter((family) => text.includes(family));
const find = (pattern: RegExp, text = "") => pattern.exec(text)?.[1];
const claims = (families: string | undefined, digest: string | undefined, readLast: string): Claims => ({
  families: familiesIn(families),
  digest,
  readLast,
});

function claimsOfJson({ config, rules }: Status): Record<string, Claims> {
  const readLast = `${config.hash ?? ""} ${config.state}`;
  const labels = Object.keys(rules).filter((label) => rules[label]?.inForce);
  return {
    "status.config": claims(config.inForce?.families.join(), config.inForce?.hash, readLast),
    "status.rules": claims(labels.join(), config.inForce?.hash, readLast),
  };
}

function claimsOfText(text: string): Record<string, Claims> {
  const [hash = "", state = ""] = /^read last +(\S+ \(\w+)\)/m.exec(text)?.[1]?.split(" (") ?? [];
  const readLast = `${hash.replace("nothing", "")} ${state}`;
  const digest = find(/^in force +(?!nothing|not known)(\S+)/m, text);
  const rules = [...text.matchAll(/^rules +(.*): \d+ CIDRs?, in force/gm)].join();
  return {
    "text, in force": claims(find(/^in force .*\((.*)\)$/m, text), digest, readLast),
    "text, rules": claims(rules, digest, readLast),
  };
}

function claimsOfPage(page: string): Record<string, Claims> {
  const definition = (name: string) => find(new RegExp(`<dt>${name}</dt><dd>(.*)</dd>`), page);
  const [force, read] = [definition("In force"), definition("Read last")];
  const digest = find(/<code>(.*?)<\/code>/, force);
  const readLast = `${find(/<code>(.*?)<\/code>/, read) ?? ""} ${find(/(accepted|refused|unreadable)/, read)}`;
  const drawn = [...page.matchAll(/<h3>(IPv\d)[^<]*<\/h3><(?:ul|p>Nothing is kept)/g)].join();
  const rows = [...page.matchAll(/<th scope="row">([^<]*)(?:(?!<\/tr>).)*<\/span> in force</g)].join();
  return {
    "page, configuration": claims(force, digest, readLast),
    "page, rules": claims(rows, digest, readLast),
    "page, lists of addresses": claims(drawn, digest, readLast),
    // It is of IPv4 alone.
    "page, picture": claims(
      `${page.includes("<figure>") ? "IPv4" : ""} ${drawn.replaceAll("IPv4", "")}`,
      digest,
      readLast,
    ),
  };
}

function claimsOfMetrics(metrics: string): Record<string, Claims> {
  const lines = metrics.split("\n");
  const of = (series: string) => lines.filter((line) => line.startsWith(`ip_masq_agent_${series}{`));
  const label = (name: string, line = "") => find(new RegExp(`${name}="(.*?)"`), line);
  const info = of("config_info");
  const [read] = of("config_read_last_info");
  const readLast = `${label("hash", read)} ${label("state", read)}`;
  const inForce = of("rules_in_force").filter((line) => line.endsWith(" 1"));
  const series = { config_info: info, rules_in_force: inForce, exempt_cidrs: of("exempt_cidrs") };
  return Object.fromEntries(
    Object.entries(series).map(([name, samples]) => [
      name,
      claims(samples.join(), label("hash", info[0]), readLast),
    ]),
  );
}

test("whatever passes come to, all answers say of what is in force what the last one has seen", async () => {
  const cases = fc.record({
    steps: fc.array(stepArbitrary, { minLength: 1, maxLength: 6 }),
    families: fc.constantFrom<readonly Family[]>(["IPv4"], FAMILIES),
    joint: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ steps, families, joint }) => {
      const { monitor, get } = createSubject(families);
      let current: PassOutcome["current"];
      for (const step of steps) {
        const outcome = outcomeOf(step, current, families, joint);
        current = outcome.current;
        monitor.report(outcome, "start");
        const truth = truthOf(outcome, step.read);
        const status = parseStatus(await get("/status"));
        if (status === undefined) throw new Error("no status");
        const { inForce, hash } = JSON.parse(await get("/configz"));
        const said = {
          ...claimsOfJson(status),
          ...claimsOfText(renderStatus(status, createColours(false))),
          ...claimsOfPage(await get("/")),
          ...claimsOfMetrics(await get("/metrics")),
          configz: claims(inForce.join(), inForce.length > 0 ? hash : undefined, truth.readLast),
        };
        expect(said).toEqual(Object.fromEntries(Object.keys(said).map((where) => [where, truth])));
      }
    }),
    { numRuns: 60 },
  );
});

test("an entry that nothing asks for is in the status after a week, whatever the wall clock says", async () => {
  const DAY_MS = 24 * 3_600_000;
  const start = Date.parse("2026-11-19T07:59:30Z");
  let days = 0;
  let asked = ["10.0.0.0/8"];
  const entries = () =>
    ["10.0.0.0/8", "10.20.0.0/16"].map((cidr) => ({ cidr, handle: 1, isAsked: asked.includes(cidr) }));
  const counters = async () => ({ verdicts: [], entries: [{ family: "IPv4" as const, entries: entries() }] });
  const { get } = createSubject(["IPv4"], {
    driver: { counters },
    // At the boot, the wall clock is a year behind.
    epoch: () => start + (days === 0 ? -365 : days) * DAY_MS,
    now: () => days * DAY_MS,
  });
  const said = async () => parseStatus(await get("/status"))?.neverAsked;
  expect(await said()).toBeUndefined();
  days = 6;
  expect(await said()).toBeUndefined();
  days = 7;
  expect(await said()).toEqual([{ cidr: "10.20.0.0/16", since: "2026-11-19T08:00:00.000Z" }]);
  asked = ["10.20.0.0/16"];
  expect(await said()).toBeUndefined();
});
