/** The answer of `diff` for people. */

import type { Colours } from "../text/colours.ts";
import { counted, groupedDigits } from "../text/plural.ts";
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
    ...dangers.map(
      ({ family, change, what, addresses }) =>
        `${red(`DANGEROUS: ${count(addresses, "address")} newly ${change}: ${what}, ${family}`)}\n`,
    ),
    ...(isSame
      ? ["\nno destination changes its verdict\n"]
      : verdicts.map((one) => renderFamily(one, colours))),
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

function renderFamily(
  { family, newlyKept, newlyMasqueraded }: FamilyView,
  { bold, green, yellow }: Colours,
): string {
  const part = (what: string, { addresses, cidrs }: AddressesView) =>
    cidrs.length === 0 ? [] : [`  ${what}: ${count(addresses, "address")}\n`, ...list("    ", cidrs)];
  return [
    `\n${bold(family)}\n`,
    ...part(green("newly with the pod's address"), newlyKept),
    ...part(yellow("newly masqueraded"), newlyMasqueraded),
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
