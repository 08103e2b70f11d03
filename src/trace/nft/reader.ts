/** A rule of nf_tables while its expressions are read: the content of the registers, with the conditions and actions so far. */
import type { Family } from "../../core/cidr.ts";
import { type Attributes, readU32 } from "../../netlink/attributes.ts";
import type { Action, Condition } from "../model.ts";
import { addBranches, type Branch } from "./branch.ts";
import type { Member } from "./members.ts";
import type { Loaded, Source } from "./register.ts";

/** The elements of a table's sets and maps. */
export interface Members {
  /** By name; without those that packets change. */
  readonly lists: ReadonlyMap<string, readonly Member[]>;
  /** The names of those whose elements expire. */
  readonly expiring: ReadonlySet<string>;
}

/** A rule while it is read. */
export interface Reader {
  readonly members: Members;
  /** Registers of 4 bytes; each loaded value is at its first one. */
  readonly registers: Map<number, Loaded>;
  readonly conditions: Condition[];
  readonly branches: Branch[];
  /** Similar to nft's text, so that operators find the rule. */
  readonly texts: string[];
  /** The family of the packets that reach this point, if it is known. */
  family: Family | undefined;
}

/** Takes one expression. */
export type Step = (reader: Reader, attributes: Attributes) => void;

export function numberIn(attributes: Attributes, type: number): number {
  return readU32(attributes.get(type)) ?? 0;
}

/** Registers 1 to 4 have 16 bytes each, of which the numbers from 8 on are the parts. */
export function slotOf(attributes: Attributes, type: number): number {
  const register = numberIn(attributes, type);
  return register >= 8 ? register - 8 : (register - 1) * 4;
}

export function put({ registers }: Reader, slot: number, source: Source, length: number): void {
  registers.set(slot, { source, length });
}

/** Adds a rule's action; `text` is its text, if it is not the action's name. */
export function act(
  reader: Reader,
  action: Action,
  { text = actionText(action), only = [] }: { text?: string; only?: readonly Condition[] } = {},
): void {
  reader.texts.push(text);
  addBranches(reader.branches, [{ conditions: [...reader.conditions, ...only], action }]);
}

const ACTION_NAMES: Readonly<Partial<Record<Action["kind"], string>>> = {
  translate: "snat",
  redirect: "dnat",
  untrack: "notrack",
  mark: "meta mark set",
  unknown: "(unknown)",
};

function actionText(action: Action): string {
  if (action.kind === "jump" || action.kind === "goto") return `${action.kind} ${action.chain}`;
  return ACTION_NAMES[action.kind] ?? action.kind;
}

/** Adds a condition that we do not know. */
export function ask(reader: Reader, text: string): void {
  need(reader, { kind: "unknown", text, negated: false });
}

/** Adds a condition, and learns the packet's family from it. */
export function need(reader: Reader, condition: Condition): void {
  reader.texts.push(condition.text);
  reader.conditions.push(condition);
  if (condition.kind === "family" && !condition.negated) reader.family ??= condition.family;
}
