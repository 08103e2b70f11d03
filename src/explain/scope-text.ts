/** Whose packets an answer is about, and what they leave with, for people. */
import type { Colours } from "../text/colours.ts";
import type { ScopeView, SourceView } from "./scope-view.ts";

/** The maximum of list items in the text; JSON has all. */
const SHOWN = 8;

/** The addresses that masqueraded packets leave with, after the word "masqueraded". */
export function addressesText({ as = [], asBy, outputAddresses }: ScopeView): string {
  if (outputAddresses !== undefined)
    return ` as one of the node's addresses in ${listed(outputAddresses, "or")}`;
  if (as.length === 0) return "";
  if (as.length === 1) return ` as ${as[0]}`;
  return asBy === "flow"
    ? ` as any of ${listed(as, "and")}`
    : ` as ${listed(as, "or")}, by the pod's address`;
}

/** The conditions of a verdict, after it. */
export function conditionText({ sources = [], interfaces }: ScopeView): string {
  const [ours, others] = [true, false].map((isOurs) =>
    listed(
      sources.filter((one) => one.isOurs === isOurs).map(({ cidr }) => cidr),
      "or",
    ),
  ) as [string, string];
  const through = interfaces === undefined ? "" : `leaves through ${listed(interfaces, "or")}`;
  const longest = ours !== "" && others !== "" ? `, but not from ${others} (the longest prefix decides)` : "";
  const ifs = [ours === "" ? "" : `comes from ${ours}${longest}`, through].filter(Boolean);
  const unless = ours === "" && others !== "" ? `, unless it comes from ${others}` : "";
  if (ifs.length === 0 && unless === "") return "";
  return `${unless}${ifs.length === 0 ? "" : `, if it ${ifs.join(" and ")}`}; else keeps the pod's address`;
}

/** Lines about what it depends on, or about the entry that decides about the source, and those that lost. */
export function scopeLines({ sources = [], bySource, interfaces }: ScopeView, { dim }: Colours): string[] {
  const rest = sources.length - SHOWN;
  const lost = bySource?.lost ?? [];
  return [
    ...sources
      .slice(0, SHOWN)
      .map((one) => `  config: ${one.isOurs ? "" : "not "}if it comes from ${entryText(one)}\n`),
    rest > 0 ? `  and ${rest} more entries about sources: -o json has all\n` : "",
    interfaces === undefined ? "" : `  config: if it leaves through ${listed(interfaces, "or")}\n`,
    bySource === undefined
      ? ""
      : `  config: the source is ${bySource.isOurs ? "" : "not "}masqueraded by ${entryText(bySource)}\n`,
    ...lost
      .slice(0, SHOWN)
      .map((one) => `${dim(`  not by ${entryText(one)}: its prefix is shorter, and the longest decides`)}\n`),
  ];
}

function entryText({ cidr, place, key }: SourceView): string {
  return `${cidr} (${place}${key === undefined ? "" : `, ${key}`})`;
}

/** `a, b or c`; of many, the first and their number. */
function listed(all: readonly string[], word: "or" | "and"): string {
  if (all.length > SHOWN) return `${all.slice(0, SHOWN).join(", ")} ${word} ${all.length - SHOWN} more`;
  const last = all.at(-1) ?? "";
  return all.length < 2 ? last : `${all.slice(0, -1).join(", ")} ${word} ${last}`;
}
