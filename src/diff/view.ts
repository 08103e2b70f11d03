/** The answer of `diff` as JSON; the text is made from it. */

import { type Drift, renderDrift } from "../core/drift.ts";
import { decompose, type Interval } from "../core/intervals.ts";
import { countAddresses, type Danger, type VerdictChange } from "../core/verdicts.ts";
import type { Change, PacketChanges } from "./packets.ts";
import type { RuleChange } from "./rule-changes.ts";
import type { StaleConnection } from "./stale-connections.ts";

/** Addresses as CIDRs and their number, in decimal digits: it may be more than a JSON number holds exactly. */
export interface AddressesView {
  readonly addresses: string;
  readonly cidrs: readonly string[];
}

export interface FamilyView {
  readonly family: string;
  /** Masqueraded before, with the pod's address afterwards. */
  readonly newlyKept: AddressesView;
  readonly newlyMasqueraded: AddressesView;
}

export interface DiffView {
  readonly from: string;
  readonly to: string;
  readonly differs: boolean;
  readonly verdicts: readonly FamilyView[];
  /** Families whose live rules match on more than the destination. */
  readonly unclear: readonly string[];
  readonly rules: readonly RuleChange[];
  /** The drift of the live rules, if they were read. */
  readonly drift: readonly string[];
  readonly dangers: readonly (Omit<Danger, "addresses"> & { readonly addresses: string })[];
  readonly connections: ConnectionsView | undefined;
  /** Sources whose packets change sides; absent if none does. */
  readonly sources?: readonly SourcesView[];
  /** Names of `outputInterfaces`; absent if they stay. */
  readonly interfaces?: Change;
  /** `outputAddresses`, and how packets take several; absent if they stay. */
  readonly outputAddresses?: Change;
}

/** Sources of one family. */
export interface SourcesView {
  readonly family: string;
  readonly newlyOurs: AddressesView;
  readonly noLongerOurs: AddressesView;
}

/** Connections that keep a verdict that new ones would not have. */
export interface ConnectionsView {
  readonly looked: number;
  /** Whether all were checked. */
  readonly isWhole: boolean;
  readonly stale: readonly StaleConnection[];
  /** Why none were checked. */
  readonly failure?: string;
}

/** The parts of a difference. */
export interface Difference {
  readonly from: string;
  readonly to: string;
  readonly changes: readonly VerdictChange[];
  readonly unclear: readonly string[];
  readonly rules: readonly RuleChange[];
  readonly drift: readonly Drift[];
  readonly dangers: readonly Danger[];
  readonly connections?: ConnectionsView | undefined;
  readonly packets?: PacketChanges;
}

/** Makes the answer; addresses become CIDRs and counts become decimal digits. */
export function viewDifference({
  from,
  to,
  changes,
  unclear,
  rules,
  drift,
  dangers,
  connections,
  packets = { sources: [] },
}: Difference): DiffView {
  const verdicts = changes.filter(({ kept, masqueraded }) => kept.length + masqueraded.length > 0);
  return {
    from,
    to,
    differs: verdicts.length + unclear.length + rules.length + drift.length > 0 || isChange(packets),
    verdicts: verdicts.map(({ family, kept, masqueraded }) => ({
      family,
      newlyKept: viewAddresses(family, kept),
      newlyMasqueraded: viewAddresses(family, masqueraded),
    })),
    unclear,
    rules,
    drift: drift.map(renderDrift),
    dangers: dangers.map((danger) => ({ ...danger, addresses: String(danger.addresses) })),
    connections,
    ...viewPackets(packets),
  };
}

function isChange({ sources, interfaces, addresses }: PacketChanges): boolean {
  return sources.length > 0 || interfaces !== undefined || addresses !== undefined;
}

function viewPackets({ sources, interfaces, addresses }: PacketChanges): Partial<DiffView> {
  const views = sources.map(({ family, ours, others }) => ({
    family,
    newlyOurs: viewAddresses(family, ours),
    noLongerOurs: viewAddresses(family, others),
  }));
  return {
    ...(views.length === 0 ? {} : { sources: views }),
    ...(interfaces === undefined ? {} : { interfaces }),
    ...(addresses === undefined ? {} : { outputAddresses: addresses }),
  };
}

function viewAddresses(family: VerdictChange["family"], intervals: readonly Interval[]): AddressesView {
  return {
    addresses: String(countAddresses(intervals)),
    cidrs: intervals.flatMap((interval) => decompose(family, interval)).map(({ text }) => text),
  };
}
