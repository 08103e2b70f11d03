/** The answers of `explain` as JSON; the text is made from it. */

import { type Family, formatAddress } from "../core/cidr.ts";
import type { Desired } from "../core/desired.ts";
import { whyLost } from "../core/explanation.ts";
import { decompose, type Interval } from "../core/intervals.ts";
import { renderPlace } from "../core/problem.ts";
import type { Entry } from "../core/ruleset.ts";
import { countAddresses } from "../core/verdicts.ts";
import type { Endpoint, Trace, TraceOutcome } from "../trace/outcome.ts";
import type { RuleReference } from "../trace/state.ts";
import type { Agreement } from "./agreement.ts";
import type { ConfigAnswer, LiveAnswer, Part } from "./answer.ts";
import type { Destination } from "./destination.ts";
import { type ScopeView, viewAddresses, viewScope, whyNotOurs } from "./scope-view.ts";

export interface EntryView {
  /** As it is written. */
  readonly cidr: string;
  readonly verdict: "keep" | "masquerade";
  /** File, line and column; or why there is none. */
  readonly place: string;
  readonly key?: string;
}

export interface OutcomeView extends Destiny {
  readonly verdict: TraceOutcome["verdict"];
  readonly by?: RuleReference;
  readonly conditions: readonly string[];
  /** Of a drop that no rule makes: the base chain whose policy it is. */
  readonly policy?: { readonly place: string; readonly chain: string };
  /** The packet's mark when it reached the deciding rule or policy, such as `0x4000`; absent if it is 0 or not known. */
  readonly mark?: string;
  /** The possible translated destinations; absent if they are not known. */
  readonly endpoints?: readonly EndpointView[];
}

/** The source address that the receiver sees, and the packet's way there. */
export interface Destiny {
  /** The source address after NAT, or the first and the last that it may be. */
  readonly source?: string;
  readonly interface?: string;
  readonly nextHop?: string;
  /** Whether the packet is for this node itself. */
  readonly isForNode?: true;
  /** Why the kernel has no way for it. */
  readonly noRoute?: string;
}

/** Where a packet goes on after its destination was translated. */
export interface EndpointView extends ConfigView {
  /** Or `this node`, of a packet for the address of the interface that it came in through. */
  readonly destination: string;
  readonly port?: number;
  readonly live: TraceView;
}

export interface TraceView extends OutcomeView {
  readonly possible: readonly OutcomeView[];
  readonly passed: readonly RuleReference[];
}

/** By the configuration. */
export interface ConfigView extends ScopeView {
  readonly verdict?: "keep" | "masquerade";
  readonly by?: EntryView;
  /** Why it is so where no entry decides. */
  readonly reason?: string;
  readonly lost?: readonly (EntryView & { readonly why: string })[];
}

export interface PartView extends ConfigView {
  readonly cidrs: readonly string[];
  /** Decimal digits: it may be more than a JSON number holds exactly. */
  readonly addresses: string;
  readonly live?: TraceView & {
    /** If the packet has a mark. */
    readonly marked: readonly OutcomeView[];
  };
  readonly agrees?: Agreement;
}

/** The whole answer. */
export interface ExplainView {
  /** The parts of the node's rules that could not be read; present if explain read them. */
  readonly notRead?: readonly string[];
  /** The parts outside of a dump, such as tables that were not saved. */
  readonly leftOut?: readonly string[];
  readonly destinations: readonly DestinationView[];
}

export interface DestinationView {
  readonly destination: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly parts: readonly PartView[];
}

/** The answers about one destination. */
export function viewDestination(
  { asked, family, port, protocol }: Destination,
  parts: readonly Part[],
  desired: Desired | undefined,
): DestinationView {
  return {
    destination: asked,
    ...(port === undefined ? {} : { port }),
    ...(protocol === undefined ? {} : { protocol }),
    parts: parts.map((part) => ({
      cidrs: decompose(family, part.interval).map(({ text }) =>
        text.replace(/\/(32|128)$/, (whole, bits) => ((family === "IPv4") === (bits === "32") ? "" : whole)),
      ),
      addresses: String(countAddresses([part.interval])),
      ...(part.config === undefined || desired === undefined ? {} : viewConfig(part.config, desired, family)),
      ...(part.live === undefined
        ? {}
        : { live: viewLive(part.live, { family, desired, configAt: part.configAt }) }),
      ...(part.agrees === undefined ? {} : { agrees: part.agrees }),
    })),
  };
}

function viewConfig(answer: ConfigAnswer, desired: Desired, family: Family): ConfigView {
  const { scope } = answer;
  if (scope?.isOurs === false)
    return { verdict: "keep", reason: whyNotOurs(scope), ...viewScope(scope, desired) };
  return {
    ...viewVerdict(answer, desired),
    ...(scope === undefined ? {} : viewScope(scope, desired)),
    ...(answer.verdict === "masquerade" ? viewAddresses(answer, desired, family) : {}),
  };
}

function viewVerdict({ verdict, explanation }: ConfigAnswer, desired: Desired): ConfigView {
  if (explanation === "local")
    return { verdict, reason: "it is an address of the node itself, and the agent's rules are about others" };
  if (explanation === "family off")
    return { verdict, reason: "--enable-ipv6 is off, so the agent has no rules for IPv6" };
  const { by, lost } = explanation;
  if (by === undefined) return { verdict, reason: "no entry contains it" };
  const weighed = desired.config.masqueradeCIDRs.length > 0;
  return {
    verdict,
    by: viewEntry(by, desired),
    lost: lost.map((entry) => ({ ...viewEntry(entry, desired), why: whyLost(by, entry, weighed) })),
  };
}

function viewEntry({ cidr, verdict }: Entry, { placeOf }: Desired): EntryView {
  const place = placeOf(cidr);
  return {
    cidr: cidr.text,
    verdict: verdict === "return" ? "keep" : "masquerade",
    place:
      place === undefined
        ? "link-local, kept unless masqLinkLocal or masqLinkLocalIPv6 is true"
        : renderPlace(place),
    ...(place?.key === undefined ? {} : { key: place.key }),
  };
}

interface Context {
  readonly family: Family;
  readonly desired: Desired | undefined;
  readonly configAt: Part["configAt"];
}

function viewLive({ marked, ...trace }: LiveAnswer, context: Context): NonNullable<PartView["live"]> {
  const { passed, ...view } = viewTrace(trace, context);
  return { ...view, marked: marked.map((one) => viewOutcome(one, context)), passed };
}

function viewTrace({ otherwise, possible, passed }: Trace, context: Context): TraceView {
  return {
    ...viewOutcome(otherwise, context),
    possible: possible.map((one) => viewOutcome(one, context)),
    passed,
  };
}

function viewOutcome(outcome: TraceOutcome, context: Context): OutcomeView {
  const { verdict, by, conditions, policy, mark, endpoints } = outcome;
  return {
    verdict,
    ...(by === undefined ? {} : { by }),
    conditions,
    ...(policy === undefined ? {} : { policy }),
    ...(mark === undefined ? {} : { mark: `0x${mark.toString(16)}` }),
    ...viewDestiny(outcome, context.family),
    ...(endpoints === undefined ? {} : { endpoints: endpoints.map((one) => viewEndpoint(one, context)) }),
  };
}

function viewDestiny({ targets, route }: TraceOutcome, family: Family): Destiny {
  const [addresses, ...more] = (targets ?? []).flatMap((one) =>
    one.isPrefix === true ? [] : (one.addresses ?? []),
  );
  const source = addresses === undefined || more.length > 0 ? {} : { source: rangeText(family, addresses) };
  if (route?.kind === "none") return { ...source, noRoute: route.why };
  if (route?.kind === "local") return { ...source, isForNode: true };
  if (route?.kind !== "unicast") return source;
  const { out, nextHop } = route;
  return {
    ...source,
    interface: out,
    ...(nextHop === undefined ? {} : { nextHop: formatAddress(family, nextHop) }),
  };
}

function rangeText(family: Family, { first, last }: Interval): string {
  const [from, to] = [first, last].map((one) => formatAddress(family, one));
  return from === to ? `${from}` : `${from}-${to}`;
}

function viewEndpoint({ destination, isHere, port, trace }: Endpoint, context: Context): EndpointView {
  const { family, desired, configAt } = context;
  const answer =
    isHere === true ? ({ verdict: "keep", explanation: "local" } as const) : configAt?.(destination);
  const config = answer === undefined || desired === undefined ? {} : viewConfig(answer, desired, family);
  return {
    destination: isHere === true ? "this node" : formatAddress(family, destination),
    ...(port === undefined ? {} : { port }),
    ...config,
    live: viewTrace(trace, context),
  };
}
