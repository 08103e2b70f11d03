/** The kernel's expressions, the small steps that make up a rule, and what one has to be to count as known. */
import { type Attributes, eachAttribute, readAttributes, readString, readU32 } from "./attributes.ts";
import { EXPRESSION, NFTA, REGISTER } from "./constants.ts";

/** One step, with its attributes. */
export interface Expression {
  readonly name: string;
  readonly attributes: Attributes;
}

/** A rule's expressions, known or not. */
export function readExpressions(list: Uint8Array | undefined): Expression[] {
  const expressions: Expression[] = [];
  if (list === undefined) return expressions;
  eachAttribute(list, (_, element) => {
    const attributes = readAttributes(element);
    const name = readString(attributes.get(NFTA.EXPR.NAME)) ?? "";
    expressions.push({ name, attributes: readAttributes(attributes.get(NFTA.EXPR.DATA)) });
  });
  return expressions;
}

/** Whether an expression has exactly these attributes, all of them numbers; one that is 0 may be missing. */
export function is(
  expression: Expression | undefined,
  name: keyof typeof EXPRESSION,
  wanted: Readonly<Record<number, number>>,
): expression is Expression {
  if (expression?.name !== name) return false;
  const { attributes } = expression;
  const known = [...attributes].every(([type, value]) => readU32(value) === wanted[type]);
  return (
    known && Object.entries(wanted).every(([type, value]) => value === 0 || attributes.has(Number(type)))
  );
}

/** Whether an expression of that name has no attributes but these. */
export function hasOnly(
  expression: Expression | undefined,
  name: keyof typeof EXPRESSION,
  types: readonly number[],
): expression is Expression {
  return expression?.name === name && [...expression.attributes.keys()].every((type) => types.includes(type));
}

/** The value with which the first register is compared by an operator of CMP. */
export function comparand(expression: Expression | undefined, operator: number): Uint8Array | undefined {
  const { SREG, OP, DATA } = EXPRESSION.cmp;
  if (!hasOnly(expression, "cmp", [SREG, OP, DATA])) return undefined;
  const { attributes } = expression;
  if (readU32(attributes.get(SREG)) !== REGISTER.FIRST || readU32(attributes.get(OP)) !== operator)
    return undefined;
  return valueIn(attributes.get(DATA));
}

/** The value that is put into a register. */
export function immediate(expression: Expression | undefined, register: number): Attributes | undefined {
  const { DREG, DATA } = EXPRESSION.immediate;
  if (!hasOnly(expression, "immediate", [DREG, DATA])) return undefined;
  if (readU32(expression.attributes.get(DREG)) !== register) return undefined;
  return readAttributes(expression.attributes.get(DATA));
}

/** The value in an attribute of data. */
export function valueIn(data: Uint8Array | undefined): Uint8Array | undefined {
  return readAttributes(data).get(NFTA.DATA.VALUE);
}

/** A value in network order; nothing if it does not have so many bytes. */
export function addressIn(value: Uint8Array | undefined, bytes: number): bigint | undefined {
  if (value?.length !== bytes) return undefined;
  return value.reduce((address, byte) => (address << 8n) | BigInt(byte), 0n);
}
