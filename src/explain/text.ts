/** The answers of `explain` for people. */

import type { Colours } from "../text/colours.ts";
import type { RuleReference } from "../trace/state.ts";
import { addressesText, conditionText, scopeLines } from "./scope-text.ts";
import type {
  ConfigView,
  DestinationView,
  EndpointView,
  EntryView,
  ExplainView,
  OutcomeView,
  PartView,
  TraceView,
} from "./view.ts";
import { leavesText, MAY, outcomeText, placesText, seenText, WORDS } from "./words.ts";

/** The maximum of list items in the text; JSON has all. */
const SHOWN = 8;
const PARTS_SHOWN = 100;

/** Lines about all destinations. */
export function renderExplanation(
  { destinations, notRead = [], leftOut = [] }: ExplainView,
  colours: Colours,
): string {
  return destinations.map((view) => renderDestination(view, { notRead, leftOut }, colours)).join("\n");
}

/** The parts of the rules that are missing. */
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
  const unless = live === undefined ? "" : renderUnless(live.possible);
  const asFar = live !== undefined && missing.notRead.length > 0 ? ", as far as the rules could be read" : "";
  return [
    `${colours.bold(what)}${renderHead(part, colours)}${unless}${asFar}\n`,
    ...(verdict === undefined ? [] : renderConfig(part, colours)),
    ...(live === undefined ? [] : renderLive(live, colours)),
    ...(agrees === undefined ? [] : [renderAgreement(agrees, part, missing, colours)]),
  ].join("");
}

/** The actual outcome, rather than the configured one. */
function renderHead(part: PartView, colours: Colours): string {
  const { live, verdict } = part;
  if (live?.endpoints !== undefined)
    return ` -> ${colours.yellow(placesText(live.endpoints))}${renderSeen(live.endpoints)}`;
  const head = live?.verdict ?? verdict ?? "unknown";
  const paint = head === "keep" || head === "untracked" ? colours.green : colours.yellow;
  return live === undefined
    ? `: ${paint(WORDS[head] + addressesText(part))}${conditionText(part)}`
    : `: ${paint(outcomeText(live))}${leavesText(live)}`;
}

/** The source that each endpoint sees, once for endpoints that see the same. */
function renderSeen(endpoints: readonly EndpointView[]): string {
  const told = groupBy(endpoints, ({ live }) => seenText(live, "sees") + renderUnless(live.possible));
  return [...told.values()]
    .slice(0, SHOWN)
    .map((group) => {
      const [first] = group as [EndpointView, ...EndpointView[]];
      const names = [...new Set(group.map(({ destination }) => destination))];
      const list = `${names.slice(0, SHOWN).join(", ")}${names.length > SHOWN ? " and others" : ""}`;
      const who = told.size === 1 && names.length > 1 ? "each" : list;
      const verb = who === "each" || names.length === 1 ? "sees" : "see";
      return `; ${who} ${seenText(first.live, verb)}${renderUnless(first.live.possible)}`;
    })
    .join("");
}

function groupBy<T>(all: readonly T[], keyOf: (one: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

function renderUnless(possible: readonly OutcomeView[]): string {
  if (possible.some(({ verdict, endpoints }) => verdict === "redirect" && endpoints === undefined))
    return ", unless it is translated first: ask for the endpoint";
  if (possible.some(({ verdict }) => verdict === "redirect")) return ", unless it is translated first";
  return possible.length > 0 ? ", unless a rule below decides first" : "";
}

function renderConfig(config: ConfigView, colours: Colours): string[] {
  const { verdict = "keep", by, reason, lost = [] } = config;
  const { dim } = colours;
  const why = by === undefined ? `: ${reason}` : ` by ${renderEntry(by)}`;
  return [
    `  config: ${WORDS[verdict]}${addressesText(config)}${why}\n`,
    ...lost.slice(0, SHOWN).map((entry) => `${dim(`  not by ${renderEntry(entry)}: ${entry.why}`)}\n`),
    rest(lost.length, SHOWN, "entries that contain it"),
    ...scopeLines(config, colours),
  ];
}

function renderEntry({ cidr, place, key }: EntryView): string {
  return `${cidr} (${place}${key === undefined ? "" : `, ${key}`})`;
}

function renderLive(live: NonNullable<PartView["live"]>, colours: Colours): string[] {
  const { marked, ...trace } = live;
  return [
    ...renderTrace(trace, colours),
    ...marked.slice(0, SHOWN).map((one) => `  rules: a packet with a mark ${may(one)}\n`),
    rest(marked.length, SHOWN, "rules for packets with a mark"),
  ];
}

function renderTrace(live: TraceView, colours: Colours): string[] {
  const { possible, passed } = live;
  const why = live.by ?? (live.verdict === "keep" ? passed.at(-1) : undefined);
  const main = why === undefined ? renderWithoutRule(live) : ` by ${renderRule(why)}`;
  const advice = live.verdict === "redirect" && live.endpoints === undefined ? ": ask for the endpoint" : "";
  return [
    ...possible
      .slice(0, SHOWN)
      .flatMap((one) => [`  rules: ${may(one)}\n`, ...renderEndpoints(one.endpoints, colours)]),
    rest(possible.length, SHOWN, "rules that may decide"),
    `  rules: ${possible.length > 0 ? "otherwise " : ""}${outcomeText(live)}${main}${advice}\n`,
    ...(live.nextHop === undefined ? [] : [`  route: by ${live.interface}, next hop ${live.nextHop}\n`]),
    ...renderEndpoints(live.endpoints, colours),
  ];
}

function renderWithoutRule({ verdict, policy, noRoute, isForNode }: TraceView): string {
  if (isForNode === true && verdict === "keep") return ": it is for this node itself";
  if (policy !== undefined) return ` by the policy of ${policy.chain} (${policy.place})`;
  return verdict === "keep" && noRoute === undefined ? ": no rule gives it another" : "";
}

/** The packet's way to each endpoint, once for endpoints with the same way. */
function renderEndpoints(endpoints: readonly EndpointView[] = [], colours: Colours): string[] {
  const lines = (one: EndpointView) =>
    [
      ...(one.verdict === undefined ? [] : renderConfig(one, colours)),
      ...renderTrace(one.live, colours),
    ].join("");
  const groups = [...groupBy(endpoints, lines)];
  return [
    ...groups.slice(0, SHOWN).map(([text, group]) => {
      const inner = text.trimEnd().replaceAll("\n", "\n  ");
      return `  to ${placesText(group).replace(/^one of /, "")}\n  ${inner}\n`;
    }),
    rest(groups.length, SHOWN, "kinds of endpoints"),
  ];
}

function may({ conditions, ...outcome }: OutcomeView): string {
  const { verdict, by, policy, endpoints } = outcome;
  const rule = by === undefined ? "" : ` by ${renderRule(by)}`;
  const chain = policy === undefined ? "" : ` by the policy of ${policy.chain} (${policy.place})`;
  const depends = [...new Set(conditions)].slice(0, SHOWN).join(" and ");
  const end = conditions.length === 0 ? "" : `; it depends on: ${depends}`;
  const advice =
    verdict !== "redirect"
      ? ""
      : endpoints === undefined
        ? ": ask for the endpoint"
        : `, to ${placesText(endpoints)}`;
  return `${MAY[verdict]}${rule}${chain}${advice}${end}`;
}

function renderRule({ place, chain, number, text }: RuleReference): string {
  return `rule ${number} of ${chain} (${place}): ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
}

function renderAgreement(
  agrees: NonNullable<PartView["agrees"]>,
  { live }: PartView,
  { notRead, leftOut }: Missing,
  { red, yellow }: Colours,
): string {
  if (agrees === "yes")
    return `  the rules ${leftOut.length > 0 ? "in the dump " : ""}do what the configuration says\n`;
  if (agrees === "no") return `  ${red("the rules do NOT do what the configuration says")}\n`;
  if (agrees === "unknown")
    return `  ${yellow("whether the rules do what the configuration says is not known")}: ${notRead.length > 0 ? "not all of them could be read" : "a rule may translate the destination, and it is not known to what"}\n`;
  if (live?.endpoints?.every((one) => one.live.possible.length === 0))
    return `  ${yellow("whether the rules do what the configuration says depends on which endpoint gets the packet")}\n`;
  return `  ${yellow("whether the rules do what the configuration says depends on packet details that you did not give")}: try a port, --source, --protocol or --out-interface\n`;
}

function rest(length: number, shown: number, what: string): string {
  return length > shown ? `  and ${length - shown} more ${what}: -o json has all\n` : "";
}
