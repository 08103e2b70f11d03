/** The alerts: right as rules, fired by their faults only, the same in both files, and each with something to do. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SERIES } from "../../src/observe/series.ts";
import { attempt } from "../lab/command.ts";
import { at, parseManifest, readManifest } from "../lab/manifest.ts";
import { panelQueries, readDashboard } from "./dashboard.ts";
import { deployed, documentedSeries, readAlerts, seriesIn } from "./deploy.ts";
import { describePrometheus, promtool } from "./prometheus.ts";

const alerts = readAlerts();
const names = [...new Set(alerts.map(({ alert }) => alert))];

/** The text above the alerts in the operator's file. */
const HEAD = `# Made from alerts.yaml: change that file, then \`make golden\`. Many operators only take rules with a label of their own
# (\`release: ...\`): add it with a patch.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ip-masq-agent
  namespace: kube-system
  labels:
    k8s-app: ip-masq-agent
spec:
`;

test("the operator's file has the same alerts", async () => {
  const text = readFileSync(deployed("alerts.yaml"), "utf8");
  const groups = text.slice(text.search(/^groups:/m)).replaceAll(/^(?=.)/gm, "  ");
  const rendered = HEAD + groups;
  await expect(rendered).toMatchFileSnapshot(`../../${deployed("prometheus-rule.yaml")}`);
  expect(at(parseManifest(Buffer.from(rendered), "rendered"), "spec")).toEqual(
    readManifest(deployed("alerts.yaml")),
  );
});

test.each(alerts)("$alert ($labels.severity) says how bad it is, what is wrong and what to do", (alert) => {
  const { labels, annotations } = alert;
  expect(["warning", "critical"]).toContain(labels.severity);
  const { summary, description, runbook_url: runbook } = annotations;
  expect(summary).toMatch(/\.$/);
  // A command to run, in the agent's pod if there is one.
  const command =
    alert.alert === "IpMasqAgentAbsent" ? /`kubectl / : /`ip-masq-agent (diff|doctor|explain|ports|status)\b/;
  expect(description).toMatch(command);
  // The documents have no fixed address yet.
  expect(runbook).toBeUndefined();
});

test("the documented command gives each alert its runbook_url", async () => {
  const text = readFileSync(deployed("alerts.yaml"), "utf8");
  const command = /^# {3}(sed '.*') alerts\.yaml$/m.exec(text)?.[1] ?? "";
  const { code, stdout } = await attempt("sh", ["-c", command], { stdin: text });
  expect(code).toBe(0);
  const withUrls = at(
    parseManifest(Buffer.from(stdout), "stdout"),
    "groups.0.rules",
  ) as unknown as typeof alerts;
  const base = "https://git.example.com/network/ip-masq-agent/blob/main/";
  expect(withUrls.map(({ annotations }) => annotations.runbook_url)).toEqual(
    alerts.map(({ alert }) => `${base}docs/monitoring.md#${alert.toLowerCase()}`),
  );
});

/** The faults of an expression's aggregations and joins: they have to keep agents of different clusters apart. */
function mixing(expr: string): readonly string[] {
  const lists = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].map(([list]) => list);
  const bare = expr.match(/\b(?:sum|count|min|max|avg) ?\((?!cluster)/g) ?? [];
  return [...bare, ...lists.filter((list) => !/\(cluster, namespace, job\b/.test(list))];
}

test("alerts and dashboard keep clusters, namespaces and jobs apart", () => {
  expect(alerts.flatMap(({ expr }) => mixing(expr))).toEqual([]);
  // One picture of all that is selected.
  const panels = panelQueries(readDashboard()).filter(({ panel }) => panel !== "Duration of passes");
  expect(panels.flatMap(({ panel, expr }) => mixing(expr).map((what) => `${panel}: ${what}`))).toEqual([]);
});

test("each alert has a section of the documentation, and none is left over", () => {
  const text = readFileSync("docs/monitoring.md", "utf8");
  const sections = [...text.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  expect(sections).toEqual(names);
});

test("every series is documented", () => {
  const names = Object.keys(SERIES).map((name) => `ip_masq_agent_${name}`);
  expect(
    documentedSeries()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(names.toSorted());
});

test("the alerts ask for series that are documented", () => {
  const known = documentedSeries().map(({ name }) => name);
  const asked = alerts.flatMap(({ expr }) => seriesIn(expr));
  expect(asked.length).toBeGreaterThan(10);
  for (const name of asked) expect(known).toContain(name);
});

describePrometheus("promtool", () => {
  test("takes the rules", async () => {
    expect(await promtool(["check", "rules", deployed("alerts.yaml")])).toMatchObject({ code: 0 });
  });

  test("each alert fires on its fault, before its time it does not, and never when all is well", async () => {
    const expected = readFileSync(deployed("alerts.test.yaml"), "utf8");
    for (const { alert, labels } of alerts)
      expect(expected).toMatch(
        new RegExp(`alertname="${alert}",alertstate="firing".*severity="${labels.severity}"`),
      );
    const { code, stdout, stderr } = await promtool(["test", "rules", deployed("alerts.test.yaml")]);
    expect(stdout + stderr).toContain("SUCCESS");
    expect(code).toBe(0);
  });

  test("finds the names of pods that hold most source ports", async () => {
    const { code, stdout, stderr } = await promtool([
      "test",
      "rules",
      deployed("snat-ports-by-pod.test.yaml"),
    ]);
    expect(stdout + stderr).toContain("SUCCESS");
    expect(code).toBe(0);
  });

  test("takes the configuration for those without the operator", async () => {
    // Debian's build knows no cluster to discover, so that part is put aside.
    const text = readFileSync(deployed("scrape-config.yaml"), "utf8");
    const discovery = / {4}kubernetes_sd_configs:\n(?: {6,}.*\n)+/;
    expect(text).toMatch(discovery);
    const directory = mkdtempSync(join(tmpdir(), "ip-masq-agent-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "prometheus.yml");
    writeFileSync(path, text.replace(discovery, ""));
    copyFileSync(deployed("alerts.yaml"), join(directory, "alerts.yaml"));
    const { code, stdout, stderr } = await promtool(["check", "config", path]);
    expect(stdout + stderr).toContain(`SUCCESS: ${alerts.length} rules found`);
    expect(code).toBe(0);
  });
});
