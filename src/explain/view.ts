/** What `explain` answers, as JSON; the text is made from it. */

import type { Desired } from "../core/desired.ts";
import { whyLost } from "../core/explanation.ts";
import { decompose } from "../core/intervals.ts";
import { renderPlace } from "../core/problem.ts";
import type { Entry } from "../core/ruleset.ts";
import { countAddresses } from "../core/verdicts.ts";
import type { RuleReference, TraceOutcome } from "../trace/trace.ts";
import type { Agreement, LiveAnswer, Part } from "./answer.ts";
import type { Destination } from "./destination.ts";

export interface EntryView {
  /** As it is written. */
  readonly cidr: string;
  readonly verdict: "keep" | "masquerade";
  /** File, line and column; or why nobody wrote it. */
  readonly place: string;
  readonly key?: string;
}

export interface OutcomeView {
  readonly verdict: TraceOutcome["verdict"];
  readonly by?: RuleReference;
  readonly conditions: readonly string[];
}

export interface PartView {
  readonly cidrs: readonly string[];
  /** Decimal digits: it may be more than a JSON number holds exactly. */
  readonly addresses: string;
  /** By the configuration. */
  readonly verdict?: "keep" | "masquerade";
  readonly by?: EntryView;
  /** Why it is so where no entry decides. */
  readonly reason?: string;
  readonly lost?: readonly (EntryView & { readonly why: string })[];
  readonly live?: OutcomeView & {
    readonly possible: readonly OutcomeView[];
    /** If the packet has a mark. */
    readonly marked: readonly OutcomeView[];
    readonly passed: readonly RuleReference[];
  };
  readonly agrees?: Agreement;
}

/** All that is answered. */
export interface ExplainView {
  /** What could not be read of the node's rules; there if they were asked. */
  readonly notRead?: readonly string[];
  /** What saved rules were not asked for. */
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
      ...(part.config === undefined || desired === undefined ? {} : viewConfig(part.config, desired)),
      ...(part.live === undefined ? {} : { live: viewLive(part.live) }),
      ...(part.agrees === undefined ? {} : { agrees: part.agrees }),
    })),
  };
}

function viewConfig(
  { verdict, explanation }: NonNullable<Part["config"]>,
  desired: Desired,
): Partial<PartView> {
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

function viewLive({ otherwise, possible, marked, passed }: LiveAnswer): NonNullable<PartView["live"]> {
  return { ...otherwise, possible, marked, passed };
}
