/**
 * Our nf_tables table in memory: takes operations as the kernel does, a transaction as a whole or not at all, and
 * can be read as the agent reads the kernel. Values throughout: applying gives another table.
 */

import { NftablesError } from "../../../src/netlink/errors.ts";
import type {
  AddChain,
  BaseChain,
  ChangeElements,
  DeleteByHandle,
  ElementInterval,
  ObservedObject,
  ObservedStatement,
  Operation,
} from "../../../src/netlink/operations.ts";
import { renderName } from "../../../src/netlink/text.ts";
import { CHAIN, isSetName, NO_TABLE, TABLE, type TableState } from "../../../src/nftables/sets.ts";

export interface Chain {
  /** Absent, it is made from the name; a chain that is renamed keeps it. */
  readonly handle?: number;
  readonly base?: BaseChain;
  readonly rules: readonly (readonly ObservedStatement[])[];
}

export interface ModelSet {
  readonly key: string;
  readonly flags: readonly string[];
  readonly size?: number;
  readonly elements: readonly ElementInterval[];
  /** The chains and objects that the elements of a map hold. */
  readonly holds?: readonly string[];
}

export interface Table {
  readonly comment?: string;
  readonly dormant?: boolean;
  readonly chains: Readonly<Record<string, Chain>>;
  readonly sets: Readonly<Record<string, ModelSet>>;
  readonly objects?: readonly ModelObject[];
}

export type ModelObject = Omit<ObservedObject, "handle">;

/** Undefined while there is no table. */
export type Model = Table | undefined;

/** The table after one transaction. Throws what the kernel would refuse, and then nothing has happened. */
export function applyBatch(model: Model, operations: readonly Operation[]): Model {
  return operations.reduce(applyOperation, model);
}

/** The table as it is read back; of the rules, those of the one chain that the agent asks for. */
export function stateOf(model: Model): TableState {
  if (model === undefined) return NO_TABLE;
  const { comment, dormant = false } = model;
  const named = { ...TABLE, handle: 1 };
  return {
    table: { ...named, dormant, ...(comment === undefined ? {} : { comment }) },
    chains: Object.entries(model.chains).map(([chain, { base, handle }]) => ({
      ...TABLE,
      handle: handle ?? handleOf("chain", chain),
      chain,
      ...(base === undefined ? {} : { base }),
    })),
    sets: Object.entries(model.sets).map(([set, { elements, holds: _, ...rest }]) => ({
      set: { ...TABLE, handle: handleOf("set", set), set, ...rest },
      elements: isSetName(set) ? elements : [],
    })),
    rules: (model.chains[CHAIN.chain]?.rules ?? []).map((statements) => ({ ...named, ...CHAIN, statements })),
    objects: (model.objects ?? []).map((one) => ({ ...one, handle: handleOf(one.kind, one.name) })),
  };
}

/** A number for a name, the same every time. */
function handleOf(kind: string, name: string): number {
  return [...`${kind} ${name}`].reduce(
    (sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 2 ** 40,
    7,
  );
}

/** The names of the sets that the rules of all chains look up. */
export function lookedUp(model: Model): readonly string[] {
  const statements = Object.values(model?.chains ?? {}).flatMap(({ rules }) => rules.flat());
  return statements.flatMap((one) => ("set" in one ? one.set : []));
}

/** The first packet of a TCP flow to an address that is not the node's own. */
export interface ModelPacket {
  readonly family: "ip" | "ip6";
  readonly source: bigint;
  readonly destination: bigint;
  readonly link: string;
}

/** What becomes of a new flow: `masquerade`, `as 5` for an address, or `keep`, which is also what no rule does. */
export function verdictOf(model: Model, packet: ModelPacket): string {
  const base = Object.values(model?.chains ?? {}).filter((chain) => chain.base !== undefined);
  if (model === undefined || model.dormant === true) return "keep";
  const { family } = packet;
  const matches = (one: ObservedStatement): boolean => {
    switch (one.kind) {
      case "nfproto":
        return one.family === family;
      case "l4proto":
        return one.protocol === "tcp";
      case "daddr":
      case "saddr": {
        const address = one.kind === "daddr" ? packet.destination : packet.source;
        return one.family === family && isIn(model.sets[one.set], address) !== one.negated;
      }
      case "saddr bits":
        return one.family === family && (packet.source & one.mask) === one.value;
      case "oifname":
        return one.isPrefix ? packet.link.startsWith(one.name) : packet.link === one.name;
      default:
        return one.kind !== "fib daddr type" && one.kind !== "unknown";
    }
  };
  for (const { rules } of base) {
    for (const statements of rules) {
      const end = statements.at(-1);
      if (!statements.every(matches)) continue;
      if (end?.kind === "masquerade") return "masquerade";
      if (end?.kind === "snat") return `as ${end.address}`;
      if (end?.kind === "verdict") break;
    }
  }
  return "keep";
}

function isIn(set: ModelSet | undefined, address: bigint): boolean {
  return set?.elements.some(({ first, last }) => first <= address && address <= last) ?? false;
}

function refuse(code: string, operation: Operation): never {
  throw new NftablesError({ code, what: renderName(operation), why: "says the model", operation });
}

function applyOperation(model: Model, operation: Operation): Model {
  if (operation.table !== TABLE.table || operation.family !== TABLE.family) refuse("ENOENT", operation);
  switch (operation.op) {
    case "add table": {
      // FindingText again, it wakes a table that is dormant; the comment stays the first.
      const fresh = operation.comment === undefined ? {} : { comment: operation.comment };
      return { chains: {}, sets: {}, ...(model ?? fresh), dormant: false };
    }
    case "delete table":
      return model === undefined ? refuse("ENOENT", operation) : undefined;
  }
  if (model === undefined) return refuse("ENOENT", operation);
  if (operation.op === "flush table")
    return dropAnonymous({ ...model, chains: mapValues(model.chains, (chain) => ({ ...chain, rules: [] })) });
  if (operation.op === "delete by handle") return deleteByHandle(model, operation);
  if ("set" in operation) return changeSets(model, operation);
  if ("chain" in operation) return changeChains(model, operation);
  throw new Error(`the model knows no ${operation.op}`);
}

export function mapValues<T>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => T,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

function deleteByHandle(model: Table, operation: DeleteByHandle): Table {
  const { kind, handle } = operation;
  const { chains, sets, objects } = stateOf(model);
  const { family, table } = operation;
  const chain = kind === "chain" ? chains.find((one) => one.handle === handle)?.chain : undefined;
  if (chain !== undefined)
    return changeChains(model, { op: "delete chain", family, table, chain }, operation);
  const set = kind === "set" ? sets.find((one) => one.set.handle === handle)?.set.set : undefined;
  if (set !== undefined) return changeSets(model, { op: "delete set", family, table, set }, operation);
  const object = objects.find((one) => one.kind === kind && one.handle === handle);
  if (object === undefined || object.type !== operation.type) return refuse("ENOENT", operation);
  if (isHeld(model, object.name)) return refuse("EBUSY", operation);
  return { ...model, objects: (model.objects ?? []).filter(({ name }) => name !== object.name) };
}

function isHeld({ sets }: Table, name: string): boolean {
  return Object.values(sets).some(({ holds = [] }) => holds.includes(name));
}

function changeChains(
  model: Table,
  operation: Extract<Operation, { chain: string }>,
  asked: Operation = operation,
): Table {
  const { chain: name } = operation;
  const { [name]: there, ...others } = model.chains;
  if (operation.op === "add chain")
    return { ...model, chains: { [name]: addChain(model, operation), ...others } };
  if (there === undefined) return refuse("ENOENT", operation);
  switch (operation.op) {
    case "flush chain":
      return dropAnonymous({ ...model, chains: { ...model.chains, [name]: { ...there, rules: [] } } });
    case "delete chain": {
      const rest = dropAnonymous({ ...model, chains: others });
      return isJumpedTo(rest, name) || isHeld(rest, name) ? refuse("EBUSY", asked) : rest;
    }
    case "rename chain": {
      if (others[operation.name] !== undefined) return refuse("EEXIST", operation);
      const { handle } = operation;
      const jumps = (statements: readonly ObservedStatement[]) =>
        statements.map((one) =>
          "chain" in one && one.chain === name ? { ...one, chain: operation.name } : one,
        );
      const chains = mapValues({ ...others, [operation.name]: { ...there, handle } }, (chain) => ({
        ...chain,
        rules: chain.rules.map(jumps),
      }));
      const held = (set: ModelSet) => ({
        ...set,
        ...(set.holds && { holds: set.holds.map((one) => (one === name ? operation.name : one)) }),
      });
      return { ...model, chains, sets: mapValues(model.sets, held) };
    }
    case "add rule": {
      const { statements } = operation;
      const unknown = statements.some(
        (one) =>
          ("set" in one && model.sets[one.set] === undefined) ||
          ("chain" in one && model.chains[one.chain] === undefined),
      );
      if (unknown) return refuse("ENOENT", operation);
      const rules = [...there.rules, statements];
      return { ...model, chains: { ...model.chains, [name]: { ...there, rules } } };
    }
    default:
      throw new Error(`the model knows no ${operation.op}`);
  }
}

function addChain(model: Table, operation: AddChain): Chain {
  const there = model.chains[operation.chain];
  if (there === undefined) {
    const handles = stateOf(model).chains.map(({ handle }) => handle);
    return {
      handle: Math.max(0, ...handles) + 1,
      ...(operation.base && { base: operation.base }),
      rules: [],
    };
  }
  // The kernel changes a policy, and nothing else of an existing chain.
  if (JSON.stringify(there.base) !== JSON.stringify(operation.base)) return refuse("EEXIST", operation);
  return there;
}

function isJumpedTo({ chains }: Table, name: string): boolean {
  return Object.values(chains).some(({ rules }) =>
    rules.flat().some((one) => "chain" in one && one.chain === name),
  );
}

/** A set without a name of its own lives as long as the rule that it was written in. */
export function dropAnonymous(model: Table): Table {
  const used = lookedUp(model);
  const sets = Object.entries(model.sets).filter(
    ([name, { flags }]) => !flags.includes("anonymous") || used.includes(name),
  );
  return { ...model, sets: Object.fromEntries(sets) };
}

function changeSets(
  model: Table,
  operation: Extract<Operation, { set: string }>,
  asked: Operation = operation,
): Table {
  const { set: name } = operation;
  const { [name]: there, ...others } = model.sets;
  const withSet = (set: ModelSet): Table => ({ ...model, sets: { ...model.sets, [name]: set } });
  if (operation.op === "add set") {
    const { key, size } = operation;
    const isSame = there?.key === key && there.flags.join() === "interval" && there.size === size;
    if (there !== undefined && !isSame) return refuse("EEXIST", operation);
    return there === undefined
      ? withSet({ key, flags: ["interval"], elements: [], ...(size === undefined ? {} : { size }) })
      : model;
  }
  if (there === undefined) return refuse("ENOENT", operation);
  switch (operation.op) {
    case "delete set":
      return lookedUp(model).includes(name) ? refuse("EBUSY", asked) : { ...model, sets: others };
    case "add elements":
      return withSet({ ...there, elements: addElements(there.elements, operation) });
    case "delete elements":
      return withSet({ ...there, elements: deleteElements(there.elements, operation) });
  }
}

function isSame(a: ElementInterval, b: ElementInterval): boolean {
  return a.first === b.first && a.last === b.last;
}

/** One that is there already is fine, one that overlaps another is not. */
function addElements(
  there: readonly ElementInterval[],
  operation: ChangeElements,
): readonly ElementInterval[] {
  const fresh = operation.elements.filter((one) => !there.some((other) => isSame(one, other)));
  const overlaps = fresh.some((one) =>
    there.some(({ first, last }) => one.first <= last && first <= one.last),
  );
  if (overlaps) return refuse("EEXIST", operation);
  return [...there, ...fresh].sort((a, b) => (a.first < b.first ? -1 : 1));
}

function deleteElements(
  there: readonly ElementInterval[],
  operation: ChangeElements,
): readonly ElementInterval[] {
  const { elements } = operation;
  if (elements.some((one) => !there.some((other) => isSame(one, other)))) return refuse("ENOENT", operation);
  return there.filter((one) => !elements.some((other) => isSame(one, other)));
}
