/** The dashboard as Grafana reads it, as far as tests look at it. */
import { readFileSync } from "node:fs";
import { deployed } from "./deploy.ts";

/** A query of the dashboard, and the panel that asks it. */
export interface PanelQuery {
  readonly panel: string;
  readonly expr: string;
}

interface Panel {
  readonly title: string;
  readonly description?: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(deployed("grafana-dashboard.json"), "utf8")) as Dashboard;
}

/** Every query of the dashboard as written. */
export function panelQueries({ panels }: Dashboard): readonly PanelQuery[] {
  return panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ panel: title, expr })));
}
