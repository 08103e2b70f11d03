/**
 * Checks of operations, so that their bytes and their text mean the same. nft's language cannot express some things
 * that the kernel accepts (a quote in a comment, a name with a blank); they are rejected here, before anything is
 * sent. These are mistakes of the caller and throw plain errors.
 */
import { ADDRESSES, INTERFACE_NAME_BYTES, KEYS, UDATA } from "./constants.ts";
import type {
  ElementInterval,
  Family,
  Operation,
  SetKey,
  SourceBitsStatement,
  Statement,
} from "./operations.ts";

/** NFT_NAME_MAXLEN of linux/netfilter/nf_tables.h, with its NUL. */
const NAME_BYTES = 256;
/** `string` of nft's src/scanner.l. */
const NAME = /^[A-Za-z][A-Za-z0-9/\\_.-]*$/;
/** A quote ends the text, whatever precedes it; a line feed would end the command. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are rejected.
const UNQUOTABLE = /["\u0000-\u001f\u007f]/;
/** Of what a link may be called, all that nft's language can say between quotes without an escape. */
const INTERFACE_NAME = /^[!#-)+-.0-9;-[\]-~]+$/;
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
  return kind === "verdict" || isNat(kind);
}

function isNat(kind: Statement["kind"]): kind is "masquerade" | "snat" {
  return kind === "masquerade" || kind === "snat";
}

/** A packet has one family, that of its table. */
function familyProblem(family: Family, statements: readonly Statement[]): string | undefined {
  const families = new Set<string>(
    statements.flatMap((each): string[] => ("family" in each ? [each.family] : [])),
  );
  if (family !== "inet") families.add(family);
  return families.size > 1 ? "no packet is both ip and ip6" : undefined;
}

/** Ports belong to a protocol, which the rule must match first: nft rejects it otherwise, the kernel does not. */
function portsProblem(statements: readonly Statement[]): string | undefined {
  const last = statements.at(-1);
  if (last === undefined || !("ports" in last) || last.ports === undefined) return undefined;
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
  switch (statement.kind) {
    case "daddr":
    case "saddr":
      return NAME.test(statement.set)
        ? undefined
        : `${JSON.stringify(statement.set)} is not a valid name of a set`;
    case "saddr bits":
      return bitsProblem(statement);
    case "oifname":
      return isInterfaceName(statement.name)
        ? undefined
        : `${JSON.stringify(statement.name)} is not a valid name of a link`;
    case "verdict":
      return !("chain" in statement) || NAME.test(statement.chain)
        ? undefined
        : `${JSON.stringify(statement.chain)} is not a valid name of a chain`;
    case "numgen random":
      return isChance(statement) ? undefined : "numgen needs 0 < below < modulus < 2^32";
    case "snat":
      return isAddress(statement.family, statement.address)
        ? undefined
        : "snat needs an address of its family";
    default:
      return undefined;
  }
}

/** Whether a link may have this name, or one that begins so, and nft's language can say it. */
export function isInterfaceName(name: string): boolean {
  return INTERFACE_NAME.test(name) && name.length < INTERFACE_NAME_BYTES;
}

/** nft reads a mask of all bits as none. */
function bitsProblem({ family, mask, value }: SourceBitsStatement): string | undefined {
  const isPartial = mask > 0n && isAddress(family, mask + 1n);
  return isPartial && value >= 0n && (value & ~mask) === 0n
    ? undefined
    : "a mask needs some bits of an address, and a value within them";
}

function isAddress(family: "ip" | "ip6", address: bigint): boolean {
  return address >= 0n && address >> BigInt(ADDRESSES[family].bytes * 8) === 0n;
}

/** nft rejects comparisons that are always or never true. */
function isChance({ modulus, below }: { modulus: number; below: number }): boolean {
  return isWithin(modulus, 1, MAX_U32) && isWithin(below, 1, modulus - 1);
}

function isWithin(value: number, first: number, last: number): boolean {
  return Number.isInteger(value) && value >= first && value <= last;
}
