/**
 * The address space as a picture and as lists. IPv4 is a square of 16 by 16 blocks, one for each first octet, filled
 * from below by the share that keeps the pod's address. Row by row and not along a Hilbert curve, so that 172 is easy
 * to find. IPv6 is too large for any picture.
 */

import { FAMILIES, type Family } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import { counted, groupedDigits } from "../../text/plural.ts";
import { type Html, html, listed, nothing } from "./html.ts";
import { intervalName, intervalText, spaceShares } from "./space.ts";
import { badge, percentText } from "./text.ts";
import type { PageView } from "./view.ts";

const RANGES_AT_MOST = 64;
const COLUMNS = 16;
/** In the picture's own units. */
const CELL = 20;
const GAP = 1;
const INNER = CELL - GAP;
/** The least height, so that a single address shows. */
const LEVEL_AT_LEAST = 2.5;

export function renderSpace(kept: PageView["kept"]): Html {
  const families = FAMILIES.filter((family) => kept[family] !== undefined);
  const lists = families.map((family) => renderRanges(family, kept[family]));
  return html`<div class="space">${kept.IPv4 ? renderMap(kept.IPv4) : nothing}<div>${lists}</div></div>`;
}

function renderMap(intervals: readonly Interval[]): Html {
  const { whole, octets } = spaceShares("IPv4", intervals);
  const side = COLUMNS * CELL;
  const summary = `${percentText(whole)} of all IPv4 addresses keep the pod’s address, the others are masqueraded; the list has the ranges`;
  return html`<figure><svg viewBox="0 0 ${side} ${side}" role="img" aria-label="${summary}">${octets.map(renderCell)}</svg>
<figcaption><span class="key"><svg viewBox="0 0 20 20" aria-hidden="true"><rect class="cell" width="20" height="20"/><rect class="kept" width="20" height="20"/></svg> keeps the pod’s address</span> <span class="key"><svg viewBox="0 0 20 20" aria-hidden="true"><rect class="cell" width="20" height="20"/><rect class="kept" y="12" width="20" height="8"/></svg> partly</span> <span class="key"><svg viewBox="0 0 20 20" aria-hidden="true"><rect class="cell" width="20" height="20"/></svg> masqueraded</span><span class="note">Each square is one first octet: 10 means 10.0.0.0/8.</span></figcaption></figure>`;
}

function renderCell(share: number, octet: number): Html {
  const x = (octet % COLUMNS) * CELL;
  const y = Math.floor(octet / COLUMNS) * CELL;
  const cell = html`<rect class="cell" x="${x}" y="${y}" width="${INNER}" height="${INNER}"/>`;
  const label = (kind: string) =>
    html`<text class="${kind}" x="${x + INNER / 2}" y="${y + 9.5}">${octet}</text>`;
  if (share === 0) return html`${cell}${label("none")}`;
  const level = Number(Math.max(INNER * share, LEVEL_AT_LEAST).toFixed(2));
  return html`<g><title>${octet}.0.0.0/8: ${percentText(share)} keeps the pod’s address</title>${cell}<rect class="kept" x="${x}" y="${y + INNER - level}" width="${INNER}" height="${level}"/>${label(share === 1 ? "all" : "some")}</g>`;
}

function renderRanges(family: Family, intervals: readonly Interval[] | null | undefined): Html {
  if (!intervals)
    return html`<h3>${family}</h3><p>${badge(false, "not seen in force")} The agent does not know how packets are treated.</p>`;
  if (intervals.length === 0)
    return html`<h3>${family}</h3><p>Nothing is kept: every destination is masqueraded.</p>`;
  const row = (interval: Interval) =>
    html`<li><code>${intervalText(family, interval)}</code> <span class="name">${intervalName(family, interval)}</span></li>`;
  return html`<h3>${family}: the pod’s address is kept towards</h3><ul class="ranges">${listed(
    intervals,
    RANGES_AT_MOST,
    row,
    (more) => html`<li class="more">and ${counted(groupedDigits(more), "more range")}</li>`,
  )}</ul><p class="note">${percentText(spaceShares(family, intervals).whole)} of all ${family} addresses; the others are masqueraded.</p>`;
}
