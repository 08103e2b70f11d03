/** The page's tables: rules and their counters, connections, passes, drift. */

import { groupedDigits } from "../../text/plural.ts";
import { type Healed, type PassStatus, rulesState, type Status, scopeText } from "../status.ts";
import { type Html, html, listed, nothing } from "./html.ts";
import { badge, bytesText, percentText, renderTime } from "./text.ts";
import type { Counter, PageView, Pressure } from "./view.ts";

const COUNTERS_AT_MOST = 40;
const PASSES_AT_MOST = 20;
const HEALED_AT_MOST = 20;
const CULPRITS_AT_MOST = 21;
const ERRORS_AT_MOST = 3;

export function renderRules({ rules, lastPass }: Status): Html {
  const labels = Object.entries(rules);
  if (labels.length === 0) return html`<p>None yet.</p>`;
  const rows = labels.map(
    ([label, one]) =>
      html`<tr><th scope="row">${label}<span class="note">${one.lastChangeAt === null ? "never changed" : html`changed ${renderTime(one.lastChangeAt)}`}</span></th><td>${badge(one.inForce, rulesState(one, lastPass))}</td><td class="number">${groupedDigits(one.cidrs)}${one.scope === undefined ? nothing : html`<span class="note">${scopeText(one).replace(/^, /, "")}</span>`}</td></tr>`,
  );
  return html`<table><thead><tr><th scope="col">Family</th><th scope="col">State</th><th scope="col" class="number">CIDRs</th></tr></thead><tbody>${rows}</tbody></table>`;
}

/** Verdicts that not every node counts. */
const MORE_VERDICTS = { local: "to the node itself", other: "not ours, by its source or link" };

export function renderCounters(counters: readonly Counter[] | undefined): Html {
  if (counters === undefined || counters.length === 0)
    return html`<h3>Verdicts</h3><p>Nothing has been counted yet.</p>`;
  const row = ({ family, verdict, rule, packets, bytes }: Counter) =>
    html`<tr><th scope="row">${family} ${verdict}${rule === undefined ? nothing : html`<span class="note">${rule}</span>`}</th><td class="number">${groupedDigits(packets)}</td><td class="number">${bytesText(bytes)}</td></tr>`;
  return html`<h3>Verdicts</h3><table><thead><tr><th scope="col">Verdict</th><th scope="col" class="number">Packets</th><th scope="col" class="number">Bytes</th></tr></thead><tbody>${listed(
    counters,
    COUNTERS_AT_MOST,
    row,
    moreRows(3),
  )}</tbody></table><p class="note">First packets of connections. keep: with the pod’s address; masquerade: with the node’s${moreVerdicts(counters)}.</p>`;
}

function moreVerdicts(counters: readonly Counter[]): string {
  const counted = Object.entries(MORE_VERDICTS).filter(([name]) =>
    counters.some(({ verdict }) => verdict === name),
  );
  return counted.map(([name, meaning]) => `; ${name}: ${meaning}`).join("");
}

export function renderPressure(pressure: Pressure | undefined): Html {
  const { conntrack, conntrackCounters, snatPortShare, busiest } = pressure ?? {};
  if (conntrack === undefined && conntrackCounters === undefined) return html`<p>Not measured.</p>`;
  return html`<dl>
<dt>Connections tracked</dt><dd>${conntrack === undefined ? "not known" : renderTracked(conntrack)}</dd>
<dt>Busiest destination</dt><dd>${
    busiest === undefined || snatPortShare === undefined
      ? "none in the sample"
      : html`${meter("Source ports in use towards the busiest destination", snatPortShare, 0.8)}<code>${endpointText(busiest)}</code> takes ${percentText(snatPortShare)} of the source ports of <code>${busiest.nodeAddress}</code>`
  }</dd>
<dt>Connections lost</dt><dd>${conntrackCounters === undefined ? "not known" : renderLost(conntrackCounters)}</dd>
</dl>`;
}

function renderTracked({ entries, limit }: NonNullable<Pressure["conntrack"]>): Html {
  if (limit === 0) return html`${groupedDigits(entries)}, without a limit`;
  const share = entries / limit;
  return html`${meter("Connections tracked, of the limit", share, 0.75)}${groupedDigits(entries)} of ${groupedDigits(limit)} (${percentText(share)})`;
}

function renderLost({ insertFailed, drop, earlyDrop }: NonNullable<Pressure["conntrackCounters"]>): Html {
  const lost = [
    ["not inserted", insertFailed],
    ["dropped", drop],
    ["dropped early", earlyDrop],
  ] as const;
  return html`${lost.map(([what, count]) => html`<span class="${count > 0 ? "lost" : "fine"}">${groupedDigits(count)} ${what}</span>`)}`;
}

function endpointText({ address, port, protocol }: NonNullable<Pressure["busiest"]>): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
}

/** `low` and 0.9 are the thresholds of the alerts. */
function meter(label: string, share: number, low: number): Html {
  const value = Math.min(Math.max(share, 0), 1).toFixed(4);
  return html`<meter aria-label="${label}" min="0" max="1" low="${low}" high="0.9" optimum="0" value="${value}">${percentText(share)}</meter>`;
}

export function renderPasses(passes: readonly PassStatus[]): Html {
  if (passes.length === 0) return html`<p>None yet.</p>`;
  const row = ({ at, reason, durationMs, drift, applied, errors }: PassStatus) =>
    html`<tr><th scope="row">${renderTime(at)}<span class="note">${reason}</span></th><td class="number">${durationMs.toFixed(1)} ms</td><td class="number">${groupedDigits(drift)}</td><td class="number">${groupedDigits(applied)}</td></tr>${errorRow(errors)}`;
  return html`<table><thead><tr><th scope="col">When and why</th><th scope="col" class="number">Took</th><th scope="col" class="number">Drift</th><th scope="col" class="number">Steps</th></tr></thead><tbody>${listed(
    passes,
    PASSES_AT_MOST,
    row,
    moreRows(4),
  )}</tbody></table>`;
}

/** Below the pass, over the whole width: errors are long. */
function errorRow(errors: readonly string[]): Html {
  if (errors.length === 0) return nothing;
  const items = listed(
    errors,
    ERRORS_AT_MOST,
    (error) => html`<li>${error}</li>`,
    (more) => html`<li class="more">and ${more} more</li>`,
  );
  return html`<tr class="below"><td colspan="4">${badge(false, "failed")}<ul class="problems">${items}</ul></td></tr>`;
}

export function renderHealed(healed: PageView["healed"], { total, byProcess }: Status["healed"]): Html {
  const culprits = Object.entries(byProcess).toSorted(([, a], [, b]) => b - a);
  if (total === 0 && healed.length === 0)
    return html`<p>None: no other process has changed the rules since the start.</p>`;
  const summary = html`<p>${groupedDigits(total)} in all, by process:</p><ul class="culprits">${listed(
    culprits,
    CULPRITS_AT_MOST,
    ([process, count]) => html`<li><code>${process}</code> ${groupedDigits(count)}</li>`,
    (more) => html`<li class="more">and ${more} more</li>`,
  )}</ul>`;
  if (healed.length === 0) return summary;
  const row = ({ at, where, kind, culprit }: Healed) =>
    html`<tr><th scope="row">${renderTime(at)}</th><td>${where} <em>${kind}</em></td><td>${culprit === null ? "unknown" : html`<code>${culprit.process}</code> <span class="nowrap">pid ${culprit.pid}</span>`}</td></tr>`;
  return html`${summary}<table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Who</th></tr></thead><tbody>${listed(
    healed,
    HEALED_AT_MOST,
    row,
    moreRows(3),
  )}</tbody></table>`;
}

function moreRows(columns: number): (count: number) => Html {
  return (count) =>
    html`<tr class="more"><td colspan="${columns}">and ${groupedDigits(count)} more</td></tr>`;
}
