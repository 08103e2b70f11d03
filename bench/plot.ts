/**
 * Plots as SVG: a line for each series, with its name beside its end. The background is transparent; ink and colours follow the
 * reader's choice of light or dark.
 */
import { writeFileSync } from "node:fs";

type Points = readonly (readonly [number, number])[];

interface Axis {
  readonly label?: string;
  readonly isLogarithmic?: boolean;
  /** The value of its start; the first tick by default. It ends at the last tick. */
  readonly from?: number;
  readonly ticks: readonly number[];
  readonly text: (tick: number) => string;
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly { readonly name: string; readonly points: Points }[];
  /** Values to compare with. */
  readonly dashed: { readonly x?: readonly number[]; readonly y?: readonly number[] };
  /** Names beside the right edge, at values of y: first those of the series. They are moved up where they would overlap. */
  readonly labels: readonly { readonly name: string; readonly at: number }[];
}

const [WIDTH, HEIGHT] = [760, 440];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 560, 64, 384];
const LABEL_HEIGHT = 17;

/** Distinguishable with deficient colour vision too; for a light and for a dark background. */
const LIGHT = ["#b3261e", "#9a5b00", "#6b4fa0", "#0b6e4f"];
const DARK = ["#ff8a80", "#f2b54a", "#c3a6ff", "#5fd3a8"];

const colours = (all: readonly string[], indent: string) =>
  all
    .map((colour, i) => `${indent}.s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; stroke: none; }`)
    .join("\n");

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #57606a; }
  .grid { stroke: #8c959f; stroke-opacity: 0.3; }
  .floor { stroke: #57606a; stroke-dasharray: 5 4; }
  .line { fill: none; stroke-width: 2.25; stroke-linejoin: round; }
${colours(LIGHT, "  ")}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9da7b1; }
    .floor { stroke: #9da7b1; }
${colours(DARK, "    ")}
  }`;

/** Writes a plot, and says so. */
export function writePlot(path: string, chart: Chart): void {
  writeFileSync(path, renderPlot(chart));
  console.log(`written: ${path}`);
}

function renderPlot({ title, subtitle, x: xAxis, y: yAxis, series, dashed, labels }: Chart): string {
  const x = scaleOf(xAxis, LEFT, RIGHT);
  const y = scaleOf(yAxis, BOTTOM, TOP);
  const upright = (css: string) => (value: number) => line(x(value), TOP, x(value), BOTTOM, css);
  const flat = (css: string) => (value: number) => line(LEFT, y(value), RIGHT, y(value), css);
  const names = labels.map(({ name, at }, i) => {
    return { name, at: y(at), css: i < series.length ? `f${i}` : "quiet" };
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    text(LEFT, 24, title, "title"),
    text(LEFT, 44, subtitle, "quiet"),
    ...yAxis.ticks.map(flat("grid")),
    ...yAxis.ticks.map((tick) => text(LEFT - 8, y(tick) + 4, yAxis.text(tick), "quiet", "end")),
    ...xAxis.ticks.map(upright("grid")),
    ...xAxis.ticks.map((tick) => text(x(tick), BOTTOM + 20, xAxis.text(tick), "quiet", "middle")),
    text((LEFT + RIGHT) / 2, BOTTOM + 44, xAxis.label ?? "", "quiet", "middle"),
    ...(dashed.x ?? []).map(upright("floor")),
    ...(dashed.y ?? []).map(flat("floor")),
    ...series.map(({ points }, i) => curve(i, points, x, y)),
    ...apart(names),
    "</svg>",
    "",
  ].join("\n");
}

type Scale = (value: number) => number;

function scaleOf({ ticks, isLogarithmic, from = ticks[0] ?? 0 }: Axis, start: number, end: number): Scale {
  const place = isLogarithmic ? Math.log : (value: number) => value;
  const [low, high] = [place(from), place(ticks.at(-1) ?? 1)];
  return (value) => start + ((place(value) - low) / (high - low)) * (end - start);
}

/** The labels from below to above. */
function apart(labels: readonly { readonly name: string; readonly at: number; readonly css: string }[]) {
  let lowest = Number.POSITIVE_INFINITY;
  return labels
    .toSorted((a, b) => b.at - a.at)
    .map(({ name, at, css }) => {
      lowest = Math.min(at, lowest - LABEL_HEIGHT);
      return text(RIGHT + 12, lowest + 4, name, css);
    });
}

function curve(i: number, points: Points, x: Scale, y: Scale): string {
  const places = points.map(([a, b]) => [x(a).toFixed(1), y(b).toFixed(1)]);
  const dots = places.map(([cx, cy]) => `<circle class="f${i}" cx="${cx}" cy="${cy}" r="3.5"/>`);
  return `<polyline class="line s${i}" points="${places.join(" ")}"/>${dots.join("")}`;
}

function line(x1: number, y1: number, x2: number, y2: number, css: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line class="${css}" x1="${a}" y1="${b}" x2="${c}" y2="${d}"/>`;
}

function text(x: number, y: number, content: string, css: string, anchor = "start"): string {
  return `<text class="${css}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${content}</text>`;
}
