/** What rules of `nft -j` ask of TCP's flags: the first packet of a connection has SYN alone. */
import { type Condition, constant } from "../model.ts";
import { isObject, type Json, onlyMember } from "./json-values.ts";

const BITS: Readonly<Record<string, number>> = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ecn: 0x40,
  cwr: 0x80,
};
const SYN = 0x02;

/** The conditions of a match on TCP's flags; undefined if it is on anything else, or in words that are not known. */
export function readTcpFlags(
  text: string,
  { op, left, right }: { op?: Json; left?: Json; right?: Json },
): Condition[] | undefined {
  const [kind, parts] = onlyMember(left);
  const [what, mask] = kind === "&" && Array.isArray(parts) ? parts : [left, 0xff];
  const masked = isFlags(what) ? bitsOf(mask) : undefined;
  const wanted = masked === undefined ? undefined : alternatives(right)?.map(bitsOf);
  if (masked === undefined || wanted === undefined || wanted.includes(undefined)) return undefined;
  const holds = wanted.some((bits = 0) => {
    if (op === "in") return (SYN & bits) !== 0;
    return op === "!" ? (SYN & bits) === 0 : (SYN & masked) === bits;
  });
  const isTcp: Condition = { kind: "protocol", protocols: ["tcp"], text: "tcp", negated: false };
  return [isTcp, { ...constant(text, holds), negated: op === "!=" }];
}

function isFlags(json: Json): boolean {
  const [kind, field] = onlyMember(json);
  return kind === "payload" && isObject(field) && field.protocol === "tcp" && field.field === "flags";
}

/** The members of a set, or the value alone. */
function alternatives(json: Json): readonly Json[] | undefined {
  if (typeof json === "string" && json.startsWith("@")) return undefined;
  return isObject(json) && Array.isArray(json.set) ? json.set : [json];
}

/** Flags as a name, a number, a list or joined by `|`. */
function bitsOf(json: Json): number | undefined {
  if (typeof json === "number") return json;
  if (typeof json === "string") return BITS[json];
  const [kind, joined] = onlyMember(json);
  const parts = Array.isArray(json) ? json : kind === "|" && Array.isArray(joined) ? joined : [undefined];
  const bits = parts.map(bitsOf);
  return bits.includes(undefined) ? undefined : bits.reduce<number>((all, one = 0) => all | one, 0);
}
