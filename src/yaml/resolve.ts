/**
 * The meaning of a YAML scalar for gopkg.in/yaml.v2 when it decodes into interface{}: YAML 1.1's booleans, ints and
 * floats, but no base 60. https://yaml.org/type/ has the types.
 */
import { parseFloatText, parseIntText } from "./number.ts";
import type { YamlScalar } from "./parse-node.ts";

/** A scalar that is not simply a string. */
export type Typed =
  | { readonly type: "null" }
  | { readonly type: "bool"; readonly value: boolean }
  /** `literal` is decimal. A uint is an int too big to be signed; as a key it is rejected. */
  | { readonly type: "int" | "uint"; readonly literal: string }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "error"; readonly message: string };

/** The meaning of a scalar. */
export type Scalar = string | Typed;

const PREFIX = "tag:yaml.org,2002:";
const RESOLVABLE = new Set(["bool", "float", "int", "null", "str"].map((name) => PREFIX + name));

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

/** The meaning of a scalar, by its tag or its text. */
export function resolveScalar({ text, tag, implicit }: YamlScalar): Scalar {
  if (tag === "") return implicit ? resolveText(text) : text;
  // An unknown tag makes a string.
  if (tag === `${PREFIX}str` || !RESOLVABLE.has(tag)) return text;
  const name = tag.slice(PREFIX.length);
  const found = resolveText(text);
  const type = typeof found === "string" ? "str" : found.type === "uint" ? "int" : found.type;
  if (type === name) return found;
  if (name === "float" && typeof found === "object" && found.type === "int")
    return { type: "float", value: Number(found.literal) };
  return { type: "error", message: `yaml: cannot decode !!${type} \`${text}\` as a !!${name}` };
}

function resolveText(text: string): Scalar {
  const first = text.charCodeAt(0);
  const number = (first >= 48 && first <= 57) || first === 43 || first === 45;
  if (number || first === 46) return resolveNumber(text, number);
  return (text.length <= 5 ? WORDS.get(text) : undefined) ?? text;
}

/** `integral`: the text begins with a digit or a sign, not with a point. */
function resolveNumber(text: string, integral: boolean): Scalar {
  const word = text.length <= 5 ? WORDS.get(text) : undefined;
  if (word !== undefined) return word;
  if (!integral) {
    const value = parseFloatText(text, true);
    return value === undefined ? text : { type: "float", value };
  }
  // Most texts that begin with a digit here are CIDRs: no number has a slash or a colon.
  if (!NUMBER_ALIKE.test(text)) return text;
  const plain = text.includes("_") ? text.replaceAll("_", "") : text;
  const int = parseIntText(plain);
  if (int !== undefined) return int;
  const value = parseFloatText(plain, false);
  return value === undefined ? text : { type: "float", value };
}

const NUMBER_ALIKE = /^[-+.\w]+$/;
