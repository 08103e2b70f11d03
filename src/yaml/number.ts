/** Numbers as Go's strconv reads them and as encoding/json and sigs.k8s.io/yaml print them. */

export interface Integer {
  readonly type: "int" | "uint";
  readonly literal: string;
}

const INTEGER = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|([1-9][0-9]*|0))$/;
// yaml.v2's own attempt at binary numbers lets a sign stand in the middle.
const SIGNED_BINARY = /^0b([-+])([01]+)$/;
const DECIMAL_FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
/** What begins with a point may have underscores between its digits, as in Go source. */
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

/** strconv.ParseFloat within YAML's pattern; undefined for what is no float, or too big for one. */
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

/** strconv.FormatFloat(value, 'g', -1, 32), which sigs.k8s.io/yaml makes of a key that is a float. */
export function floatKey(value: number): string {
  const single = Math.fround(value);
  if (Number.isNaN(single)) return ".nan";
  if (!Number.isFinite(single)) return single > 0 ? ".inf" : "-.inf";
  if (single === 0) return Object.is(single, -0) ? "-0" : "0";
  const [mantissa = "", exponentText = ""] = shortestSingle(Math.abs(single)).split("e");
  const exponent = Number(exponentText);
  const digits = mantissa.replace(".", "").replace(/0+$/, "");
  const sign = single < 0 ? "-" : "";
  // Go's 'g' with the shortest digits turns to an exponent below 1e-4 and from 1e6 on.
  if (exponent < -4 || exponent >= 6) return sign + scientific(digits, exponent);
  return sign + positional(digits, exponent);
}

/** The fewest digits, in d.ddde±x form, that make the same single-precision number. */
function shortestSingle(single: number): string {
  for (let digits = 0; digits < 9; digits++) {
    const text = roundToEven(single, digits);
    if (Math.fround(Number(text)) === single) return text;
    // Below a power of two the numbers are closer together, so the nearest text may miss and the next one above hit.
    const above = nextAbove(text);
    if (Math.fround(Number(above)) === single) return above;
  }
  return single.toExponential(9);
}

/** toExponential, which rounds a tie up, where Go takes the even digit. */
function roundToEven(single: number, decimals: number): string {
  const [exact = "", exponent = ""] = single.toExponential(60).split("e");
  // The point is one of the characters before the digit that was kept last.
  const kept = exact.slice(0, decimals === 0 ? 1 : decimals + 2);
  const rest = exact.slice(kept.length).replace(".", "");
  const tie = /^50*$/.test(rest) && Number(kept.at(-1)) % 2 === 0;
  return tie ? `${kept}e${exponent}` : single.toExponential(decimals);
}

/** The next number with as many digits. */
function nextAbove(text: string): string {
  const [mantissa = "", exponent = "0"] = text.split("e");
  const decimals = Math.max(mantissa.length - 2, 0);
  const raised = BigInt(mantissa.replace(".", "")) + 1n;
  return Number(`${raised}e${Number(exponent) - decimals}`).toExponential(decimals);
}

function scientific(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${digits.charAt(0)}${fraction}e${exponent < 0 ? "-" : "+"}${size}`;
}

function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const fraction = digits.slice(exponent + 1);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}
