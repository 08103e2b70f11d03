/**
 * Translates a rule of nf_tables from the kernel's own expressions into the model of ../model.ts. It replaces
 * json-expression.ts where the tool nft does not work; unknown expressions stay undecided.
 */
import type { Family } from "../../core/cidr.ts";
import { type Attributes, readString } from "../../netlink/attributes.ts";
import { EXPRESSION } from "../../netlink/constants.ts";
import type { Expression } from "../../netlink/expression.ts";
import type { Action } from "../model.ts";
import { type Branch, readXtMatch, readXtTarget } from "./branch.ts";
import { cmp, immediate, lookup, range } from "./compare.ts";
import { bitwise, byteorder, ct, fib, meta, payload } from "./load.ts";
import { nat, redirect } from "./nat.ts";
import { act, ask, type Members, need, numberIn, put, type Reader, type Step, slotOf } from "./reader.ts";

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

/** Objects that match: NFT_OBJECT_QUOTA, LIMIT and CONNLIMIT. */
const ASKING_OBJECTS = [2, 4, 5];

function objref(reader: Reader, attributes: Attributes): void {
  const { TYPE } = EXPRESSION.objref;
  if (!attributes.has(TYPE) || ASKING_OBJECTS.includes(numberIn(attributes, TYPE))) ask(reader, "(object)");
}

function match(reader: Reader, attributes: Attributes): void {
  for (const one of readXtMatch(readString(attributes.get(EXPRESSION.match.NAME)))) need(reader, one);
}

function target(reader: Reader, attributes: Attributes): void {
  const name = readString(attributes.get(EXPRESSION.target.NAME));
  act(reader, readXtTarget(name), { text: `-j ${name}` });
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
  ["tproxy", doAction({ kind: "redirect" })],
  ["notrack", doAction({ kind: "untrack" })],
  ["reject", reject],
  ["fwd", doAction({ kind: "rewrite" })],
  ["queue", doAction({ kind: "unknown" })],
  ["synproxy", doAction({ kind: "unknown" })],
  ...["counter", "log", "dup", "flow_offload", "dynset", "last"].map((name): [string, Step] => [name, quiet]),
  ...["limit", "quota", "connlimit"].map((name): [string, Step] => [name, askUnknown(name)]),
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
