/**
 * Deletes entries of connection tracking whose decision has become wrong, beside the passes. A connection keeps the decision of its first
 * packet, so rules alone do not reach
 * - a flow that began before the rules were there, and that nobody answers (`--forget=unanswered`): the agent looks for these after each
 *   pass that wrote rules, and once more a second later, since a packet may have passed before the rules and be entered after the look;
 * - a flow that was translated to an address that the node no longer has. New rules come first, so that none begins.
 */

import { isFailure } from "../backend/driver.ts";
import { addressValue, familyOf, packValue } from "../conntrack/address.ts";
import type { Condition } from "../conntrack/condition.ts";
import type { Delete } from "../conntrack/conntrack.ts";
import type { Flow } from "../conntrack/flow.ts";
import {
  isUnanswered,
  leavesAs,
  leavingConditions,
  UNANSWERED,
  type Verdicts,
} from "../conntrack/forgettable.ts";
import { type Family, formatAddress } from "../core/cidr.ts";
import { includes } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { sourceIntervals } from "../core/sources.ts";
import type { Logger } from "../log/log.ts";
import { keptIntervals } from "../nftables/sets.ts";
import type { Clock } from "../system/clock.ts";
import type { ListedAddresses } from "../system/node-addresses.ts";
import { counted } from "../text/plural.ts";
import type { OutputAddresses } from "./output-addresses.ts";
import type { PassOutcome } from "./reconcile.ts";
import type { TurnsWorld } from "./turns.ts";

/** Why flows are forgotten: nobody has answered, or their address is gone. */
export type Why = "unanswered" | "address";

/** How many flows were forgotten since the start. */
export interface ForgottenCount {
  readonly family: Family;
  readonly why: Why;
  readonly count: number;
}

export interface Forgetting {
  /** Call it after each pass. Nothing waits for what it begins. */
  readonly after: (outcome: PassOutcome) => void;
  readonly totals: () => readonly ForgottenCount[];
}

interface ForgettingWorld extends Pick<Clock, "now" | "sleep">, Pick<TurnsWorld, "goesOn"> {
  /** Whether to look for flows that nobody has answered. */
  readonly isUnanswered: boolean;
  readonly addresses: Pick<OutputAddresses, "gone" | "forgotten">;
  readonly readAddresses: () => Promise<ListedAddresses>;
  /** Opens connection tracking; may throw. */
  readonly open: () => Delete;
  readonly log: Logger;
}

/** Each time, so many looks, with this pause between them. */
const LOOKS = 2;
const PAUSE_MS = 1_000;
/** How many entries are deleted at a time: the kernel takes 17 µs for each. */
const MOST = 10_000;

/** Has forgotten nothing yet. */
export function createForgetting(world: ForgettingWorld, signal: AbortSignal): Forgetting {
  const inForce = new Map<Family, Ruleset>();
  const { forget, add, totals } = createForgetter(world, inForce, signal);
  const begin = createBeside(world, signal);
  const unanswered = createUnanswered({ ...world, forget, begin }, signal);
  const gone = createGone({ ...world, forget, begin }, signal);
  return {
    after({ groups, leaving }) {
      const seen = groups.filter((group) => group.inForce);
      for (const ruleset of seen.flatMap(({ rulesets }) => rulesets)) {
        const { family } = ruleset;
        inForce.set(family, ruleset);
        // rate() does not see a series' first sample.
        if (world.isUnanswered) add({ family, why: "unanswered", count: 0 });
        if (leaving.some((one) => one.family === family)) add({ family, why: "address", count: 0 });
        gone(family);
      }
      const changed = seen.filter((group) => group.changed).flatMap(({ rulesets }) => rulesets);
      if (world.isUnanswered) unanswered(changed.map(({ family }) => family));
    },
    totals,
  };
}

type Forget = (condition: Condition, forgettable: Forgettable) => Promise<boolean>;

/** Deletes and counts, by the rules in force. */
function createForgetter(
  { readAddresses, open, log }: ForgettingWorld,
  inForce: ReadonlyMap<Family, Ruleset>,
  signal: AbortSignal,
) {
  const totals = new Map<string, ForgottenCount>();
  const add = ({ family, why, count }: ForgottenCount) => {
    const key = `${family} ${why}`;
    totals.set(key, { family, why, count: (totals.get(key)?.count ?? 0) + count });
  };
  /** Deletes what matches and is chosen; says so, and returns whether that was all. */
  const forget: Forget = async (condition, { why, families, isChosen, words }) => {
    const { all } = await readAddresses();
    const verdicts = new Map(
      families.flatMap((family) => {
        const ruleset = inForce.get(family);
        return ruleset === undefined ? [] : [[family, verdictsOf(ruleset, all[family])] as const];
      }),
    );
    const choose = (flow: Flow) => {
      const ours = verdicts.get(familyOf(flow.original.source));
      return ours !== undefined && isChosen(flow, ours);
    };
    const { counts, isWhole } = await open()(condition, choose, { most: MOST, signal });
    for (const family of verdicts.keys()) {
      const count = counts[family];
      add({ family, why, count });
      if (count > 0) log.with({ family }).info(`${family}: forgot ${counted(count, "flow")} ${words}`);
    }
    return isWhole;
  };
  return { forget, add, totals: () => [...totals.values()] };
}

type Work = ForgettingWorld & { readonly forget: Forget; readonly begin: ReturnType<typeof createBeside> };

/** Looks for flows without an answer of families whose rules were written: at most once a second. */
function createUnanswered({ now, sleep, forget, begin }: Work, signal: AbortSignal) {
  const looks = new Map<Family, { readonly left: number }>();
  let [lookedAt, isLooking] = [Number.NEGATIVE_INFINITY, false];
  const work = async () => {
    while (looks.size > 0) {
      await sleep(Math.max(0, lookedAt + PAUSE_MS - now()), signal);
      if (signal.aborted) return;
      lookedAt = now();
      const due = [...looks];
      const isWhole = await forget(UNANSWERED, {
        why: "unanswered",
        families: due.map(([family]) => family),
        isChosen: isUnanswered,
        words: "without an answer, which had left as their pods",
      });
      for (const [family, look] of due) {
        // A pass may have written meanwhile.
        if (!isWhole || looks.get(family) !== look) continue;
        if (look.left > 1) looks.set(family, { left: look.left - 1 });
        else looks.delete(family);
      }
    }
  };
  return (families: readonly Family[]) => {
    for (const family of families) looks.set(family, { left: LOOKS });
    if (isLooking || looks.size === 0) return;
    isLooking = true;
    begin(work, () => {
      // After a failure there is nothing left to try before the next write.
      looks.clear();
      isLooking = false;
    });
  };
}

/** Looks for flows that leave as addresses that are gone. One that comes back, and goes again, counts again. */
function createGone({ addresses, readAddresses, sleep, forget, begin }: Work, signal: AbortSignal) {
  const underWay = new Map<Family, Set<bigint>>();
  const work = async (family: Family, values: readonly bigint[]) => {
    for (let look = 1; look <= LOOKS && !signal.aborted; ) {
      const { all } = await readAddresses();
      const gone = values.filter((address) => !all[family].has(address));
      if (gone.length === 0) return;
      const packed = gone.map((address) => packValue(family, address));
      const set = new Set(packed);
      const names = gone.map((address) => formatAddress(family, address)).join(", ");
      const forgettable: Forgettable = {
        why: "address",
        families: [family],
        isChosen: (flow, verdicts) => leavesAs(flow, set, verdicts),
        words: `that left as ${names}, which this node no longer has`,
      };
      let isWhole = true;
      for (const condition of leavingConditions(family, packed))
        isWhole = (await forget(condition, forgettable)) && isWhole;
      if (!isWhole) continue;
      if (look++ === LOOKS) addresses.forgotten(family, gone);
      else await sleep(PAUSE_MS, signal);
    }
  };
  return (family: Family) => {
    const gone = new Set(addresses.gone(family));
    const busy = new Set([...(underWay.get(family) ?? [])].filter((address) => gone.has(address)));
    const fresh = [...gone].filter((address) => !busy.has(address));
    underWay.set(family, new Set([...busy, ...fresh]));
    if (fresh.length === 0) return;
    begin(
      () => work(family, fresh),
      () => {
        for (const address of fresh) underWay.get(family)?.delete(address);
      },
    );
  };
}

/** The flows to forget of some families, and the words for it. */
interface Forgettable {
  readonly why: Why;
  readonly families: readonly Family[];
  readonly isChosen: (flow: Flow, verdicts: Verdicts) => boolean;
  readonly words: string;
}

/** Begins work beside the passes. A failure is a warning, the same one once: the rules are right all the same. */
function createBeside({ goesOn, log }: Pick<ForgettingWorld, "goesOn" | "log">, signal: AbortSignal) {
  let said: string | undefined;
  return (work: () => Promise<void>, end: () => void) => {
    const ended = work().catch((error: unknown) => {
      if (signal.aborted) return;
      if (!isFailure(error)) throw error;
      if (error.message !== said) log.warning(`cannot forget flows: ${error.message}`);
      said = error.message;
    });
    goesOn(ended.then(end));
  };
}

/** Whether a ruleset decides about flows. Of the link through which a flow leaves the table knows nothing: any of them counts as ours. */
function verdictsOf(ruleset: Ruleset, local: ReadonlySet<bigint>): Verdicts {
  const { family, scope } = ruleset;
  const sources = sourceIntervals(family, scope);
  const kept = keptIntervals(ruleset);
  const isLoopback = (address: bigint) => (family === "IPv4" ? address >> 24n === 127n : address === 1n);
  return {
    isLocal(address) {
      const value = addressValue(address);
      return local.has(value) || isLoopback(value);
    },
    masquerades: (source, destination) =>
      (sources === undefined || includes(sources, addressValue(source))) &&
      !includes(kept, addressValue(destination)),
  };
}
