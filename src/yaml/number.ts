/** Numbers as Go's strconv reads them and as encoding/json and sigs.k8s.io/yaml print them. */

export interface Integer {
  readonly type: "int" | "uint";
  readonly literal: string;
}

const INTEGER = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|([1-9][0-9]*|0))$/;
// yaml.v2's own attempt at binary numbers allows a sign in the middle.
const SIGNED_BINARY = /^0b([-+])([01]+)$/;
const DECIMAL_FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
/** A number that begins with a point may have underscores between its digits, as in Go source. */
const POINTED_FLOAT = /^\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?$/;

const MAX_DIGITS = 64; // of 64 bits, in base 2
const MAX_INT = 2n ** 63n - 1n;
const MAX_UINT = 2n ** 64n - 1n;

/** strconv.ParseInt(text, 0, 64), or else ParseUint: 10, 0x1f, 0b11, 0o17, and 017 as octal. */
export function parseIntText(text: string): Integer | undefined {
  const binary = SIGNED_BINARY.exec(text);
  if (binary !== null) {
    const int = integer(binary[1] ?? "", "0b", binary[2] ?? "");
    return int?.type === "int" ? int : undefined;
  }
  const match = INTEGER.exec(text);
  if (match === null) return undefined;
  const [, sign = "", hex, bits, octal, oldOctal, decimal = ""] = match;
  if (hex !== undefined) return integer(sign, "0x", hex);
  if (bits !== undefined) return integer(sign, "0b", bits);
  const octals = octal ?? oldOctal;
  return octals === undefined ? integer(sign, "", decimal) : integer(sign, "0o", octals);
}

function integer(sign: string, base: string, digits: string): Integer | undefined {
  if (base === "" && digits.length <= 15) {
    return { type: "int", literal: sign === "-" && digits !== "0" ? `-${digits}` : digits };
  }
  const significant = digits.replace(/^0+(?=.)/, "");
  if (significant.length > MAX_DIGITS) return undefined;
  const size = BigInt(base + significant);
  const value = sign === "-" ? -size : size;
  if (value >= -MAX_INT - 1n && value <= MAX_INT) return { type: "int", literal: String(value) };
  if (sign === "" && value <= MAX_UINT) return { type: "uint", literal: String(value) };
  return undefined;
}

/** strconv.ParseFloat within YAML's pattern; undefined for a text that is not a float, or too big for one. */
export function parseFloatText(text: string, pointed: boolean): number | undefined {
  if (!(pointed ? POINTED_FLOAT : DECIMAL_FLOAT).test(text)) return undefined;
  const value = Number(pointed ? text.replaceAll("_", "") : text);
  return Number.isFinite(value) ? value : undefined;
}

/** A float as encoding/json prints it, which is as JavaScript does, but for minus zero and the infinities. */
export function jsonNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return Object.is(value, -0) ? "-0" : String(value);
}
