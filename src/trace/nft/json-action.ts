/** Translates a statement of `nft -j` into an action. */
import { type Action, unknownMark } from "../model.ts";
import { readXtTarget } from "./branch.ts";
import { type Fields, isConnectionMark, isMark, isObject, type Json, onlyMember } from "./json-values.ts";

/** Statements that do one thing, whatever comes after them. */
const ACTIONS: Readonly<Record<string, Action>> = {
  accept: { kind: "accept" },
  drop: { kind: "drop" },
  reject: { kind: "drop" },
  return: { kind: "return" },
  continue: { kind: "continue" },
  masquerade: { kind: "masquerade" },
  notrack: { kind: "untrack" },
  fwd: { kind: "rewrite" },
};

export function readAction(kind: string, value: Json): Action {
  const action = ACTIONS[kind];
  if (action !== undefined) return action;
  if ((kind === "jump" || kind === "goto") && isObject(value)) return { kind, chain: String(value.target) };
  if (kind === "tproxy") return { kind: "mark", change: { and: -1, xor: 0, isProxy: true } };
  if (kind === "mangle" && isObject(value)) return readMangle(value);
  if (kind === "xt" && isObject(value)) return readXtTarget(String(value.name));
  return { kind: "unknown" };
}

function readMangle({ key, value }: Fields): Action {
  const [what, field] = onlyMember(key);
  if (what === "payload" && isObject(field)) return readRewrite(field);
  const isConnections = isConnectionMark(key);
  if (!isMark(key) && !isConnections) return { kind: "continue" };
  const { mark, connection, xor } = readBits(value) ?? {};
  if (mark === undefined || connection === undefined || xor === undefined)
    return { kind: "mark", change: isConnections ? { ...unknownMark(), isConnections } : unknownMark() };
  const change = isConnections
    ? { and: connection, take: mark, xor, isConnections }
    : { and: mark, take: connection, xor };
  return { kind: "mark", change };
}

/** Without NAT, by writing into the packet; raw bytes may be an address. */
function readRewrite({ field, base }: Fields): Action {
  if (field === "daddr") return { kind: "redirect" };
  return { kind: field === "saddr" || base === "nh" ? "rewrite" : "continue" };
}

/** A value made of both marks: `(packet's & mark) ^ (connection's & connection) ^ xor`. */
interface MarkBits {
  readonly mark: number;
  readonly connection: number;
  readonly xor: number;
}

/** Of several operations, as nft writes them: `(mark & a) | b`. Undefined: not known. */
function readBits(value: Json): MarkBits | undefined {
  if (typeof value === "number") return { mark: 0, connection: 0, xor: value };
  if (isMark(value)) return { mark: -1, connection: 0, xor: 0 };
  if (isConnectionMark(value)) return { mark: 0, connection: -1, xor: 0 };
  const [operator, operands] = onlyMember(value);
  const [left, right] = Array.isArray(operands) ? operands.map(readBits) : [];
  if (left === undefined || right === undefined) return undefined;
  const map = (change: (own: number, other: number) => number) => ({
    mark: change(left.mark, right.mark),
    connection: change(left.connection, right.connection),
    xor: change(left.xor, right.xor),
  });
  const isNumber = (right.mark | right.connection) === 0;
  if (operator === "&" && isNumber) return map((own) => own & right.xor);
  if (operator === "^") return map((own, other) => own ^ other);
  if (operator !== "|") return undefined;
  if (isNumber) return { ...map((own) => own & ~right.xor), xor: left.xor | right.xor };
  // Bits that only one of the sides has are the same as without carrying.
  const bitsOf = ({ mark, connection, xor }: MarkBits) => mark | connection | xor;
  return (bitsOf(left) & bitsOf(right)) === 0 ? map((own, other) => own ^ other) : undefined;
}
