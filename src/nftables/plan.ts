/**
 * The nftables backend: our own table `inet ip-masq-agent` with an interval set per family for destinations, and one for
 * sources where a configuration has some; one rule looks each up, so that a new flow costs the same for any length of the list.
 *
 * Measurements show less atomicity for packets than one would expect: a set that is made in the same transaction as
 * the rule that uses it looks empty for a moment. So we make and fill a set first, and look it up from a later
 * transaction on; after that we change it in place, by the difference, and never replace the table. Changes of the
 * same address must be in one transaction; if they do not fit the socket's buffer, we fill a second set and switch
 * the rules to it. Where several of sources, destinations and rules change, sets.ts says in which order.
 */

import type { Remnant } from "../backend/driver.ts";
import { multiplyingLists } from "../backend/masquerade-rules.ts";
import type { Batch, Plan } from "../backend/step.ts";
import { type Drift, diffRules } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { operationBudget } from "../netlink/encode.ts";
import type {
  BaseChain,
  ObservedChain,
  ObservedStatement,
  ObservedTable,
  Operation,
} from "../netlink/operations.ts";
import { splitBatches } from "../netlink/split.ts";
import { renderStatement } from "../netlink/text.ts";
import { problemOf } from "../netlink/validate.ts";
import { removeForeign, type Staying } from "./foreign.ts";
import { hasOurKeys, isScoped, type SetNames, tableRules, tooManyForFamily } from "./rules.ts";
import { CHAIN, planSet, ROLES, type Role, type SetPlan, stageSet, TABLE, type TableState } from "./sets.ts";

/** After kube-proxy and the CNI's own rules at srcnat (100), as the Go program's jump comes after theirs. */
export const PRIORITY = 101;

const BASE: BaseChain = { type: "nat", hook: "postrouting", priority: PRIORITY, policy: "accept" };

/** The size of a transaction without its operations. */
const BATCH_BUDGET = 1_024;

const OWNER = "ip-masq-agent chain=";

/** The comment that names the table's owner. */
export function ownerComment(chain: string): string {
  return OWNER + chain;
}

/** A plan, and the table's content after it, if no other process changes it. */
export interface TablePlan extends Plan<Batch> {
  readonly after: TableState;
  /** Foreign objects that stay, since they could not be removed before. */
  readonly remains: readonly Remnant[];
}

const NOTHING_STAYS: Staying = new Map();

/**
 * The transactions that bring the table in sync with `rulesets`, none larger than `maxBytes`. They do not try to remove
 * `staying` objects again.
 */
export function planTable(
  rulesets: readonly Ruleset[],
  state: TableState,
  maxBytes: number,
  staying: Staying = NOTHING_STAYS,
): TablePlan {
  const comment = ownerComment(rulesets[0]?.chain ?? "");
  const { table } = state;
  const addTable: Operation = { op: "add table", ...TABLE, comment };
  const message =
    badName(addTable) ??
    ownedTable(table) ??
    foreignTable(table, comment) ??
    badPorts(rulesets) ??
    rulesets.map(tooManyForFamily).find((problem) => problem !== undefined);
  if (message !== undefined) return { drift: [], steps: [], refusal: message, after: state, remains: [] };
  const families = planSets(rulesets, state, maxBytes);
  const sets = families.flat();
  const rules = planRules(rulesets, families, state);
  const keep = { sets: sets.map(({ name }) => name), chain: rules.isKept, rules: rules.wanted };
  const foreign = removeForeign(state, keep, staying, maxBytes);
  const create = [...(table === undefined ? [addTable] : []), ...sets.flatMap((set) => set.create)];
  const fill = splitBatches(create, maxBytes);
  return {
    drift: [...tableDrift(table), ...sets.flatMap((set) => set.drift), ...rules.drift, ...foreign.drift],
    steps: [
      ...fill.map((operations) => ({ operations, purpose: "filling sets" })),
      ...sets.flatMap(({ before }) => before.map(changing)),
      ...rules.steps,
      ...sets.flatMap(({ after }) => after.map(changing)),
      // Adding it again wakes the table; in its own transaction, since the kernel rejects a new base chain in the same one.
      ...(table?.dormant === true ? [{ operations: [addTable], purpose: "waking the table" }] : []),
      ...foreign.steps,
    ],
    after: stateAfter(rulesets, families, comment),
    remains: foreign.remains,
  };
}

function changing(operations: readonly Operation[]): Batch {
  return { operations, purpose: "changing sets" };
}

/** The sets of each family. */
function planSets(rulesets: readonly Ruleset[], state: TableState, maxBytes: number): SetPlan[][] {
  const plans = rulesets.map((ruleset) =>
    ROLES.flatMap((role) => planSet(ruleset, role, state, maxBytes) ?? []),
  );
  const others = planRules(rulesets, plans, state);
  const statements = [
    ...tableRules(rulesets, plans.map(namesOf)),
    ...state.rules.map((rule) => rule.statements),
  ];
  // Rules that ask for the destination alone masquerade the same packets before and after.
  const changesRules = others.steps.length > 0 && statements.some(isScoped);
  return plans.map((sets, i) => {
    const changes = sets.filter(({ isLive }) => isLive).length + Number(changesRules);
    const { family } = rulesets[i] as Ruleset;
    return changes > 1 ? sets.map((set) => stageSet(set, family, state, maxBytes)) : sets;
  });
}

function namesOf(sets: readonly SetPlan[]): SetNames {
  const nameOf = (role: Role) => sets.find((set) => set.role === role)?.name;
  const from = nameOf("from");
  return { keep: nameOf("keep") ?? "", ...(from === undefined ? {} : { from }) };
}

/** The desired content of our table. The kernel assigns handles, which nothing here uses. */
function stateAfter(
  rulesets: readonly Ruleset[],
  families: readonly (readonly SetPlan[])[],
  comment: string,
): TableState {
  const handle = 0;
  return {
    table: { ...TABLE, handle, dormant: false, comment },
    chains: [{ ...CHAIN, handle, base: BASE }],
    sets: families.flat().map(({ name, key, wanted }) => ({
      set: { ...TABLE, set: name, handle, key, flags: ["interval"] },
      elements: wanted,
    })),
    rules: tableRules(rulesets, families.map(namesOf)).map((statements) => ({
      ...CHAIN,
      handle,
      statements,
    })),
    objects: [],
  };
}

function badName(addTable: Operation): string | undefined {
  const problem = problemOf(addTable);
  return problem === undefined ? undefined : `--masq-chain: the table's comment has its name, and ${problem}`;
}

/**
 * Why a plan does not fit `maxBytes`, if so: one transaction makes all rules, and only port ranges, links and addresses can make
 * them too many for it.
 */
export function tooManyRules(
  { steps }: TablePlan,
  rulesets: readonly Ruleset[],
  maxBytes: number,
): string | undefined {
  const ranges = rulesets[0]?.masquerade.toPorts.length ?? 0;
  const [scoped] = rulesets.filter(hasOurKeys);
  const own = steps.filter(({ mayFail }) => mayFail !== true);
  const budgets = own.map(({ operations }) =>
    operations.reduce((sum, one) => sum + operationBudget(one), BATCH_BUDGET),
  );
  if (ranges === 0 && scoped === undefined) return undefined;
  if (budgets.every((budget) => budget <= maxBytes)) return undefined;
  const limit = `one nf_tables transaction can hold (${Math.max(...budgets)} of ${maxBytes} bytes)`;
  if (scoped === undefined) return `--to-ports: ${ranges} ranges are more than ${limit}`;
  return `${multiplyingLists(scoped).join(", ")} would take more rules than ${limit}: shorten these lists`;
}

/** Whether the table belongs to an agent with this chain name. */
export function isOwnTable({ comment }: ObservedTable, chain: string): boolean {
  return comment === ownerComment(chain);
}

/** Whether the table belongs to an agent with any chain name. */
export function isAgentTable({ comment }: Pick<ObservedTable, "comment">): boolean {
  return comment?.startsWith(OWNER) === true;
}

/** Why only its owner can change a table with the flag `owner`; `who` describes that process. */
export function ownedTable(
  table: Pick<ObservedTable, "owner"> | undefined,
  who?: string,
): string | undefined {
  if (table?.owner === undefined) return undefined;
  const holder = who === undefined ? "" : ` (${who})`;
  return `table inet ${TABLE.table} is owned by netlink port ${table.owner}${holder}: no other process can change it; end that process, or delete the table there`;
}

function foreignTable(table: ObservedTable | undefined, comment: string): string | undefined {
  if (table === undefined || table.comment === comment) return undefined;
  const whose = table.comment === undefined ? "no comment" : `the comment "${table.comment}"`;
  return `table inet ${TABLE.table} has ${whose} and not "${comment}": it is not ours, so the agent does not change it; remove it, or the agent that made it`;
}

function badPorts(rulesets: readonly Ruleset[]): string | undefined {
  const bad = rulesets.flatMap(({ masquerade }) => masquerade.toPorts).find(({ last }) => last > 65_535n);
  return bad === undefined ? undefined : `--to-ports: ${bad.last} is not a valid port`;
}

function tableDrift(table: ObservedTable | undefined): Drift[] {
  const where = `table inet ${TABLE.table}`;
  if (table === undefined) return [{ kind: "missing", where }];
  return table.dormant ? [{ kind: "changed", where, expected: "awake", actual: "dormant" }] : [];
}

interface RulesPlan {
  readonly steps: readonly Batch[];
  readonly drift: readonly Drift[];
  /** Adds all our rules. */
  readonly wanted: readonly Operation[];
  /** Whether the existing chain stays. */
  readonly isKept: boolean;
}

/**
 * The chain and its rules. We replace all rules together: that is atomic as long as the sets stay. A chain of our name without
 * our hook gets a different name first, since it cannot be deleted while foreign rules or maps lead to it.
 */
function planRules(
  rulesets: readonly Ruleset[],
  families: readonly (readonly SetPlan[])[],
  { chains, rules }: TableState,
): RulesPlan {
  const wanted = tableRules(rulesets, families.map(namesOf));
  const add = wanted.map((statements): Operation => ({ op: "add rule", ...CHAIN, statements }));
  const program = (...first: readonly Operation[]): Batch[] => [
    { operations: [...first, ...add], purpose: "programming rules" },
  ];
  const there = chains.find(({ chain }) => chain === CHAIN.chain);
  const addChain: Operation = { op: "add chain", ...CHAIN, base: BASE };
  const where = `chain ${CHAIN.chain}`;
  if (there === undefined)
    return { steps: program(addChain), drift: [{ kind: "missing", where }], wanted: add, isKept: true };
  if (!isBase(there)) {
    const actual = JSON.stringify(there.base ?? "no base chain");
    const drift: Drift = { kind: "changed", where, expected: JSON.stringify(BASE), actual };
    const rename: Operation = { op: "rename chain", ...CHAIN, handle: there.handle, name: otherName(chains) };
    const room = { operations: [rename], purpose: "making room for the chain" };
    return { steps: [room, ...program(addChain)], drift: [drift], wanted: add, isKept: false };
  }
  const own = rules.filter(({ chain }) => chain === CHAIN.chain);
  const drift = diffRules(
    where,
    wanted.map(renderRule),
    own.map(({ statements }) => renderRule(statements)),
  );
  const steps = drift.length === 0 ? [] : program({ op: "flush chain", ...CHAIN });
  return { steps, drift, wanted: add, isKept: true };
}

/** A name that no chain has. */
function otherName(chains: readonly ObservedChain[]): string {
  const there = new Set(chains.map(({ chain }) => chain));
  const names = chains.map((_, i) => `${CHAIN.chain}-${i + 1}`);
  return names.find((name) => !there.has(name)) ?? CHAIN.chain;
}

function isBase({ base }: ObservedChain): boolean {
  return (
    base !== undefined && Object.entries(BASE).every(([key, value]) => base[key as keyof BaseChain] === value)
  );
}

/** A rule for comparing, without the values of its counter. */
function renderRule(statements: readonly ObservedStatement[]): string {
  return statements.map((one) => (one.kind === "counter" ? "counter" : renderStatement(one))).join(" ");
}
