/**
 * Foreign objects in our table: additions by other programs, or leftovers of a killed agent. Their removal takes transactions
 * of its own, after ours, so that they cannot keep our rules from being correct; and handles, since the kernel accepts names
 * that nft's language cannot write. An anonymous set goes with the rule that it is part of, and so does a chain within a rule.
 */

import type { Remnant } from "../backend/driver.ts";
import type { Batch } from "../backend/step.ts";
import type { Drift } from "../core/drift.ts";
import type { DeleteByHandle, Operation } from "../netlink/operations.ts";
import { splitBatches } from "../netlink/split.ts";
import { objectKind } from "../netlink/text.ts";
import { CHAIN, TABLE, type TableState } from "./sets.ts";

/** A foreign object, in the words that an operator would search for, and its removal. */
interface Foreign {
  readonly where: string;
  readonly removal: DeleteByHandle;
}

/** Objects that could not be removed, by key, with the reason. */
export type Staying = ReadonlyMap<string, string>;

/** The key of the object that an operation removes: handles are unique within a table. */
export function foreignKey(operation: Operation): string {
  return operation.op === "delete by handle" ? `${operation.kind} ${operation.handle}` : operation.op;
}

/**
 * Removes everything but the sets of these names and our chain. Chains refer to each other, so one message first removes all
 * rules; `rules` puts ours back in the same transaction.
 */
export function removeForeign(
  state: TableState,
  keep: { readonly sets: readonly string[]; readonly chain: boolean; readonly rules: readonly Operation[] },
  staying: Staying,
  maxBytes: number,
): { readonly steps: Batch[]; readonly drift: Drift[]; readonly remains: Remnant[] } {
  const all = foreignIn(state, keep);
  const why = ({ removal }: Foreign) => staying.get(foreignKey(removal));
  const going = all.filter((one) => why(one) === undefined);
  const flush: Operation = { op: "flush table", ...TABLE };
  const isFlushed = going.some(({ removal }) => removal.kind === "chain") && !staying.has(foreignKey(flush));
  const removals = going.map(({ removal }) => removal);
  const batches = [...(isFlushed ? [[flush, ...keep.rules]] : []), ...splitBatches(removals, maxBytes)];
  return {
    steps: batches.map((operations) => ({ operations, purpose: "removing foreign objects", mayFail: true })),
    // Another drift already describes the fault of a chain with our name.
    drift: going.flatMap(({ where }) => (where === `chain ${CHAIN.chain}` ? [] : [{ kind: "extra", where }])),
    remains: all.flatMap((one) => {
      const reason = why(one);
      return reason === undefined ? [] : [{ where: one.where, why: reason }];
    }),
  };
}

/** Sets come first: the elements of a map hold chains and objects. */
function foreignIn(
  { chains, sets, objects }: TableState,
  keep: { readonly sets: readonly string[]; readonly chain: boolean },
): Foreign[] {
  const foreign = (where: string, kind: DeleteByHandle["kind"], handle: number): Foreign => ({
    where,
    removal: { op: "delete by handle", ...TABLE, kind, handle },
  });
  return [
    ...sets
      .filter(({ set: { set, flags } }) => !flags.includes("anonymous") && !keep.sets.includes(set))
      .map(({ set: { set, handle } }) => foreign(`set ${set}`, "set", handle)),
    ...chains
      .filter(({ chain, bound }) => bound !== true && !(keep.chain && chain === CHAIN.chain))
      .map(({ chain, handle }) => foreign(`chain ${chain}`, "chain", handle)),
    ...objects.map(({ kind, type, name, handle }): Foreign => {
      const { where, removal } = foreign(
        `${type === undefined ? kind : objectKind(type)} ${name}`,
        kind,
        handle,
      );
      return { where, removal: type === undefined ? removal : { ...removal, type } };
    }),
  ];
}
