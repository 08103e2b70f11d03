/** Values as short texts and marks, for the page. */
import { type Html, html } from "./html.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 as `1.5 KiB`. */
export function bytesText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${UNITS[power]}`;
}

/** 0.00004 as `less than 0.01 %`: a share above zero must not look like zero, nor one below one like all. */
export function percentText(share: number): string {
  if (share <= 0) return "0 %";
  if (share >= 1) return "100 %";
  const percent = share * 100;
  if (percent < 0.01) return "less than 0.01 %";
  if (percent >= 99.95) return "more than 99.9 %";
  return `${Number(percent.toFixed(percent < 10 ? 2 : 1))} %`;
}

/** An RFC 3339 time in UTC, without fractions of a second. */
export function renderTime(time: string): Html {
  const [, date, clock] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/.exec(time) ?? [];
  if (date === undefined || clock === undefined) return html`${time}`;
  return html`<time datetime="${time}"><span class="nowrap">${date}</span> <b>${clock}</b></time>`;
}

/** A state as a mark, a colour and words, since some people do not see colours. */
export function badge(isGood: boolean, text: string): Html {
  return html`<span class="badge ${isGood ? "good" : "bad"}"><span aria-hidden="true">${isGood ? "✓" : "✗"}</span> ${text}</span>`;
}
