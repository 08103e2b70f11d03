/** The page at `/`: the agent's state as one self-contained HTML document. Values in, text out. */

import { nothingInForce, rulesState, type Status } from "../status.ts";
import { type Html, html, listed, nothing } from "./html.ts";
import { renderSpace } from "./map.ts";
import { STYLE } from "./style.ts";
import { renderCounters, renderHealed, renderPasses, renderPressure, renderRules } from "./tables.ts";
import { badge, renderTime } from "./text.ts";
import type { PageView } from "./view.ts";

const PROBLEMS_AT_MOST = 20;
/** The page reloads at this interval. */
const REFRESH_S = 30;

/** The document. */
export function renderPage(view: PageView): string {
  const { status, host, nodeVersion, at } = view;
  const headline = summarize(status);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="${REFRESH_S}">
<title>${headline.isGood ? "✓" : "✗"} ${host}: ip-masq-agent</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="host">${host}</p>
<h1>ip-masq-agent</h1>
<p class="headline">${badge(headline.isGood, headline.text)}</p>
</header>
<main>
${renderAgent(status, nodeVersion)}
${renderConfig(status.config, nothingInForce(status))}
${section("rules", "Rules", html`${renderRules(status)}${renderCounters(view.counters)}`)}
${section("pressure", "Connections and SNAT ports", renderPressure(view.pressure))}
${section("space", "Address space", renderSpace(view.kept), true)}
${section("passes", "Last passes", renderPasses(view.passes), true)}
${section("drift", "Repaired drift", renderHealed(view.healed, status.healed), true)}
</main>
<footer>As of ${renderTime(at)}. All times are in UTC. This page reloads every ${REFRESH_S} seconds; <a href="/metrics">/metrics</a> and <a href="/status">/status</a> are for programs.</footer>
</body>
</html>
`;
  return page.markup;
}

/** The headline for an operator who is called at night. */
function summarize({ rules, config, lastPass }: Status): { readonly isGood: boolean; readonly text: string } {
  const missing = Object.entries(rules).filter(([, one]) => !one.inForce);
  const bad = (text: string) => ({ isGood: false, text });
  if (lastPass === null) return bad("starting: nothing has been programmed yet");
  if (missing.length > 0)
    return bad(missing.map(([label, one]) => `rules of ${label}: ${rulesState(one, lastPass)}`).join("; "));
  if (Object.keys(rules).length === 0) return bad("no rules are in force");
  if (!config.valid)
    return bad(
      `rules are in force, but the new configuration is ${config.state === "refused" ? "rejected" : config.state}; the previous one is still active`,
    );
  if (lastPass.errors.length > 0) return bad("rules are in force, but the last pass failed");
  return { isGood: true, text: "rules are in force" };
}

/** The addresses that masqueraded packets leave with, where the configuration says so. */
function renderLeaving(leaving: Status["leaving"] = {}): Html {
  const rows = Object.entries(leaving).map(([family, { addresses, by }]) => {
    const all = Object.entries(addresses).map(([address, link]) => `${address} (${link})`);
    const how = all.length > 1 ? html`<span class="note">by ${by}</span>` : nothing;
    return html`<dt>${family} leaves as</dt><dd>${all.length === 0 ? "what the kernel chooses" : all.join(", ")}${how}</dd>`;
  });
  return rows.length === 0 ? nothing : html`${rows}`;
}

function renderAgent({ version, startedAt, backend, lastPass, leaving }: Status, nodeVersion: string): Html {
  const errors = lastPass?.errors ?? [];
  return section(
    "agent",
    "Agent",
    html`<dl>
<dt>Version</dt><dd>${version}, on Node.js ${nodeVersion}</dd>
<dt>Running since</dt><dd>${renderTime(startedAt)}</dd>
<dt>Backend</dt><dd><strong>${backend.name}</strong><span class="note">${backend.why}</span></dd>
${renderLeaving(leaving)}<dt>Last pass</dt><dd>${lastPass === null ? "none yet" : html`${badge(errors.length === 0, errors.length === 0 ? "succeeded" : "failed")} ${renderTime(lastPass.at)}`}</dd>
</dl>${renderTexts("Errors of the last pass", errors)}`,
  );
}

function renderConfig(config: Status["config"], nothingYet: string): Html {
  const { source, hash, state, valid, problems, loadedAt, inForce } = config;
  const read = state === "not read yet" ? html`${state}` : badge(valid, state ?? "unknown");
  const since = loadedAt === null || hash === null ? nothing : html` ${renderTime(loadedAt)}`;
  const digest = hash === null ? nothing : html`<span class="note"><code>${hash}</code></span>`;
  const from = inForce && inForce.source !== source ? html` of <code>${inForce.source}</code>` : nothing;
  return section(
    "config",
    "Configuration",
    html`<dl>
<dt>Source</dt><dd><code>${source}</code></dd>
<dt>Read last</dt><dd>${read}${since}${digest}</dd>
<dt>In force</dt><dd>${inForce ? html`${inForce.families.join(", ")}${from}<span class="note"><code>${inForce.hash}</code></span>` : nothingYet}</dd>
</dl>${renderTexts("Problems", problems)}`,
  );
}

/** A heading and a list of texts; nothing if there are none. */
function renderTexts(heading: string, texts: readonly string[]): Html {
  if (texts.length === 0) return nothing;
  const items = listed(
    texts,
    PROBLEMS_AT_MOST,
    (text) => html`<li>${text}</li>`,
    (more) => html`<li class="more">and ${more} more</li>`,
  );
  return html`<h3>${heading}</h3><ul class="problems">${items}</ul>`;
}

function section(id: string, heading: string, body: Html, wide = false): Html {
  return html`<section aria-labelledby="${id}" class="${wide ? "wide" : "half"}"><h2 id="${id}">${heading}</h2>${body}</section>`;
}
