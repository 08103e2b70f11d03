/**
 * Checks of operations, so that their bytes and their text mean the same. nft's language cannot express some things
 * that the kernel accepts (a quote in a comment, a name with a blank); they are rejected here, before anything is
 * sent. These are mistakes of the caller and throw plain errors.
 */
import { KEYS, UDATA } from "./constants.ts";
import type { ElementInterval, Family, Operation, SetKey, Statement } from "./operations.ts";

/** NFT_NAME_MAXLEN of linux/netfilter/nf_tables.h, with its NUL. */
const NAME_BYTES = 256;
/** `string` of nft's src/scanner.l. */
const NAME = /^[A-Za-z][A-Za-z0-9/\\_.-]*$/;
/** A quote ends the text, whatever precedes it; a line feed would end the command. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are rejected.
const UNQUOTABLE = /["\u0000-\u001f\u007f]/;
const LAST_PORT = 65_535;
const MAX_U32 = 2 ** 32 - 1;

/** Throws if `nft` could not carry out the operation. */
export function assertValid(operation: Operation): void {
  const problem = problemOf(operation);
  if (problem !== undefined) throw new Error(`${operation.op} in table ${operation.table}: ${problem}`);
}

/** The problem with an operation, if there is one. */
export function problemOf(operation: Operation): string | undefined {
  return nameProblem(operation) ?? commentProblem(operation) ?? contentProblem(operation);
}

function nameProblem(operation: Operation): string | undefined {
  const names = [operation.table];
  if ("chain" in operation) names.push(operation.chain);
  if ("set" in operation) names.push(operation.set);
  if ("name" in operation) names.push(operation.name);
  const bad = names.find((name) => !NAME.test(name) || name.length >= NAME_BYTES);
  return bad === undefined ? undefined : `${JSON.stringify(bad)} is not a valid name in nft's language`;
}

function commentProblem(operation: Operation): string | undefined {
  if (!("comment" in operation) || operation.comment === undefined) return undefined;
  const { comment } = operation;
  if (comment === "") return "a comment cannot be empty";
  if (UNQUOTABLE.test(comment)) return "a comment cannot have quotes or control characters";
  const bytes = new TextEncoder().encode(comment).length;
  return bytes > UDATA.COMMENT_MAX_BYTES
    ? `a comment has ${UDATA.COMMENT_MAX_BYTES} bytes at most`
    : undefined;
}

function contentProblem(operation: Operation): string | undefined {
  if ("elements" in operation) return elementsProblem(operation.key, operation.elements);
  if ("handle" in operation && !isWithin(operation.handle, 1, Number.MAX_SAFE_INTEGER))
    return "a handle is a positive number";
  if ("size" in operation && operation.size !== undefined && !isWithin(operation.size, 1, MAX_U32))
    return `a set's size is 1-${MAX_U32}`;
  if ("statements" in operation) return statementsProblem(operation.family, operation.statements);
  return undefined;
}

/** The kernel takes elements in any order, but rejects only some that overlap. */
function elementsProblem(key: SetKey, elements: readonly ElementInterval[]): string | undefined {
  let previous = -1n;
  for (const { first, last } of elements) {
    if (first <= previous || last < first) return "elements must be sorted, disjoint intervals";
    previous = last;
  }
  const bits = BigInt(KEYS[key].bytes * 8);
  return previous >> bits > 0n ? `an element is not a valid ${key}` : undefined;
}

function statementsProblem(family: Family, statements: readonly Statement[]): string | undefined {
  const last = statements.at(-1);
  if (last === undefined) return "a rule needs a statement";
  const early = statements.slice(0, -1).find(endsRule);
  if (early !== undefined) return `nothing may follow ${early.kind}`;
  return familyProblem(family, statements) ?? portsProblem(statements) ?? firstProblem(statements);
}

function endsRule({ kind }: Statement): boolean {
  return kind === "verdict" || kind === "masquerade";
}

/** A packet has one family, that of its table. */
function familyProblem(family: Family, statements: readonly Statement[]): string | undefined {
  const families = new Set(
    statements.flatMap((each) => (each.kind === "daddr" || each.kind === "nfproto" ? [each.family] : [])),
  );
  if (family !== "inet") families.add(family);
  return families.size > 1 ? "no packet is both ip and ip6" : undefined;
}

/** Ports belong to a protocol, which the rule must match first: nft rejects it otherwise, the kernel does not. */
function portsProblem(statements: readonly Statement[]): string | undefined {
  const last = statements.at(-1);
  if (last?.kind !== "masquerade" || last.ports === undefined) return undefined;
  const { first, last: end } = last.ports;
  if (!isWithin(first, 0, end) || !isWithin(end, first, LAST_PORT)) return "ports are a range within 0-65535";
  return statements.some(({ kind }) => kind === "l4proto") ? undefined : "ports need l4proto before them";
}

function firstProblem(statements: readonly Statement[]): string | undefined {
  for (const statement of statements) {
    const problem = statementProblem(statement);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function statementProblem(statement: Statement): string | undefined {
  if (statement.kind === "daddr" && !NAME.test(statement.set))
    return `${JSON.stringify(statement.set)} is not a valid name of a set`;
  if (statement.kind === "verdict" && "chain" in statement && !NAME.test(statement.chain))
    return `${JSON.stringify(statement.chain)} is not a valid name of a chain`;
  if (statement.kind === "numgen random" && !isChance(statement))
    return "numgen needs 0 < below < modulus < 2^32";
  return undefined;
}

/** nft rejects comparisons that are always or never true. */
function isChance({ modulus, below }: { modulus: number; below: number }): boolean {
  return isWithin(modulus, 1, MAX_U32) && isWithin(below, 1, modulus - 1);
}

function isWithin(value: number, first: number, last: number): boolean {
  return Number.isInteger(value) && value >= first && value <= last;
}
