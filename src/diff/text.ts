/** The answer of `diff` for people. */

import type { Colours } from "../text/colours.ts";
import { counted, groupedDigits } from "../text/plural.ts";
import type { Change } from "./packets.ts";
import type { AddressesView, ConnectionsView, DiffView, FamilyView } from "./view.ts";

/** The number of list items in the text; JSON has all. */
const SHOWN = 10;

const UNCLEAR = "cannot tell which destinations some rules in our chain match";

/** The whole answer, the most important part first. */
export function renderDiff(view: DiffView, colours: Colours): string {
  const { from, to, differs, verdicts, unclear, rules, drift, dangers, connections } = view;
  if (!differs) return `no difference between ${from} and ${to}\n`;
  const { bold, red, yellow } = colours;
  const isSame = verdicts.length + unclear.length === 0;
  return [
    `${bold(`from ${from}\nto   ${to}`)}\n`,
    ...dangers.map((danger) => `${red(`DANGEROUS: ${dangerText(danger)}`)}\n`),
    ...(isSame
      ? ["\nno destination changes its verdict\n"]
      : verdicts.map((one) => renderFamily(one, colours))),
    ...renderPackets(view, colours),
    ...unclear.map((family) => `\n${yellow(`${family}: ${UNCLEAR}`)}\n`),
    ...rules.map(({ where, added, removed, reordered }) =>
      [
        `\n${bold(where)}: ${added.length} more, ${removed.length} fewer${reordered ? ", the rest in a different order" : ""}\n`,
        ...list("  - ", removed),
        ...list("  + ", added),
      ].join(""),
    ),
    ...(drift.length === 0 ? [] : [`\n${bold("drift detected")}\n`, ...list("  ", drift)]),
    ...(connections === undefined ? [] : [`\n${renderConnections(connections)}`]),
  ].join("");
}

function dangerText({ family, change, what, addresses }: DiffView["dangers"][number]): string {
  if (change === "no address") return `${what}, ${family}`;
  if (change === "left alone")
    return `${count(addresses, "source")} no longer masqueraded: ${what}, ${family}`;
  return `${count(addresses, "address")} newly ${change}: ${what}, ${family}`;
}

/** Whose packets change sides, and through which links and with which addresses they leave. */
function renderPackets(
  { sources = [], interfaces, outputAddresses }: DiffView,
  { bold, green, yellow }: Colours,
): string[] {
  const change = (name: string, { before, after }: Change, none: string) =>
    `\n${bold(name)}\n${[before, after].map((all, i) => `  ${"-+"[i]} ${all.length === 0 ? none : all.join(", ")}\n`).join("")}`;
  return [
    ...sources.flatMap(({ family, newlyOurs, noLongerOurs }) => [
      `\n${bold(`${family} sources`)}\n`,
      ...part(green("no longer masqueraded"), noLongerOurs, "source"),
      ...part(yellow("newly masqueraded"), newlyOurs, "source"),
    ]),
    ...(interfaces === undefined ? [] : [change("output interfaces", interfaces, "any")]),
    ...(outputAddresses === undefined
      ? []
      : [change("output addresses", outputAddresses, "as the kernel chooses")]),
  ];
}

function part(what: string, { addresses, cidrs }: AddressesView, noun: string): string[] {
  return cidrs.length === 0 ? [] : [`  ${what}: ${count(addresses, noun)}\n`, ...list("    ", cidrs)];
}

function renderFamily(
  { family, newlyKept, newlyMasqueraded }: FamilyView,
  { bold, green, yellow }: Colours,
): string {
  return [
    `\n${bold(family)}\n`,
    ...part(green("newly with the pod's address"), newlyKept, "address"),
    ...part(yellow("newly masqueraded"), newlyMasqueraded, "address"),
  ].join("");
}

function renderConnections({ looked, isWhole, stale, failure }: ConnectionsView): string {
  if (failure !== undefined) return `connections: not checked: ${failure}\n`;
  const seen = `${isWhole ? "" : "the first "}${count(String(looked), "connection")}`;
  if (stale.length === 0)
    return `connections: none of ${seen} to these destinations would have a different verdict\n`;
  const examples = stale.map(
    ({ protocol, source, destination, keeps }) =>
      `${protocol} ${source} -> ${destination} stays with the ${keeps}'s address`,
  );
  return [
    `connections: ${stale.length} of ${seen} keep the verdict of their first packet until they end\n`,
    ...list("  ", examples),
    `  "conntrack -D -d ADDRESS" would end them, so that they start again\n`,
  ].join("");
}

function list(indent: string, lines: readonly string[]): string[] {
  const more = lines.length > SHOWN ? [`${indent}and ${lines.length - SHOWN} more: -o json has all\n`] : [];
  return [...lines.slice(0, SHOWN).map((line) => `${indent}${line}\n`), ...more];
}

/** `1 address`, `65,536 addresses`. */
function count(digits: string, noun: string): string {
  return counted(groupedDigits(digits), noun);
}
