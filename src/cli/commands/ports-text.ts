/** The answer of `ports` for people. */

import type { PortRange } from "../../core/ports.ts";
import type { Colours } from "../../text/colours.ts";
import { counted, groupedDigits } from "../../text/plural.ts";
import type { KeyView, PortsView } from "./ports-view.ts";

/** How the kernel chooses ports, which decides how full is too full. */
export type PortChoice = "random" | "one range" | "several ranges" | "in turn";

export function choiceOf(toPorts: readonly PortRange[], randomFully: boolean): PortChoice {
  if (!randomFully) return "in turn";
  if (toPorts.length === 0) return "random";
  return toPorts.length === 1 ? "one range" : "several ranges";
}

/** From this share on a key has its warning, as the alert. */
const WARNED_ABOVE = 0.8;

/** Measured by filling all ports of an address towards one remote (docs/internals/performance.md, "Source ports"). */
const CURVES: Readonly<Record<PortChoice, string>> = {
  random: "from 84 % of the ports on new connections fail now and then, from 93 % on one in 20",
  "one range":
    "from 92 % of the ports on one new connection in 40 fails, from 95 % on one in 10; a range of which the size does not divide 65,536 begins earlier",
  "several ranges":
    "up to 84 % of the ports one new connection in 500 fails, from 90 % on one in 30, from 93 % on one in 10",
  "in turn":
    "without --random-fully two of three new connections fail from 93 % of the ports on, as soon as pods use the same ports themselves",
};

const SOURCES_SHOWN = 3;

/** A table, with the notes about a row below it. */
export function renderPorts({ keys }: PortsView, choice: PortChoice, colours: Colours): string {
  if (keys.length === 0) return "no source port of this node is in use\n";
  const rows = [HEAD, ...keys.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        NUMBERS.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  const [head = "", ...lines] = rows.map(line);
  return [
    `${colours.dim(head)}\n`,
    ...lines.map((text, i) => `${text}\n${notes(keys[i] as KeyView, choice, colours)}`),
  ].join("");
}

const HEAD = ["node address", "to", "in use", "of", "share", "ended", "by"];
const NUMBERS = [2, 3, 4, 5];

function cells({ nodeAddress, protocol, remote, port, inUse, ports, share, ended, by }: KeyView): string[] {
  const to = remote.includes(":") ? `[${remote}]:${port}` : `${remote}:${port}`;
  const shown = by
    .slice(0, SOURCES_SHOWN)
    .map(
      ({ source, own, inUse: count }) =>
        `${own ? "this node's own sockets" : source} ${groupedDigits(count)}`,
    );
  const rest = by.length - SOURCES_SHOWN;
  return [
    nodeAddress,
    `${protocol} ${to}`,
    groupedDigits(inUse),
    groupedDigits(ports),
    `${Math.floor(share * 100)} %`,
    groupedDigits(ended),
    [...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(", "),
  ];
}

function notes({ share, reason }: KeyView, choice: PortChoice, { yellow }: Colours): string {
  return [
    ...(share > WARNED_ABOVE ? [`  ${yellow("warning:")} ${CURVES[choice]}\n`] : []),
    ...(reason === undefined ? [] : [`  ${reason}\n`]),
  ].join("");
}

/** The connections that were not counted, for stderr. */
export function notExact(read: number, entries: number): string {
  return `not exact: ${groupedDigits(read)} of ${counted(groupedDigits(entries), "connection")} were counted, so the true numbers are larger`;
}
