/** The dashboard, with a real Prometheus that scrapes a running agent under traffic. */
import { expect, test } from "vitest";
import { config, flags, labTest, programmed, verdicts } from "../../lab/network/fixture.ts";
import { httpGet } from "../../lab/network/http.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { NODE } from "../../lab/network/topology.ts";
import { panelQueries, readDashboard } from "../../monitoring/dashboard.ts";
import { documentedSeries, seriesIn } from "../../monitoring/deploy.ts";
import { promtool } from "../../monitoring/prometheus.ts";
import { ADDRESS, describePrometheusInLab, flush, scrape } from "../../monitoring/scrape.ts";

const CONFIG = config({
  nonMasqueradeCIDRs: ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"],
  outputAddresses: [NODE.IPv4, NODE.IPv6],
});
const BAD = config({ nonMasqueradeCIDRs: ["10.0.0.1/8"] });
const DESTINATIONS = ["10.10.0.1", "8.8.8.8", "fd00:10::1", "2001:4860:4860::8888"];

/** What Grafana puts in for the dashboard's variables. */
const VARIABLES: Readonly<Record<string, string>> = { $__rate_interval: "15s", $cluster: ".*", $node: ".*" };

/** Samples that need an API server, or a flow to forget. */
const NOT_HERE = /^ip_masq_agent_(api_\w+|config_source|flows_forgotten_total|reports_total)$/;

const dashboard = readDashboard();
const queries = panelQueries(dashboard);

function substituted(expression: string): string {
  return Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expression);
}

test("the dashboard asks for a data source and a node, and each panel says what it shows", () => {
  expect(dashboard.templating.list.map(({ name }) => name)).toEqual(["datasource", "cluster", "node"]);
  expect(queries.length).toBeGreaterThan(25);
  // A group of a regular expression, as in "$1", is no variable.
  for (const { expr } of queries) expect(substituted(expr)).not.toMatch(/\$[^\d"]/);
  for (const { title, description, targets } of dashboard.panels)
    if (targets !== undefined) expect(description ?? "", title).toMatch(/\.$/);
});

test("the dashboard shows every series that there is", () => {
  const asked = new Set(queries.flatMap(({ expr }) => seriesIn(expr)));
  expect([...asked].toSorted()).toEqual(
    documentedSeries()
      .map(({ name }) => name)
      .toSorted(),
  );
});

describePrometheusInLab("with a running agent", () => {
  labTest("every query of the dashboard has data, and every series is as documented", async ({ lab }) => {
    lab.volume.write(CONFIG);
    // So few that more than half are in use soon: only then the metrics name their users.
    lab.startAgent({ flags: flags("nft", `--http-address=${ADDRESS}`, "--to-ports=40000-40007") });
    await programmed(lab, "nft");
    // A closed connection keeps its port for two minutes; the first request takes the sample.
    for (let i = 0; i < 6; i++) await verdicts(lab, DESTINATIONS);
    const prometheus = await scrape(lab);
    // Something of everything: drift, a bad configuration, connections.
    await flush(lab);
    lab.volume.write(BAD);
    await eventually(async () =>
      expect(await prometheus.query("ip_masq_agent_config_valid == 0")).not.toEqual([]),
    );
    lab.volume.write(CONFIG);
    const shown = queries.filter(({ expr }) => !seriesIn(expr).some((name) => NOT_HERE.test(name)));
    let silent = [...shown, { panel: "variable", expr: 'count by (node) (up{job="ip-masq-agent"})' }];
    await eventually(async () => {
      await Promise.all(DESTINATIONS.map((destination) => lab.ask("udp", destination)));
      const answers = await Promise.all(silent.map(({ expr }) => prometheus.query(substituted(expr))));
      silent = silent.filter((_, i) => !answers[i]?.some(({ value }) => !Number.isNaN(value)));
      expect(silent).toEqual([]);
    });
    const text = await exposition(lab);
    const here = ({ name }: { readonly name: string }) => !NOT_HERE.test(name);
    expect(servedSeries(text).filter(here)).toEqual(documentedSeries().filter(here).toSorted(byName));
    expect(await promtool(["check", "metrics"], text)).toEqual({ code: 0, stdout: "", stderr: "" });
    const node = await prometheus.query("count by (node) (ip_masq_agent_build_info)");
    expect(node.map(({ metric }) => metric)).toEqual([{ node: "node-1" }]);
  });
});

/** What the agent serves at /metrics. */
async function exposition(lab: Lab): Promise<string> {
  const { code, body } = await httpGet(lab, `http://${ADDRESS}/metrics`);
  expect(code).toBe(200);
  return body;
}

/** The agent's own series: name, type and labels, in the order of names. */
function servedSeries(text: string) {
  const types = [...text.matchAll(/^# TYPE (ip_masq_agent_\w+) (\w+)$/gm)];
  const rows = types.map(([, name = "", type = ""]) => {
    const samples = text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? `, "gm"));
    const labels = [...samples].flatMap(([, inside = ""]) => [...inside.matchAll(/(\w+)="/g)]);
    const names = new Set(labels.map(([, label = ""]) => label));
    names.delete("le");
    return { name, type, labels: [...names] };
  });
  return rows.toSorted(byName);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
