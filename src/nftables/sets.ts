/**
 * The sets of the nftables backend: how they get their elements without a packet seeing a half-done change. See plan.ts
 * about atomicity.
 */

import { FAMILIES, type Family } from "../core/cidr.ts";
import type { Drift } from "../core/drift.ts";
import {
  changeIntervals,
  type Interval,
  type IntervalChange,
  independentChanges,
  longestPrefixIntervals,
  meetIntervals,
  uniteIntervals,
} from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { sourceIntervals } from "../core/sources.ts";
import { intervalsWithin } from "../netlink/elements.ts";
import type {
  ChangeElements,
  ObservedChain,
  ObservedObject,
  ObservedRule,
  ObservedSet,
  ObservedTable,
  Operation,
  SetKey,
} from "../netlink/operations.ts";
import { counted } from "../text/plural.ts";

/** The whole content of our table. */
export interface TableState {
  readonly table: ObservedTable | undefined;
  readonly chains: readonly ObservedChain[];
  readonly sets: readonly { readonly set: ObservedSet; readonly elements: readonly Interval[] }[];
  /** The first rules of our chain: more than we ever write, so that any rules beyond are foreign. */
  readonly rules: readonly ObservedRule[];
  readonly objects: readonly ObservedObject[];
}

/** The content without a table. */
export const NO_TABLE: TableState = { table: undefined, chains: [], sets: [], rules: [], objects: [] };

/** Our own flag, unknown to the kernel, of a set with so many elements that we do not read them. */
export const CROWDED = "crowded";

/** The limit of rules to read from our chain. Ours fit one transaction, which has fewer messages than that (see src/netlink/budget.ts). */
export const RULES_READ = 1_024;

export const TABLE = { family: "inet", table: "ip-masq-agent" } as const;
export const CHAIN = { ...TABLE, chain: "postrouting" } as const;

const KEYS: Readonly<Record<Family, SetKey>> = { IPv4: "ipv4_addr", IPv6: "ipv6_addr" };

/** The sets of a family: destinations that keep the pod's address, and sources whose packets are ours. */
export type Role = "keep" | "from";

/** How rules look up a set of each role. */
const LOOKUPS = { keep: "daddr", from: "saddr" } as const satisfies Record<Role, string>;

export const ROLES: readonly Role[] = ["keep", "from"];

/** A set has this name, or the same with `-next` or a number after it: where one transaction cannot change a set, we fill another. */
function setName(role: Role, family: Family): string {
  return `${role}-${family.toLowerCase()}`;
}

/**
 * A change is two lists of elements, each of which leaves its last message partly empty; that costs at most as much
 * as one full message more than both in one list would (see src/netlink/budget.ts).
 */
const BATCH_RESERVE_BYTES = 33_024;

const keptOf = new WeakMap<Ruleset, readonly Interval[]>();

/** The destinations that keep the pod's address, as elements of a set. Computed once for a ruleset: a long list takes a tenth of a second. */
export function keptIntervals(ruleset: Ruleset): readonly Interval[] {
  const known = keptOf.get(ruleset);
  if (known !== undefined) return known;
  const choices = ruleset.entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" }));
  const intervals = longestPrefixIntervals(choices);
  keptOf.set(ruleset, intervals);
  return intervals;
}

/** The wanted elements of a set; undefined: there is no such set. */
export function wantedIn(ruleset: Ruleset, role: Role): readonly Interval[] | undefined {
  return role === "keep" ? keptIntervals(ruleset) : sourceIntervals(ruleset.family, ruleset.scope);
}

/** The changes that give a set its elements. */
export interface SetPlan {
  readonly role: Role;
  /** The set that the rules look up after all changes, ... */
  readonly name: string;
  readonly key: SetKey;
  /** ... and its elements then. */
  readonly wanted: readonly Interval[];
  /** Makes and fills a set that no rule looks up yet, in any number of transactions. */
  readonly create: readonly Operation[];
  /** Changes the set in place before the rules are changed; each list is one transaction. */
  readonly before: readonly (readonly Operation[])[];
  /** The same after that. */
  readonly after: readonly (readonly Operation[])[];
  /** Whether it changes a set that rules look up now. */
  readonly isLive: boolean;
  readonly drift: readonly Drift[];
}

/** Plans a family's set of one role; undefined if there is none. */
export function planSet(
  ruleset: Ruleset,
  role: Role,
  state: TableState,
  maxBytes: number,
): SetPlan | undefined {
  const wanted = wantedIn(ruleset, role);
  if (wanted === undefined) return undefined;
  const kind: SetKind = { role, family: ruleset.family };
  const { name, isLookedUp } = activeSet(kind, state);
  const present = state.sets.find(({ set }) => set.set === name);
  if (present === undefined) return makeSet(kind, state, wanted);
  if (!isOurs(present.set, kind))
    return makeSet(kind, state, wanted, {
      name,
      actual: present.set.flags.includes(CROWDED) ? "far too many elements" : "a set of a different type",
    });
  const kept = {
    ...{ role, name, key: KEYS[ruleset.family], wanted },
    ...{ create: [], before: [], after: [], isLive: false, drift: [] },
  };
  if (present.elements === wanted) return kept;
  const change = changeIntervals(present.elements, wanted);
  if (change.removed.length + change.added.length === 0) return kept;
  const changes = packChange(kind, name, change, maxBytes);
  if (changes === undefined) return replaceSet(kind, state, wanted, present);
  return { ...kept, before: changes, isLive: isLookedUp, drift: [describeChange(name, change)] };
}

/**
 * A set that changes in place, where other sets or the rules change as well: a packet's look-ups may lie on either side of a
 * commit, even of one. So sets first get what takes packets from masquerading, and what adds to them only after the rules.
 * A flow that is masqueraded before and after is so all the time, and one that keeps its address before and after keeps it.
 */
export function stageSet(plan: SetPlan, family: Family, state: TableState, maxBytes: number): SetPlan {
  if (!plan.isLive) return plan;
  const { role, name, wanted } = plan;
  const kind: SetKind = { role, family };
  const present = state.sets.find(({ set }) => set.set === name);
  if (present === undefined) return plan;
  const less = role === "keep" ? uniteIntervals : meetIntervals;
  const middle = less(present.elements, wanted);
  const before = packChange(kind, name, changeIntervals(present.elements, middle), maxBytes);
  const after = packChange(kind, name, changeIntervals(middle, wanted), maxBytes);
  if (before === undefined || after === undefined) return replaceSet(kind, state, wanted, present);
  return { ...plan, before, after };
}

/** Whether a set has one of our names. */
export function isSetName(name: string): boolean {
  return ROLES.some((role) => FAMILIES.some((family) => isNamed(name, { role, family })));
}

interface SetKind {
  readonly role: Role;
  readonly family: Family;
}

function isNamed(name: string, { role, family }: SetKind): boolean {
  const base = setName(role, family);
  return name.startsWith(base) && SUFFIX.test(name.slice(base.length));
}

const SUFFIX = /^(-next|-\d+)?$/;

/** The sets that rules look up in a role. */
export function lookedUpBy(rules: TableState["rules"], role: Role): string[] {
  const statements = rules.flatMap((rule) => rule.statements);
  return statements.flatMap((one) => (one.kind === LOOKUPS[role] ? one.set : []));
}

/** The set that our rules look up now; without rules, the existing one, or the first name. */
function activeSet(
  kind: SetKind,
  { rules, sets }: TableState,
): { readonly name: string; readonly isLookedUp: boolean } {
  const lookedUp = lookedUpBy(rules, kind.role);
  const names = [...lookedUp, ...sets.map(({ set }) => set.set)];
  const name = names.find((one) => isNamed(one, kind)) ?? setName(kind.role, kind.family);
  return { name, isLookedUp: lookedUp.includes(name) };
}

/** A name that no set has. An existing set does not help: a killed agent may have half filled it, or foreign rules may use it. */
function freeName({ role, family }: SetKind, { sets }: TableState): string {
  const there = sets.map(({ set }) => set.set);
  const base = setName(role, family);
  const names = [base, `${base}-next`, ...there.map((_, i) => `${base}-${i + 2}`)];
  return names.find((name) => !there.includes(name)) ?? base;
}

function isOurs({ key, flags, size }: ObservedSet, { family }: SetKind): boolean {
  return key === KEYS[family] && flags.join() === "interval" && size === undefined;
}

/** Another set, where transactions cannot change the present one. */
function replaceSet(
  kind: SetKind,
  state: TableState,
  wanted: readonly Interval[],
  present: TableState["sets"][number],
): SetPlan {
  const actual = `${counted(present.elements.length, "interval")}, not the same`;
  return makeSet(kind, state, wanted, { name: present.set.set, actual });
}

/** Makes a new set; `instead` is the one that it replaces, with its fault. */
function makeSet(
  kind: SetKind,
  state: TableState,
  elements: readonly Interval[],
  instead?: { readonly name: string; readonly actual: string },
): SetPlan {
  const key = KEYS[kind.family];
  const set = freeName(kind, state);
  const create: Operation[] = [{ op: "add set", ...TABLE, set, key }];
  if (elements.length > 0) create.push({ op: "add elements", ...TABLE, set, key, elements });
  const expected = counted(elements.length, "interval");
  const drift: Drift =
    instead === undefined
      ? { kind: "missing", where: `set ${set}`, expected }
      : { kind: "changed", where: `set ${instead.name}`, expected, actual: instead.actual };
  const { role } = kind;
  return {
    ...{ role, name: set, key, wanted: elements },
    ...{ create, before: [], after: [], isLive: false, drift: [drift] },
  };
}

/** The change as transactions that fit, each of which leaves every address with a correct verdict; undefined if that is impossible. */
function packChange(
  { family }: SetKind,
  set: string,
  change: IntervalChange,
  maxBytes: number,
): Operation[][] | undefined {
  // Two lists never cost more than twice as much as one: that is the better bound where only one message fits.
  const reserve = Math.min(BATCH_RESERVE_BYTES, Math.ceil(maxBytes / 2));
  if (sizeOf(change) === 0) return [];
  const capacity = intervalsWithin(addElements(family, set, []), maxBytes - reserve);
  if (sizeOf(change) <= capacity) return [changeOperations(family, set, change)];
  const batches: { removed: Interval[]; added: Interval[] }[] = [{ removed: [], added: [] }];
  let room = capacity;
  for (const part of independentChanges(change)) {
    const size = sizeOf(part);
    if (size > capacity) return undefined;
    if (size > room) {
      batches.push({ removed: [], added: [] });
      room = capacity;
    }
    batches.at(-1)?.removed.push(...part.removed);
    batches.at(-1)?.added.push(...part.added);
    room -= size;
  }
  return batches.map((batch) => changeOperations(family, set, batch));
}

function sizeOf({ removed, added }: IntervalChange): number {
  return removed.length + added.length;
}

function changeOperations(family: Family, set: string, { removed, added }: IntervalChange): Operation[] {
  const operations: Operation[] = [];
  if (removed.length > 0) operations.push({ ...addElements(family, set, removed), op: "delete elements" });
  if (added.length > 0) operations.push(addElements(family, set, added));
  return operations;
}

function addElements(family: Family, set: string, elements: readonly Interval[]): ChangeElements {
  return { op: "add elements", ...TABLE, set, key: KEYS[family], elements };
}

function describeChange(set: string, { removed, added }: IntervalChange): Drift {
  return {
    kind: "changed",
    where: `set ${set}`,
    actual: `${counted(removed.length, "interval")} too many and ${added.length} too few`,
  };
}
