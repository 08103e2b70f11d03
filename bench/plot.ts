/**
 * The plot of the cost of a new flow, as SVG text: both axes logarithmic, one line for each backend with its name at its end.
 * Its background is transparent; ink and colours follow the reader's choice of light or dark.
 */

/** A line: its name and points, (CIDRs, nanoseconds). */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

const WIDTH = 760;
const HEIGHT = 440;
const LEFT = 64;
const RIGHT = 560;
const TOP = 64;
const BOTTOM = 384;
/** Names at the lines' ends are kept so far apart. */
const LABEL_HEIGHT = 17;

/** Distinguishable with deficient colour vision too; for a light and for a dark background. */
const LIGHT = ["#b3261e", "#9a5b00", "#6b4fa0", "#0b6e4f"];
const DARK = ["#ff8a80", "#f2b54a", "#c3a6ff", "#5fd3a8"];

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #57606a; }
  .grid { stroke: #8c959f; stroke-opacity: 0.3; }
  .floor { stroke: #57606a; stroke-dasharray: 5 4; }
  .line { fill: none; stroke-width: 2.25; stroke-linejoin: round; }
${LIGHT.map((colour, i) => `  .s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; stroke: none; }`).join("\n")}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9da7b1; }
    .floor { stroke: #9da7b1; }
${DARK.map((colour, i) => `    .s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; stroke: none; }`).join("\n")}
  }`;

/** The plot. `floorNs` is the cost of a new flow without a list. */
export function renderPlot(
  title: string,
  subtitle: string,
  series: readonly Series[],
  floorNs: number,
): string {
  const all = series.flatMap(({ points }) => points);
  const x = logScale(
    all.map(([count]) => count),
    LEFT,
    RIGHT,
  );
  const low = 10 ** Math.floor(Math.log10(floorNs));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...all.map(([, ns]) => ns))));
  const y = logScale([low, high], BOTTOM, TOP);
  const counts = [...new Set(all.map(([count]) => count))];
  return [
    ...opening(title, subtitle),
    ...decades(low, high).flatMap((ns) => [
      line(LEFT, y(ns), RIGHT, y(ns), "grid"),
      text(LEFT - 8, y(ns) + 4, duration(ns), "quiet", "end"),
    ]),
    ...counts.flatMap((count) => [
      line(x(count), TOP, x(count), BOTTOM, "grid"),
      text(x(count), BOTTOM + 20, count.toLocaleString("en"), "quiet", "middle"),
    ]),
    text((LEFT + RIGHT) / 2, BOTTOM + 44, "CIDRs in the list", "quiet", "middle"),
    line(LEFT, y(floorNs), RIGHT, y(floorNs), "floor"),
    ...series.map(({ points }, i) =>
      curve(
        points.map(([count, ns]) => [x(count), y(ns)]),
        i,
      ),
    ),
    ...labels(series, y, floorNs),
    "</svg>",
    "",
  ].join("\n");
}

/** What the plot of shares begins at: both the lowest share of ports and of failures. */
interface Extent {
  readonly from: number;
  readonly lowest: number;
  /** Upright lines at these shares of ports. */
  readonly marks: readonly number[];
}

/** Shares of failures, logarithmic, by shares of ports in use. A line begins where failures do. */
export function renderShares(
  title: string,
  subtitle: string,
  series: readonly Series[],
  { from, lowest, marks }: Extent,
): string {
  const x = (share: number) => LEFT + ((share - from) / (1 - from)) * (RIGHT - LEFT);
  const y = logScale([lowest, 1], BOTTOM, TOP);
  const percent = (share: number) => `${Number((100 * share).toPrecision(2))} %`;
  return [
    ...opening(title, subtitle),
    ...[0.001, 0.01, 0.1, 1].flatMap((share) => [
      line(LEFT, y(share), RIGHT, y(share), "grid"),
      text(LEFT - 8, y(share) + 4, percent(share), "quiet", "end"),
    ]),
    ...[0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1].map((share) =>
      text(x(share), BOTTOM + 20, percent(share), "quiet", "middle"),
    ),
    ...marks.map((share) => line(x(share), TOP, x(share), BOTTOM, "floor")),
    text((LEFT + RIGHT) / 2, BOTTOM + 44, "source ports in use", "quiet", "middle"),
    ...series.map(({ points }, i) =>
      curve(
        points.map(([share, failed]) => [x(share), y(Math.max(failed, lowest))]),
        i,
      ),
    ),
    ...series.map(({ name }, i) => text(RIGHT + 12, TOP + 16 + i * LABEL_HEIGHT, name, `f${i}`)),
    "</svg>",
    "",
  ].join("\n");
}

function opening(title: string, subtitle: string): string[] {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    text(LEFT, 24, title, "title"),
    text(LEFT, 44, subtitle, "quiet"),
  ];
}

type Scale = (value: number) => number;

function logScale(values: readonly number[], from: number, to: number): Scale {
  const low = Math.log(Math.min(...values));
  const high = Math.log(Math.max(...values));
  return (value) => from + ((Math.log(value) - low) / (high - low)) * (to - from);
}

function decades(low: number, high: number): number[] {
  const first = Math.round(Math.log10(low));
  return Array.from({ length: Math.round(Math.log10(high)) - first + 1 }, (_, i) => 10 ** (first + i));
}

function duration(ns: number): string {
  if (ns >= 1e6) return `${ns / 1e6} ms`;
  return ns >= 1e3 ? `${ns / 1e3} µs` : `${ns} ns`;
}

/** The lines' names beside their ends, moved apart from below to above where they would overlap. */
function labels(series: readonly Series[], y: Scale, floorNs: number): string[] {
  const wanted = series.map(({ name, points }, i) => ({
    name,
    at: y(points.at(-1)?.[1] ?? floorNs),
    css: `f${i}`,
  }));
  const all = [...wanted, { name: "one rule, no list", at: y(floorNs), css: "quiet" }];
  let lowest = Number.POSITIVE_INFINITY;
  return all
    .sort((a, b) => b.at - a.at)
    .map(({ name, at, css }) => {
      lowest = Math.min(at, lowest - LABEL_HEIGHT);
      return text(RIGHT + 12, lowest + 4, name, css);
    });
}

function curve(points: readonly (readonly [number, number])[], i: number): string {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const dots = points.map(
    ([x, y]) => `<circle class="f${i}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3.5"/>`,
  );
  return [`<polyline class="line s${i}" points="${path}"/>`, ...dots].join("");
}

function line(x1: number, y1: number, x2: number, y2: number, css: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line class="${css}" x1="${a}" y1="${b}" x2="${c}" y2="${d}"/>`;
}

function text(x: number, y: number, content: string, css: string, anchor = "start"): string {
  return `<text class="${css}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${content}</text>`;
}
