/**
 * The JSON Schema of the configuration, for editors and CI, made from the table of keys: it accepts what the agent accepts,
 * and refuses what a schema can express. That excludes host bits, the same prefix in two lists, the sum of the lists, and
 * flags.
 */
import { isListKind } from "../../src/core/key-lists.ts";
import { CONFIG_KEYS, KEYS, type Key, LIMITED_KEYS, ROWS } from "../../src/core/keys.ts";

const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const IPV4 = `(?:${OCTET}\\.){3}${OCTET}`;
const GROUP = "[0-9A-Fa-f]{1,4}";

/** `first` to `last` groups, with `::` for those that are missing; a dotted tail counts as two. */
function ipv6(): string {
  const whole = [`(?:${GROUP}:){7}${GROUP}`, `(?:${GROUP}:){6}${IPV4}`];
  const cut = Array.from({ length: 8 }, (_, head) => {
    const rest = 7 - head;
    const before = head === 0 ? "" : `${GROUP}(?::${GROUP}){${head - 1}}`;
    const groups = rest > 0 ? [`${GROUP}(?::${GROUP}){0,${rest - 1}}`] : [];
    const dotted = rest > 1 ? [`(?:${GROUP}:){0,${rest - 2}}${IPV4}`] : [];
    const after = [...groups, ...dotted];
    return `${before}::${after.length === 0 ? "" : `(?:${after.join("|")})?`}`;
  });
  return `(?:${[...whole, ...cut].join("|")})`;
}

const CIDR = {
  type: "string",
  anyOf: [
    { pattern: `^${IPV4}/0*(?:3[0-2]|[12]?[0-9])$` },
    { pattern: `^${ipv6()}/0*(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])$` },
  ],
  examples: ["10.0.0.0/8", "fd00::/8"],
};

/** A name that rules can compare; `+` alone would be every interface. */
const INTERFACE = {
  type: "string",
  pattern: "^(?!\\+$|\\.{1,2}$|!)[!#-&(-)+-.0-9;-\\[\\]-_a-~]{1,15}$",
  examples: ["eth0", "bond+"],
};

/** An address alone, or a CIDR; the agent refuses some that packets cannot leave with. */
const ADDRESS_OR_CIDR = {
  type: "string",
  anyOf: [
    { pattern: `^${IPV4}(?:/(?:3[0-2]|[12]?[0-9]))?$` },
    { pattern: `^${ipv6()}(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$` },
  ],
  examples: ["192.0.2.10", "192.0.2.0/24", "2001:db8::1"],
};

const NULLABLE_CIDR = { anyOf: [{ $ref: "#/$defs/cidr" }, { type: "null" }] };

const OPTIONS = { noMasqAllReservedRanges: false, enableIPv6: true };

/** The schema of a key's value; null means the same as leaving the key out, or for lists an empty list. */
function schemaOf({ kind, initial, meaning }: Key) {
  const description = `${meaning[0]?.toUpperCase()}${meaning.slice(1)}.`.replaceAll("`", "");
  const written = kind.written(initial(OPTIONS));
  const longest = kind.written(initial({ ...OPTIONS, noMasqAllReservedRanges: true })) as string[];
  if (!isListKind(kind)) return { description, ...kind.schema, default: written };
  const defaults = (written as string[]).join(", ");
  if (longest.length === 0) return { description, ...kind.schema };
  const { items, ...others } = kind.schema;
  return {
    description: `${description} Replaces the default list: ${defaults}.`,
    ...others,
    // A null in a list keeps the default of that place.
    prefixItems: longest.map(() => ({ $ref: "#/$defs/nullableCidr" })),
    items,
  };
}

const DEFINITIONS = Object.fromEntries([...ROWS].map(([name, row]) => [name, schemaOf(row)]));

/** A pattern for a key in any case, with the two look-alikes that Go takes for s and k. */
function anyCase(key: string): string {
  const letters = Array.from(key, (letter) => {
    const [lower, upper] = [letter.toLowerCase(), letter.toUpperCase()];
    const odd = lower === "s" ? "\u017f" : lower === "k" ? "\u212a" : "";
    return lower === upper ? letter : `[${lower}${upper}${odd}]`;
  });
  return `^${letters.join("")}$`;
}

/** Lists without a `cidrLimit` beside them. */
const DEFAULT_LIMIT = {
  if: { propertyNames: { not: { pattern: anyCase("cidrLimit") } } },
  // biome-ignore lint/suspicious/noThenProperty: a schema's word, not a promise's
  then: {
    patternProperties: Object.fromEntries(
      LIMITED_KEYS.map((name) => [
        anyCase(name),
        { type: ["array", "null"], maxItems: KEYS.cidrLimit.initial(OPTIONS) },
      ]),
    ),
  },
};

/** The schema as a value. */
export const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Configuration of ip-masq-agent",
  description: "All keys are optional, case does not matter in their names, and unknown ones are ignored.",
  type: ["object", "null"],
  properties: Object.fromEntries(CONFIG_KEYS.map((name) => [name, { $ref: `#/$defs/${name}` }])),
  patternProperties: Object.fromEntries(
    CONFIG_KEYS.map((name) => [anyCase(name), { $ref: `#/$defs/${name}` }]),
  ),
  ...DEFAULT_LIMIT,
  $defs: {
    ...DEFINITIONS,
    cidr: CIDR,
    addressOrCidr: ADDRESS_OR_CIDR,
    interface: INTERFACE,
    nullableCidr: NULLABLE_CIDR,
  },
};
