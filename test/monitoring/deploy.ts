/** The alerts in deploy/monitoring and the series in docs/reference.md, for tests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { at, readManifest } from "../lab/manifest.ts";

const DIRECTORY = "deploy/monitoring";

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url?: string;
  };
}

/** A path in deploy/monitoring. */
export function deployed(name: string): string {
  return join(DIRECTORY, name);
}

/** The alerts in their order. */
export function readAlerts(): readonly Alert[] {
  return at(readManifest(deployed("alerts.yaml")), "groups.0.rules") as unknown as readonly Alert[];
}

/** A row of the table of series in docs/reference.md. */
export interface SeriesRow {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

/** The table of series. */
export function documentedSeries(): readonly SeriesRow[] {
  const text = readFileSync("docs/reference.md", "utf8");
  const rows = [...text.matchAll(/^\| `(ip_masq_agent_\w+)` \| (\w+) \| (.*?)\| .+ \|$/gm)];
  return rows.map(([, name = "", type = "", labels = ""]) => ({
    name,
    type,
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label ?? ""),
  }));
}

/** The series that an expression asks for: of a histogram, its own name. */
export function seriesIn(expression: string): readonly string[] {
  const names = expression.match(/\bip_masq_agent_\w+/g) ?? [];
  return names.map((name) => name.replace(/_(?:bucket|count|sum)$/, ""));
}
