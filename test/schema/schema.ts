/**
 * The JSON Schema of the configuration, for editors and CI: accepts what the agent accepts, and refuses what a schema
 * can express. That excludes host bits, the same prefix in both lists, the sum of both lists, and flags.
 */

const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const IPV4 = `(?:${OCTET}\\.){3}${OCTET}`;
const GROUP = "[0-9A-Fa-f]{1,4}";

/** `first` to `last` groups, with `::` for those that are missing; a dotted tail stands for two. */
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

const NULLABLE_CIDR = { anyOf: [{ $ref: "#/$defs/cidr" }, { type: "null" }] };

/** The longest default list: a null in a list keeps the default of that place. */
const DEFAULTS = 11;

const NUMBER = "(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)";

/** What each key takes; null means the same as leaving it out, or for lists an empty list. */
const KEYS = {
  nonMasqueradeCIDRs: {
    description:
      "Destinations that keep the pod's address. Replaces the default list: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16.",
    type: ["array", "null"],
    prefixItems: Array.from({ length: DEFAULTS }, () => ({ $ref: "#/$defs/nullableCidr" })),
    items: { $ref: "#/$defs/cidr" },
  },
  masqueradeCIDRs: {
    description:
      "Destinations that are masqueraded although a wider entry of nonMasqueradeCIDRs, a default or link-local covers them.",
    type: ["array", "null"],
    items: { $ref: "#/$defs/cidr" },
  },
  cidrLimit: {
    description: "More entries than this, both lists together, are an error.",
    type: ["integer", "null"],
    minimum: 0,
    maximum: 2 ** 63,
    default: 64,
  },
  masqLinkLocal: {
    description: "Whether to masquerade 169.254.0.0/16 too.",
    type: ["boolean", "null"],
    default: false,
  },
  masqLinkLocalIPv6: {
    description: "Whether to masquerade fe80::/10 too (with --enable-ipv6).",
    type: ["boolean", "null"],
    default: false,
  },
  resyncInterval: {
    description: "How often the file and the rules are looked at, as Go writes durations: 30s, 1m30s.",
    type: "string",
    pattern: `^[+-]?(?:0|(?:${NUMBER}(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$`,
    default: "60s",
  },
} as const;

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
      ["nonMasqueradeCIDRs", "masqueradeCIDRs"].map((key) => [
        anyCase(key),
        { type: ["array", "null"], maxItems: 64 },
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
  properties: Object.fromEntries(Object.keys(KEYS).map((key) => [key, { $ref: `#/$defs/${key}` }])),
  patternProperties: Object.fromEntries(
    Object.keys(KEYS).map((key) => [anyCase(key), { $ref: `#/$defs/${key}` }]),
  ),
  ...DEFAULT_LIMIT,
  $defs: { ...KEYS, cidr: CIDR, nullableCidr: NULLABLE_CIDR },
};

/** The keys that the schema knows. */
export const SCHEMA_KEYS: readonly string[] = Object.keys(KEYS);
