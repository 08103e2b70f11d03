/**
 * Translates a rule of nf_tables from the kernel's own expressions into the model of ../model.ts. It replaces
 * json-expression.ts where the tool nft does not work; unknown expressions stay undecided.
 */
import type { Family } from "../../core/cidr.ts";
import { type Attributes, eachAttribute, readAttributes, readString } from "../../netlink/attributes.ts";
import { EXPRESSION, NFTA } from "../../netlink/constants.ts";
import type { Expression } from "../../netlink/expression.ts";
import type { Action } from "../model.ts";
import { addBranches, type Branch } from "./branch.ts";
import { cmp, immediate, lookup, range } from "./compare.ts";
import { bitwise, byteorder, ct, fib, meta, payload } from "./load.ts";
import { nat, redirect } from "./nat.ts";
import { act, ask, type Members, need, numberIn, put, type Reader, type Step, slotOf } from "./reader.ts";
import { type Module, readMatch, readTarget } from "./xt.ts";

/** The ways through a rule, and the rule as text; `family` is the family of the table, if it is one. */
export function readRaw(
  expressions: readonly Expression[],
  family: Family | undefined,
  members: Members,
): { readonly branches: readonly Branch[]; readonly text: string } {
  const reader: Reader = {
    members,
    registers: new Map(),
    conditions: [],
    branches: [],
    texts: [],
    family,
  };
  for (const { name, attributes } of expressions) {
    const step = STEPS.get(name);
    if (step === undefined) doUnknown(reader, name);
    else step(reader, attributes);
  }
  return { branches: reader.branches, text: reader.texts.join(" ") };
}

/** An expression that we do not know may match, load or decide. */
function doUnknown(reader: Reader, name: string): void {
  ask(reader, `(${name})`);
  act(reader, { kind: "unknown" });
  reader.registers.clear();
}

const loadOther =
  (name: string, register: number, length = 4): Step =>
  (reader, attributes) =>
    put(reader, slotOf(attributes, register), { kind: "other", name }, length);

const loadChance =
  ({ DREG, MODULUS }: { readonly DREG: number; readonly MODULUS: number }): Step =>
  (reader, attributes) =>
    put(reader, slotOf(attributes, DREG), { kind: "chance", modulus: numberIn(attributes, MODULUS) }, 4);

const quiet: Step = () => {};
const askUnknown =
  (name: string): Step =>
  (reader) =>
    ask(reader, `(${name})`);
const doAction =
  (action: Action): Step =>
  (reader) =>
    act(reader, action);
const reject: Step = (reader) => act(reader, { kind: "drop" }, { text: "reject" });

/** Without a socket it ends the rule. */
function proxy(reader: Reader): void {
  ask(reader, "(a socket listens there)");
  act(reader, { kind: "mark", change: { and: -1, xor: 0, isProxy: true } }, { text: "tproxy" });
}

/** Objects that match: NFT_OBJECT_QUOTA, LIMIT and CONNLIMIT. */
const ASKING_OBJECTS = [2, 4, 5];

function objref(reader: Reader, attributes: Attributes): void {
  const { TYPE } = EXPRESSION.objref;
  if (!attributes.has(TYPE) || ASKING_OBJECTS.includes(numberIn(attributes, TYPE))) ask(reader, "(object)");
}

/** Expressions that let some packets pass, and it is not known which. */
const LIMITS = ["limit", "quota", "connlimit"];

/** An element's own limit ends the rule for some packets, and the element itself does not matter. */
function dynset(reader: Reader, attributes: Attributes): void {
  const { EXPR, EXPRESSIONS } = EXPRESSION.dynset;
  const all = [attributes.get(EXPR) ?? new Uint8Array()];
  eachAttribute(attributes.get(EXPRESSIONS) ?? new Uint8Array(), (_, one) => all.push(one));
  for (const one of all) {
    const name = readString(readAttributes(one).get(NFTA.EXPR.NAME)) ?? "";
    if (LIMITS.includes(name)) ask(reader, `(${name})`);
  }
}

function match(reader: Reader, attributes: Attributes): void {
  for (const one of readMatch(moduleOf("match", attributes))) need(reader, one);
}

/** The module of xtables in an expression. */
export function moduleOf(kind: "match" | "target", attributes: Attributes): Module {
  const { NAME, REV, INFO } = EXPRESSION[kind];
  return {
    name: readString(attributes.get(NAME)) ?? "",
    revision: numberIn(attributes, REV),
    info: attributes.get(INFO) ?? new Uint8Array(),
  };
}

function target(reader: Reader, attributes: Attributes): void {
  const module = moduleOf("target", attributes);
  reader.texts.push(`-j ${module.name}`);
  const ways = readTarget(module, reader.family);
  addBranches(
    reader.branches,
    ways.map((way) => ({ ...way, conditions: [...reader.conditions, ...way.conditions] })),
  );
}

const STEPS: ReadonlyMap<string, Step> = new Map<string, Step>([
  ["payload", payload],
  ["meta", meta],
  ["ct", ct],
  ["fib", fib],
  ["bitwise", bitwise],
  ["byteorder", byteorder],
  ["cmp", cmp],
  ["range", range],
  ["lookup", lookup],
  ["immediate", immediate],
  ["nat", nat],
  ["objref", objref],
  ["match", match],
  ["target", target],
  ["masq", doAction({ kind: "masquerade" })],
  ["redir", redirect],
  ["tproxy", proxy],
  ["notrack", doAction({ kind: "untrack" })],
  ["reject", reject],
  ["fwd", doAction({ kind: "rewrite" })],
  ["queue", doAction({ kind: "unknown" })],
  ["synproxy", doAction({ kind: "unknown" })],
  ["dynset", dynset],
  ...["counter", "log", "dup", "flow_offload", "last"].map((name): [string, Step] => [name, quiet]),
  ...LIMITS.map((name): [string, Step] => [name, askUnknown(name)]),
  // A header in a header: the loaded part and its register are in an expression of its own.
  ["inner", (reader) => reader.registers.clear()],
  // The attribute numbers of the registers into which these load.
  ["numgen", loadChance(EXPRESSION.numgen)],
  ["socket", loadOther("socket", 2)],
  ["rt", loadOther("rt", 1)],
  ["hash", loadChance(EXPRESSION.hash)],
  ["osf", loadOther("osf", 1, 16)],
  ["exthdr", loadOther("exthdr", 1)],
  ["tunnel", loadOther("tunnel", 2)],
  ["xfrm", loadOther("xfrm", 1)],
]);
