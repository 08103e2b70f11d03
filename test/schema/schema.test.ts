/** The published schema and the code: what one says of a configuration, the other must say too. */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeConfig } from "../../src/core/config.ts";
import { parseDocument } from "../../src/core/document.ts";
import { CONFIG_KEYS } from "../../src/core/keys.ts";
import { renderProblem } from "../../src/core/problem.ts";
import { times } from "../lab/length.ts";
import { schema } from "./schema.ts";

const FILE = "schema/ip-masq-agent.schema.json";
const validate = new Ajv2020({
  strict: true,
  allowUnionTypes: true,
  allowMatchingProperties: true,
  strictTuples: false,
}).compile(schema);

/** The problems of a configuration for the agent; IPv6 depends on a flag, so it is on. */
function problems(value: unknown): string[] {
  const file = { path: "f", bytes: new TextEncoder().encode(JSON.stringify(value)) };
  const decoded = decodeConfig(
    { kind: "file", files: [file] },
    { noMasqAllReservedRanges: false, enableIPv6: true },
  );
  return decoded.ok ? [] : decoded.problems.map(renderProblem);
}

test("the published file is what the table of keys makes", async () => {
  // So that the tests below use the published schema.
  await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot(`../../${FILE}`);
});

describe("accepted by both", () => {
  test.each([
    [null],
    [{}],
    [{ unknown: 1 }],
    [{ nonMasqueradeCIDRs: ["10.0.0.0/08", "::ffff:10.0.0.0/104", "::/0", "2001:db8::1.2.3.4/128"] }],
    [{ "NONMASQUERADECIDR\u017f": null, "MA\u017fqueradeCIDRs": [] }],
    [{ nonMasqueradeCIDRs: [null, null, "10.0.0.0/8"] }],
    [{ cidrLimit: null, masqLinkLocal: null, masqLinkLocalIPv6: true, resyncInterval: "1h2.5m.5s" }],
    [{ resyncInterval: "0" }],
    [{ masqueradeSourceCIDRs: ["10.244.0.0/16"], nonMasqueradeSourceCIDRs: null, outputInterfaces: [] }],
    [
      {
        outputAddresses: ["192.0.2.10", "192.0.2.0/24", "2001:db8::1", "2001:db8::/64"],
        outputAddressBy: "flow",
      },
    ],
    [{ outputAddresses: null, outputAddressBy: null }],
    [{ outputInterfaces: ["eth0", "bond+", "e!th", "a+b", "@#$%^&()-=[]{}", "...", "enp0s31f6np0v12"] }],
    [{ resyncInterval: "-1.\u00b5s" }],
    [{ cidrLimit: 100, nonMasqueradeCIDRs: Array.from({ length: 65 }, (_, i) => `10.0.${i}.0/24`) }],
  ])("%j", (value) => {
    expect(problems(value)).toEqual([]);
    validate(value);
    expect(validate.errors).toBeNull();
  });

  test("the example configuration", () => {
    const document = parseDocument(readFileSync("agent-config/config"), "config");
    expect(document.ok && validate(plain(document.value.root))).toBe(true);
  });
});

function plain(node: Parameters<typeof JSON.stringify>[0]): unknown {
  if (node.kind === "array") return node.items.map(plain);
  if (node.kind === "object")
    return Object.fromEntries(
      node.members.map(({ key, value }: { key: string; value: unknown }) => [key, plain(value)]),
    );
  return node.kind === "null" ? null : node.kind === "number" ? Number(node.literal) : node.value;
}

describe("refused by both", () => {
  test.each([
    ["text"],
    [[]],
    [{ nonMasqueradeCIDRs: "10.0.0.0/8" }],
    [{ nonmasqueradecidrs: {} }],
    [{ nonMasqueradeCIDRs: [1] }],
    [{ nonMasqueradeCIDRs: ["10.0.0.0"] }],
    [{ nonMasqueradeCIDRs: ["10.0.0.0/33"] }],
    [{ nonMasqueradeCIDRs: ["010.0.0.0/8"] }],
    [{ nonMasqueradeCIDRs: ["256.0.0.0/8"] }],
    [{ nonMasqueradeCIDRs: ["10.0.0.0/8\n"] }],
    [{ nonMasqueradeCIDRs: [":::/0"] }],
    [{ nonMasqueradeCIDRs: ["fe80::%eth0/64"] }],
    [{ nonMasqueradeCIDRs: ["1:2:3:4:5:6:7::8/128"] }],
    [{ masqueradeCIDRs: [null] }],
    [{ masqueradeSourceCIDRs: ["10.244.0.1"] }],
    [{ outputInterfaces: "eth0" }],
    [{ outputAddresses: ["192.0.2.300"] }],
    [{ outputAddresses: ["192.0.2.0/08"] }],
    [{ outputAddresses: ["eth0"] }],
    [{ outputAddressBy: "node" }],
    [{ outputAddressBy: true }],
    ...[
      "",
      "+",
      "!eth0",
      "eth*",
      "eth0:1",
      "a b",
      "a/b",
      ".",
      "..",
      "a\\b",
      'a"b',
      "a'b",
      "a`b",
      "\u00e9",
      "x".repeat(16),
    ].map((name): [unknown] => [{ outputInterfaces: [name] }]),
    [{ cidrLimit: "64" }],
    [{ cidrLimit: 1.5 }],
    [{ cidrLimit: -1 }],
    [{ masqLinkLocal: "yes" }],
    [{ masqLinkLocalIPv6: 1 }],
    [{ resyncInterval: 60 }],
    [{ resyncInterval: "60" }],
    [{ resyncInterval: null }],
    [{ RESYNCINTERVAL: "" }],
    [{ nonMasqueradeCIDRs: Array.from({ length: 65 }, (_, i) => `10.0.${i}.0/24`) }],
  ])("%j", (value) => {
    expect(problems(value)).not.toEqual([]);
    expect(validate(value)).toBe(false);
  });
});

const octet = fc.oneof(fc.constantFrom("0", "00", "08", "255", "256", ""), fc.nat(299).map(String));
const group = fc.oneof(
  fc.constantFrom("0", "ffff", "00000", "g", "1.2.3.4"),
  fc.nat(65_535).map((n) => n.toString(16)),
);
const length = fc.oneof(
  fc.constantFrom("0", "00", "032", "33", "128", "0129", "", "x"),
  fc.nat(130).map(String),
);
/** Nearly CIDRs: the parts are right more often than not. */
const cidr = fc.oneof(
  fc
    .tuple(fc.array(octet, { minLength: 3, maxLength: 5 }), length)
    .map(([octets, bits]) => `${octets.join(".")}/${bits}`),
  fc
    .tuple(fc.array(group, { maxLength: 9 }), fc.option(fc.nat(9), { nil: undefined }), length)
    .map(([groups, gap, bits]) =>
      gap === undefined
        ? `${groups.join(":")}/${bits}`
        : `${groups.slice(0, gap).join(":")}::${groups.slice(gap).join(":")}/${bits}`,
    ),
);
const duration = fc.string({
  unit: fc.constantFrom("1", "0", ".", "-", "m", "s", "h", "u", "\u00b5"),
  maxLength: 8,
});
/** Nearly names of interfaces. */
const name = fc.string({
  unit: fc.oneof(fc.constantFrom("eth", "+", "!", "*", "."), fc.string({ unit: "binary", maxLength: 1 })),
  maxLength: 6,
});
const anything = fc.oneof(fc.constantFrom(null, true, "", 0, 64, -1, 1.5), fc.constant([]), fc.constant({}));
const value = fc.oneof(
  anything,
  duration,
  fc.constantFrom("pod", "flow"),
  cidr,
  fc.array(
    fc.oneof(
      cidr,
      cidr.map((text) => text.replace(/\/.*/, "")),
      name,
      anything,
    ),
    { maxLength: 4 },
  ),
);
const key = fc.constantFrom(...CONFIG_KEYS, ...CONFIG_KEYS.map((one) => one.toUpperCase()), "other");
/** Each key at most once, whatever its case: what a repeated key means, a schema cannot say. */
const document = fc
  .uniqueArray(fc.tuple(key, value), { selector: ([name]) => name.toLowerCase(), maxLength: 4 })
  .map((members) => Object.fromEntries(members));

/** Problems that a schema cannot express. */
const BEYOND =
  /is not aligned|it cannot be both|instead of|but got \d+ CIDRs|but there are \d+$|has host bits|read in different|covers every|do not leave/;

test("what the agent accepts, the schema accepts", () => {
  fc.assert(
    fc.property(document, (value) => {
      if (problems(value).length > 0) return;
      expect({ value, accepted: validate(value) }).toEqual({ value, accepted: true });
    }),
    { numRuns: times(2_000, 5_000) },
  );
});

test("what the agent refuses, the schema refuses, but for what it cannot express", () => {
  fc.assert(
    fc.property(document, (value) => {
      const expressible = problems(value).filter((problem) => !BEYOND.test(problem));
      if (expressible.length === 0) return;
      expect({ value, expressible, accepted: validate(value) }).toMatchObject({ accepted: false });
    }),
    { numRuns: times(2_000, 5_000) },
  );
});

test("texts of CIDRs are the same to both", () => {
  fc.assert(
    fc.property(cidr, (text) => {
      const isCidr = problems({ nonMasqueradeCIDRs: [text] }).every((problem) => BEYOND.test(problem));
      expect({ text, accepted: validate({ nonMasqueradeCIDRs: [text] }) }).toEqual({
        text,
        accepted: isCidr,
      });
    }),
    { numRuns: times(5_000, 20_000) },
  );
});
