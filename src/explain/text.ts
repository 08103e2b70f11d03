/** The answers of `explain` for people. */

import type { Colours } from "../text/colours.ts";
import type { RuleReference } from "../trace/trace.ts";
import type { DestinationView, EntryView, ExplainView, OutcomeView, PartView } from "./view.ts";

/** As many of a list are shown; JSON has all. */
const SHOWN = 8;
const PARTS_SHOWN = 100;

/** Lines about all destinations. */
export function renderExplanation(
  { destinations, notRead = [], leftOut = [] }: ExplainView,
  colours: Colours,
): string {
  return destinations.map((view) => renderDestination(view, { notRead, leftOut }, colours)).join("\n");
}

/** What is missing of the rules. */
interface Missing {
  readonly notRead: readonly string[];
  readonly leftOut: readonly string[];
}

function renderDestination(
  { destination, parts }: DestinationView,
  missing: Missing,
  colours: Colours,
): string {
  const shown = parts
    .slice(0, PARTS_SHOWN)
    .map((part) => renderPart(destination, part, { isWhole: parts.length === 1, ...missing }, colours));
  return shown.join("") + rest(parts.length, PARTS_SHOWN, "parts");
}

interface Context extends Missing {
  readonly isWhole: boolean;
}

function renderPart(
  destination: string,
  part: PartView,
  { isWhole, ...missing }: Context,
  colours: Colours,
): string {
  const { cidrs, verdict, live, agrees } = part;
  const blocks = `${cidrs.slice(0, SHOWN).join(" ")}${cidrs.length > SHOWN ? ` and ${cidrs.length - SHOWN} more` : ""}`;
  const what = isWhole ? destination : `${blocks} of ${destination}`;
  // What happens, rather than what should.
  const head = live?.verdict ?? verdict ?? "unknown";
  const unless = live === undefined ? "" : renderUnless(live.possible);
  const asFar = live !== undefined && missing.notRead.length > 0 ? ", as far as the rules could be read" : "";
  return [
    `${colours.bold(what)}: ${paint(head, colours)}${unless}${asFar}\n`,
    ...(verdict === undefined ? [] : renderConfig(part, colours)),
    ...(live === undefined ? [] : renderLive(live)),
    ...(agrees === undefined ? [] : [renderAgreement(agrees, missing, colours)]),
  ].join("");
}

function renderUnless(possible: readonly OutcomeView[]): string {
  if (possible.some(({ verdict }) => verdict === "redirect"))
    return ", unless it is translated first: ask for the endpoint";
  return possible.length > 0 ? ", unless a rule below decides first" : "";
}

const WORDS: Readonly<Record<OutcomeView["verdict"], string>> = {
  keep: "keeps the pod's address",
  masquerade: "masqueraded",
  translate: "gets another source address",
  drop: "dropped",
  redirect: "translated first: ask for the endpoint",
  untracked: "exempted from NAT",
  unknown: "decided by a rule that this program does not understand",
};

const MAY: Readonly<Record<OutcomeView["verdict"], string>> = {
  keep: "may keep the pod's address",
  masquerade: "may be masqueraded",
  translate: "may get another source address",
  drop: "may be dropped",
  redirect: "may be translated first",
  untracked: "may be exempted from NAT",
  unknown: "may be decided by a rule that this program does not understand",
};

function paint(verdict: OutcomeView["verdict"], { green, yellow }: Colours): string {
  return (verdict === "keep" ? green : yellow)(WORDS[verdict]);
}

function renderConfig({ verdict = "keep", by, reason, lost = [] }: PartView, { dim }: Colours): string[] {
  const why = by === undefined ? `: ${reason}` : ` by ${renderEntry(by)}`;
  return [
    `  config: ${WORDS[verdict]}${why}\n`,
    ...lost.slice(0, SHOWN).map((entry) => `${dim(`  not by ${renderEntry(entry)}: ${entry.why}`)}\n`),
    rest(lost.length, SHOWN, "entries that contain it"),
  ];
}

function renderEntry({ cidr, place, key }: EntryView): string {
  return `${cidr} (${place}${key === undefined ? "" : `, ${key}`})`;
}

function renderLive(live: NonNullable<PartView["live"]>): string[] {
  const { possible, marked, passed } = live;
  const last = passed.at(-1);
  const why = live.by ?? (live.verdict === "keep" ? last : undefined);
  const main = why === undefined ? "" : ` by ${renderRule(why)}`;
  const end = live.verdict === "redirect" ? `is translated first${main}: ask for the endpoint` : undefined;
  const nothing = live.verdict === "keep" && why === undefined ? ": no rule gives it another" : "";
  return [
    ...possible.slice(0, SHOWN).map((one) => `  rules: ${may(one)}\n`),
    rest(possible.length, SHOWN, "rules that may decide"),
    `  rules: ${possible.length > 0 ? "otherwise " : ""}${end ?? `${WORDS[live.verdict]}${main}${nothing}`}\n`,
    ...marked.slice(0, SHOWN).map((one) => `  rules: a packet with a mark ${may(one)}\n`),
    rest(marked.length, SHOWN, "rules for packets with a mark"),
  ];
}

function may({ verdict, by, conditions }: OutcomeView): string {
  const rule = by === undefined ? "" : ` by ${renderRule(by)}`;
  const depends = [...new Set(conditions)].slice(0, SHOWN).join(" and ");
  const end = conditions.length === 0 ? "" : `; it depends on: ${depends}`;
  const advice = verdict === "redirect" ? ": ask for the endpoint" : "";
  return `${MAY[verdict]}${rule}${advice}${end}`;
}

function renderRule({ place, chain, number, text }: RuleReference): string {
  return `rule ${number} of ${chain} (${place}): ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
}

function renderAgreement(
  agrees: NonNullable<PartView["agrees"]>,
  { notRead, leftOut }: Missing,
  { red, yellow }: Colours,
): string {
  if (agrees === "yes")
    return `  the rules ${leftOut.length > 0 ? "in the dump " : ""}do what the configuration says\n`;
  if (agrees === "no") return `  ${red("the rules do NOT do what the configuration says")}\n`;
  if (agrees === "unknown")
    return `  ${yellow("whether the rules do what the configuration says is not known")}: ${notRead.length > 0 ? "not all of them could be read" : "another rule may decide before the agent's rules see the packet"}\n`;
  return `  ${yellow("whether the rules do what the configuration says depends on what is not known of the packet")}: try --source, --protocol or --out-interface\n`;
}

function rest(length: number, shown: number, what: string): string {
  return length > shown ? `  and ${length - shown} more ${what}: -o json has all\n` : "";
}
