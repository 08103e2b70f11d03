/**
 * What a YAML scalar means to gopkg.in/yaml.v2 when it decodes into interface{}: YAML 1.1's booleans, ints and
 * floats, but no base 60, and timestamps stay text. https://yaml.org/type/ has the types.
 */
import { decodeBase64 } from "./bytes.ts";
import { parseFloatText, parseIntText } from "./number.ts";
import type { YamlScalar } from "./parse.ts";
import { isTimestamp } from "./time.ts";

/** What isn't simply a string. */
export type Typed =
  | { readonly type: "null" }
  | { readonly type: "bool"; readonly value: boolean }
  /** `literal` is decimal. A uint is an int too big to be signed; as a key it is refused. */
  | { readonly type: "int" | "uint"; readonly literal: string }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "timestamp"; readonly value: string }
  | { readonly type: "error"; readonly message: string };

/** Bytes of !!binary that are no UTF-8 are lone surrogates in the string, see bytes.ts. */
export type Scalar = string | Typed;

const PREFIX = "tag:yaml.org,2002:";
const RESOLVABLE = new Set(["bool", "float", "int", "null", "str", "timestamp"].map((name) => PREFIX + name));

const WORDS: ReadonlyMap<string, Typed> = new Map<string, Typed>([
  ...words({ type: "bool", value: true }, "y Y yes Yes YES true True TRUE on On ON"),
  ...words({ type: "bool", value: false }, "n N no No NO false False FALSE off Off OFF"),
  ...words({ type: "null" }, "~ null Null NULL"),
  ["", { type: "null" }],
  ...words({ type: "float", value: Number.NaN }, ".nan .NaN .NAN"),
  ...words({ type: "float", value: Number.POSITIVE_INFINITY }, ".inf .Inf .INF +.inf +.Inf +.INF"),
  ...words({ type: "float", value: Number.NEGATIVE_INFINITY }, "-.inf -.Inf -.INF"),
]);

function words(scalar: Typed, list: string): [string, Typed][] {
  return list.split(" ").map((word) => [word, scalar]);
}

export function resolveScalar({ text, tag, implicit }: YamlScalar): Scalar {
  if (tag === "") return implicit ? resolveText(text, false) : text;
  if (tag === `${PREFIX}binary`) return resolveBinary(text);
  // A tag that nobody knows makes a string.
  if (tag === `${PREFIX}str` || !RESOLVABLE.has(tag)) return text;
  const name = tag.slice(PREFIX.length);
  const found = resolveText(text, name === "timestamp");
  const type = typeof found === "string" ? "str" : found.type === "uint" ? "int" : found.type;
  if (type === name) return found;
  if (name === "float" && typeof found === "object" && found.type === "int")
    return { type: "float", value: Number(found.literal) };
  return { type: "error", message: `yaml: cannot decode !!${type} \`${text}\` as a !!${name}` };
}

function resolveBinary(text: string): Scalar {
  const value = decodeBase64(text);
  if (value === undefined)
    return { type: "error", message: "yaml: !!binary value contains invalid base64 data" };
  return value;
}

function resolveText(text: string, timestamps: boolean): Scalar {
  const first = text.charCodeAt(0);
  const number = (first >= 48 && first <= 57) || first === 43 || first === 45;
  if (number || first === 46) return resolveNumber(text, number, timestamps);
  return (text.length <= 5 ? WORDS.get(text) : undefined) ?? text;
}

/** `integral`: it begins with a digit or a sign, not with a point. */
function resolveNumber(text: string, integral: boolean, timestamps: boolean): Scalar {
  const word = text.length <= 5 ? WORDS.get(text) : undefined;
  if (word !== undefined) return word;
  if (!integral) {
    const value = parseFloatText(text, true);
    return value === undefined ? text : { type: "float", value };
  }
  if (timestamps && isTimestamp(text)) return { type: "timestamp", value: text };
  // Most texts that begin with a digit here are CIDRs: no number has a slash or a colon.
  if (!NUMBER_ALIKE.test(text)) return text;
  const plain = text.includes("_") ? text.replaceAll("_", "") : text;
  const int = parseIntText(plain);
  if (int !== undefined) return int;
  const value = parseFloatText(plain, false);
  return value === undefined ? text : { type: "float", value };
}

const NUMBER_ALIKE = /^[-+.\w]+$/;
