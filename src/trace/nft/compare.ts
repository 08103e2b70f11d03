/** Expressions of nf_tables that compare registers with values, or look them up in sets. */
import { type Attributes, readAttributes, readString } from "../../netlink/attributes.ts";
import { CMP, EXPRESSION, LOOKUP_F_INV, NFTA, REGISTER, VERDICTS } from "../../netlink/constants.ts";
import { valueIn } from "../../netlink/expression.ts";
import { type RawVerdict, readVerdict } from "../../netlink/raw.ts";
import { type Action, asksSocket, type Condition, constant } from "../model.ts";
import { addBranches } from "./branch.ts";
import type { Member } from "./members.ts";
import { isOneOf, sourceText } from "./question.ts";
import { act, ask, need, numberIn, put, type Reader, slotOf } from "./reader.ts";
import { type Loaded, type Range, splitLoaded } from "./register.ts";

/** The content of the registers from a slot on, up to `length` bytes; each begins at one of 4 bytes. Undefined: not known. */
function parts({ registers }: Reader, slot: number, length: number): Part[] | undefined {
  const found: Part[] = [];
  for (let at = 0; at < length; ) {
    const loaded = registers.get(slot + at / 4);
    if (loaded === undefined) return undefined;
    const whole = loaded.length > length - at ? { ...loaded, length: length - at } : loaded;
    for (const { part, at: inside } of splitLoaded(whole)) found.push({ part, at: at + inside });
    at += (loaded.length + 3) & ~3;
  }
  return found;
}

/** The conditions that the registers hold a value between two others, part by part. */
function between(found: readonly Part[], { from, to }: Range): Condition[] {
  return found.map(({ part, at }) => {
    const end = at + part.length;
    return isOneOf(part, [{ from: from.subarray(at, end), to: to.subarray(at, end) }], false);
  });
}

function compare(reader: Reader, slot: number, range: Range, negated: boolean): void {
  const found = parts(reader, slot, range.from.length);
  const [first, ...more] = found ?? [];
  if (found === undefined || first === undefined) ask(reader, "(cmp)");
  else if (more.length === 0) need(reader, isOneOf(first.part, [range], negated));
  else if (!negated) for (const one of between(found, range)) need(reader, one);
  else {
    const all = between(found, range);
    const text = `!= ${all.map((one) => one.text).join(" . ")}`;
    need(reader, asksSocket(text) ? constant(text, false) : { kind: "either", text, negated, lists: [all] });
  }
}

export function cmp(reader: Reader, attributes: Attributes): void {
  const { SREG, OP, DATA } = EXPRESSION.cmp;
  const value = valueIn(attributes.get(DATA)) ?? new Uint8Array();
  const slot = slotOf(attributes, SREG);
  const operator = numberIn(attributes, OP);
  if (operator === CMP.EQ || operator === CMP.NEQ) {
    compare(reader, slot, { from: value, to: value }, operator === CMP.NEQ);
    return;
  }
  // Below or above: everything up to the value, or not that.
  const last = operator === CMP.LTE || operator === CMP.GT ? value : decrement(value);
  const isAbove = operator === CMP.GT || operator === CMP.GTE;
  const [least, most] = [new Uint8Array(value.length), new Uint8Array(value.length).fill(0xff)];
  // Below zero there is nothing, and all is zero or above.
  if (last === undefined) compare(reader, slot, { from: least, to: most }, !isAbove);
  else compare(reader, slot, { from: least, to: last }, isAbove);
}

/** The number before it, in the network's order. */
function decrement(bytes: Uint8Array): Uint8Array | undefined {
  const less = Uint8Array.from(bytes);
  for (let i = less.length - 1; i >= 0; i--) {
    if ((less[i] ?? 0) > 0) {
      less[i] = (less[i] ?? 0) - 1;
      return less;
    }
    less[i] = 0xff;
  }
  return undefined;
}

export function range(reader: Reader, attributes: Attributes): void {
  const { SREG, OP, FROM, TO } = EXPRESSION.range;
  const from = valueIn(attributes.get(FROM));
  const to = valueIn(attributes.get(TO));
  if (from === undefined || to === undefined) ask(reader, "(range)");
  else compare(reader, slotOf(attributes, SREG), { from, to }, numberIn(attributes, OP) === CMP.NEQ);
}

export function lookup(reader: Reader, attributes: Attributes): void {
  const { SET, SREG, DREG, FLAGS } = EXPRESSION.lookup;
  const name = readString(attributes.get(SET)) ?? "";
  const members = reader.members.lists.get(name);
  const slot = slotOf(attributes, SREG);
  const isVerdicts = attributes.has(DREG) && numberIn(attributes, DREG) === REGISTER.VERDICT;
  const negated = (numberIn(attributes, FLAGS) & LOOKUP_F_INV) !== 0;
  if (isVerdicts) {
    lookupVerdict(reader, slot, name, members);
    return;
  }
  if (attributes.has(DREG)) {
    lookupData(reader, slot, slotOf(attributes, DREG), name, members);
    return;
  }
  const condition = isMember(
    reader,
    slot,
    name,
    members,
    reader.members.expiring.has(name) ? false : negated,
  );
  if (!reader.members.expiring.has(name)) need(reader, condition);
  else {
    // An element may have expired when the packet comes; an absent element stays absent.
    const open: Condition = { kind: "unknown", text: condition.text, negated: false };
    need(reader, { kind: "either", text: condition.text, negated, lists: [[condition, open]] });
  }
}

/** Looks the packet up in a map; only packets with an entry go on. */
function lookupData(
  reader: Reader,
  slot: number,
  to: number,
  name: string,
  members: readonly Member[] | undefined,
): void {
  const found = members === undefined ? undefined : parts(reader, slot, keyLength(members));
  const entries = (members ?? []).flatMap((member, i) =>
    member.data === undefined || found === undefined
      ? []
      : [
          {
            value: member.data,
            conditions: keyConditions(found, member, i + 1 === members?.length && members.length),
          },
        ],
  );
  const isAll = entries.some(({ conditions }) => conditions.length === 0);
  if (!isAll) need(reader, isMember(reader, slot, name, members, false));
  const isKnown = members !== undefined && entries.length === members.length;
  const length = entries[0]?.value.length ?? 4;
  put(
    reader,
    to,
    isKnown ? { kind: "map", name: `@${name}`, entries } : { kind: "other", name: `@${name}` },
    length,
  );
}

type Part = { readonly part: Loaded; readonly at: number };

/** The conditions for a packet with the key of an element; `size`, of the last one, is how many elements there are. */
function keyConditions(found: readonly Part[], { range }: Member, size: number | false): Condition[] {
  const source = found[0]?.part.source;
  const isLeft = size !== false && source?.kind === "chance" && size >= source.modulus;
  return range === undefined || isLeft ? [] : between(found, range);
}

function isMember(
  reader: Reader,
  slot: number,
  name: string,
  members: readonly Member[] | undefined,
  negated: boolean,
): Condition {
  const listed = name.startsWith("__") ? undefined : `@${name}`;
  const text = `${negated ? "!= " : ""}@${name}`;
  const found = members === undefined ? undefined : parts(reader, slot, keyLength(members));
  if (members === undefined || found === undefined) return { kind: "unknown", text, negated: false };
  const ranges = members.flatMap((member) => member.range ?? []);
  const isAny = ranges.length < members.length;
  const [first, ...more] = found;
  if (first === undefined || isAny) return { kind: "either", text, negated, lists: isAny ? [[]] : [] };
  if (more.length === 0) return isOneOf(first.part, ranges, negated, listed);
  const names = found.map(({ part }) => sourceText(part)).join(" . ");
  if (asksSocket(names)) return constant(`${names} ${text}`, false);
  const lists = ranges.map((one) => between(found, one));
  return { kind: "either", text: `${names} ${text}`, negated, lists };
}

function keyLength(members: readonly Member[]): number {
  return members.find(({ range }) => range !== undefined)?.range?.from.length ?? 0;
}

/** A verdict map as one branch for each element, the one for all others last. */
function lookupVerdict(
  reader: Reader,
  slot: number,
  name: string,
  members: readonly Member[] | undefined,
): void {
  const found = members === undefined ? undefined : parts(reader, slot, keyLength(members));
  if (members === undefined || found === undefined) {
    reader.texts.push(name.startsWith("__") ? "vmap { … }" : `vmap @${name}`);
    act(reader, { kind: "unknown" });
    return;
  }
  const some = members.filter((member) => member.range !== undefined);
  const rest = members.filter((member) => member.range === undefined);
  const sorted = [...some, ...rest];
  const branches = sorted.map((member, i) => ({
    conditions: [
      ...reader.conditions,
      ...keyConditions(found, member, i + 1 === sorted.length && sorted.length),
    ],
    action: verdictAction(member.verdict),
  }));
  const names = found.map(({ part }) => sourceText(part)).join(" . ");
  reader.texts.push(`${names} vmap ${name.startsWith("__") ? `{ … ${members.length} in all }` : `@${name}`}`);
  addBranches(reader.branches, branches);
  reader.registers.set(slot, { source: { kind: "other", name: `@${name}` }, length: 4 });
}

const VERDICT_CONTINUE = -1;

function verdictAction(verdict: RawVerdict | undefined): Action {
  const { code, chain = "" } = verdict ?? {};
  const name = Object.entries(VERDICTS).find(([, value]) => value === code)?.[0];
  if (name === "jump" || name === "goto") return { kind: name, chain };
  if (name === "accept" || name === "drop" || name === "return") return { kind: name };
  return { kind: code === VERDICT_CONTINUE ? "continue" : "unknown" };
}

export function immediate(reader: Reader, attributes: Attributes): void {
  const { DREG, DATA } = EXPRESSION.immediate;
  const value = valueIn(attributes.get(DATA));
  const verdict = readAttributes(attributes.get(DATA)).get(NFTA.DATA.VERDICT);
  if (value === undefined) act(reader, verdictAction(readVerdict(verdict)));
  else put(reader, slotOf(attributes, DREG), { kind: "value", bytes: value }, value.length);
}
