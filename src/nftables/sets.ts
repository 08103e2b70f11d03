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
} from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
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

/** A family's set has this name, or the same with `-next` or a number after it: where one transaction cannot change a set, we fill another. */
const SETS: Readonly<Record<Family, string>> = { IPv4: "keep-ipv4", IPv6: "keep-ipv6" };

/**
 * A change is two lists of elements, each of which leaves its last message partly empty; that costs at most as much
 * as one full message more than both in one list would (see src/netlink/budget.ts).
 */
const BATCH_RESERVE_BYTES = 33_024;

const intervalsOf = new WeakMap<Ruleset, readonly Interval[]>();

/** The destinations that keep the pod's address, as elements of a set. Computed once for a ruleset: a long list takes a tenth of a second. */
export function keptIntervals(ruleset: Ruleset): readonly Interval[] {
  const known = intervalsOf.get(ruleset);
  if (known !== undefined) return known;
  const choices = ruleset.entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" }));
  const intervals = longestPrefixIntervals(choices);
  intervalsOf.set(ruleset, intervals);
  return intervals;
}

/** The changes that give one family's set its elements. */
export interface SetPlan {
  /** The set that the rules look up after all changes, ... */
  readonly name: string;
  readonly key: SetKey;
  /** ... and its elements then. */
  readonly wanted: readonly Interval[];
  /** Makes and fills a set that no rule looks up yet, in any number of transactions. */
  readonly create: readonly Operation[];
  /** Changes the set in place; each list is one transaction. */
  readonly changes: readonly (readonly Operation[])[];
  readonly drift: readonly Drift[];
}

/** Plans a family's set. */
export function planSet(ruleset: Ruleset, state: TableState, maxBytes: number): SetPlan {
  const { family } = ruleset;
  const wanted = keptIntervals(ruleset);
  const target = { key: KEYS[family], wanted };
  const name = activeSet(family, state);
  const present = state.sets.find(({ set }) => set.set === name);
  if (present === undefined) return makeSet(family, state, wanted);
  if (!isOurs(present.set, family))
    return makeSet(family, state, wanted, {
      name,
      actual: present.set.flags.includes(CROWDED) ? "far too many elements" : "a set of a different type",
    });
  if (present.elements === wanted) return { ...target, name, create: [], changes: [], drift: [] };
  const change = changeIntervals(present.elements, wanted);
  if (change.removed.length + change.added.length === 0)
    return { ...target, name, create: [], changes: [], drift: [] };
  const changes = packChange(family, name, change, maxBytes);
  if (changes === undefined) {
    const actual = `${counted(present.elements.length, "interval")}, not the same`;
    return makeSet(family, state, wanted, { name, actual });
  }
  return { ...target, name, create: [], changes, drift: [describeChange(name, change)] };
}

/** Whether a set has one of our names. */
export function isSetName(name: string, families: readonly Family[] = FAMILIES): boolean {
  return families.some(
    (family) => SUFFIX.test(name.slice(SETS[family].length)) && name.startsWith(SETS[family]),
  );
}

const SUFFIX = /^(-next|-\d+)?$/;

/** The set that our rules look up now; without rules, the existing one, or the first name. */
function activeSet(family: Family, { rules, sets }: TableState): string {
  const statements = rules.flatMap((rule) => rule.statements);
  const lookedUp = statements.flatMap((one) => (one.kind === "daddr" ? one.set : []));
  const names = [...lookedUp, ...sets.map(({ set }) => set.set)];
  return names.find((name) => isSetName(name, [family])) ?? SETS[family];
}

/** A name that no set has. An existing set does not help: a killed agent may have half filled it, or foreign rules may use it. */
function freeName(family: Family, { sets }: TableState): string {
  const there = sets.map(({ set }) => set.set);
  const base = SETS[family];
  const names = [base, `${base}-next`, ...there.map((_, i) => `${base}-${i + 2}`)];
  return names.find((name) => !there.includes(name)) ?? base;
}

function isOurs({ key, flags, size }: ObservedSet, family: Family): boolean {
  return key === KEYS[family] && flags.join() === "interval" && size === undefined;
}

/** Makes a new set; `instead` is the one that it replaces, with its fault. */
function makeSet(
  family: Family,
  state: TableState,
  elements: readonly Interval[],
  instead?: { readonly name: string; readonly actual: string },
): SetPlan {
  const key = KEYS[family];
  const set = freeName(family, state);
  const create: Operation[] = [{ op: "add set", ...TABLE, set, key }];
  if (elements.length > 0) create.push({ op: "add elements", ...TABLE, set, key, elements });
  const expected = counted(elements.length, "interval");
  const drift: Drift =
    instead === undefined
      ? { kind: "missing", where: `set ${set}`, expected }
      : { kind: "changed", where: `set ${instead.name}`, expected, actual: instead.actual };
  return { name: set, key, wanted: elements, create, changes: [], drift: [drift] };
}

/** The change as transactions that fit, each of which leaves every address with a correct verdict; undefined if that is impossible. */
function packChange(
  family: Family,
  set: string,
  change: IntervalChange,
  maxBytes: number,
): Operation[][] | undefined {
  // Two lists never cost more than twice as much as one: that is the better bound where only one message fits.
  const reserve = Math.min(BATCH_RESERVE_BYTES, Math.ceil(maxBytes / 2));
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
