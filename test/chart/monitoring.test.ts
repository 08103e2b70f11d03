/** What the chart's values change about alerts, PodMonitor and dashboard. */
import { describe, expect, test } from "vitest";
import { at, type Plain } from "../lab/manifest.ts";
import { defaultValues, useChart } from "./chart.ts";

const { missing, render } = useChart();

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
}

async function rulesWith(prometheusRule: object): Promise<readonly Rule[]> {
  const { documents } = await render({
    monitoring: { prometheusRule: { enabled: true, ...prometheusRule } },
  });
  return at(documents["prometheusrule.yaml"] ?? null, "spec.groups.0.rules") as unknown as Rule[];
}

describe.skipIf(missing !== undefined)("the chart's monitoring", () => {
  const THRESHOLDS = Object.keys(at(defaultValues(), "monitoring.prometheusRule.thresholds") as object);

  test("has a value for each threshold, which changes the expressions that have it", async () => {
    const usual = await rulesWith({});
    // A value of its own each, by which it is found again.
    const values = Object.fromEntries(THRESHOLDS.map((name, index) => [name, Number(`0.432${index + 1}`)]));
    const differ = (await rulesWith({ thresholds: values })).filter(
      ({ expr }, index) => expr !== usual[index]?.expr,
    );
    const changed = THRESHOLDS.map((name) => {
      const having = differ.filter(({ expr }) => expr.includes(` > ${values[name]}`));
      return [name, having.map(({ alert, labels }) => `${alert} ${labels.severity}`)];
    });
    expect(Object.fromEntries(changed)).toEqual({
      snatPorts: [
        "IpMasqAgentSnatPortsNearlyExhausted warning",
        "IpMasqAgentSnatPortsNearlyExhausted critical",
      ],
      snatPortsCritical: ["IpMasqAgentSnatPortsNearlyExhausted critical"],
      conntrack: ["IpMasqAgentConntrackNearlyExhausted warning"],
      conntrackCritical: ["IpMasqAgentConntrackNearlyExhausted critical"],
      insertFailed: ["IpMasqAgentConntrackInsertFailed warning"],
      drift: ["IpMasqAgentDriftStorm warning"],
      notFollowed: ["IpMasqAgentConfigMapNotFollowed warning"],
      syncFailing: ["IpMasqAgentSyncFailing warning"],
    });
  });

  test("leaves alerts out, changes them, labels them, and adds others", async () => {
    const usual = await rulesWith({});
    const more = { alert: "NodeSad", expr: "vector(1)", labels: {}, for: "1m" };
    const rules = await rulesWith({
      disabled: { IpMasqAgentDriftStorm: true, IpMasqAgentAbsent: false },
      customRules: { IpMasqAgentDown: { for: "15m", severity: "critical" } },
      additionalRuleLabels: { team: "network" },
      additionalRules: [more],
    });
    expect(rules.at(-1)).toEqual(more);
    expect(rules.length).toBe(usual.length);
    expect(rules.map(({ alert }) => alert)).not.toContain("IpMasqAgentDriftStorm");
    expect(rules[0]).toMatchObject({ for: "15m", labels: { severity: "critical", team: "network" } });
    expect(rules[1]).toMatchObject({ for: "15m", labels: { severity: "critical", team: "network" } });
  });

  test("adds to what Prometheus does with the target, and takes another port for it", async () => {
    const more = { sourceLabels: ["__address__"], targetLabel: "instance" };
    const podMonitor = {
      enabled: true,
      namespace: "monitoring",
      labels: { release: "prometheus" },
      scrapeTimeout: "5s",
      relabelings: [more],
      metricRelabelings: [{ action: "drop", regex: "go_.*", sourceLabels: ["__name__"] }],
      endpoint: { port: "https", scheme: "https", tlsConfig: { insecureSkipVerify: true } },
    };
    const dashboard = { enabled: true, namespace: "grafana", annotations: { grafana_folder: "Network" } };
    // By a proxy, the agent may stay on the loopback.
    const { documents } = await render({ monitoring: { podMonitor, dashboard } });
    const { "podmonitor.yaml": monitor = null, "dashboard.yaml": board = null } = documents;
    expect(monitor).toMatchObject({
      metadata: { namespace: "monitoring" },
      spec: { namespaceSelector: { matchNames: ["kube-system"] } },
    });
    const [endpoint = null] = at(monitor, "spec.podMetricsEndpoints") as Plain[];
    expect(endpoint).toMatchObject({ port: "https", scheme: "https", path: "/metrics", scrapeTimeout: "5s" });
    expect(at(endpoint, "relabelings")).toEqual([expect.objectContaining({ targetLabel: "node" }), more]);
    expect(board).toMatchObject({
      metadata: { namespace: "grafana", annotations: { grafana_folder: "Network" } },
    });
  });
});
