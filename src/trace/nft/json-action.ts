/** Translates a statement of `nft -j` into an action. */
import { type Action, type MarkChange, unknownMark } from "../model.ts";
import { readXtTarget } from "./branch.ts";
import { type Fields, isMark, isObject, type Json, onlyMember } from "./json-values.ts";

/** Statements that do one thing, whatever comes after them. */
const ACTIONS: Readonly<Record<string, Action>> = {
  accept: { kind: "accept" },
  drop: { kind: "drop" },
  reject: { kind: "drop" },
  return: { kind: "return" },
  continue: { kind: "continue" },
  masquerade: { kind: "masquerade" },
  tproxy: { kind: "redirect" },
  notrack: { kind: "untrack" },
  fwd: { kind: "rewrite" },
};

export function readAction(kind: string, value: Json): Action {
  const action = ACTIONS[kind];
  if (action !== undefined) return action;
  if ((kind === "jump" || kind === "goto") && isObject(value)) return { kind, chain: String(value.target) };
  if (kind === "mangle" && isObject(value)) return readMangle(value);
  if (kind === "xt" && isObject(value)) return readXtTarget(String(value.name));
  return { kind: "unknown" };
}

function readMangle({ key, value }: Fields): Action {
  const [what, field] = onlyMember(key);
  if (what === "payload" && isObject(field)) return readRewrite(field);
  if (!isMark(key)) return { kind: "continue" };
  return { kind: "mark", change: readMarkChange(value) };
}

/** Without NAT, by writing into the packet; raw bytes may be an address. */
function readRewrite({ field, base }: Fields): Action {
  if (field === "daddr") return { kind: "redirect" };
  return { kind: field === "saddr" || base === "nh" ? "rewrite" : "continue" };
}

function readMarkChange(value: Json): MarkChange {
  if (typeof value === "number") return { and: 0, xor: value };
  const [operator, operands] = onlyMember(value);
  const [left, right] = Array.isArray(operands) ? operands : [];
  if (typeof right !== "number") return unknownMark();
  // Of several operations, as nft writes them: (mark & a) | b.
  const before = isMark(left) ? { and: -1, xor: 0 } : readMarkChange(left);
  if (before.unknown !== undefined || (!isMark(left) && typeof left !== "object")) return unknownMark();
  if (operator === "&") return { and: before.and & right, xor: before.xor & right };
  if (operator === "^") return { and: before.and, xor: before.xor ^ right };
  return operator === "|" ? { and: before.and & ~right, xor: before.xor | right } : unknownMark();
}
